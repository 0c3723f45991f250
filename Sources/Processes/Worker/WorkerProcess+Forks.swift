import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// Forks that this worker runs, for its own server transactions or another worker's: client transaction,
/// timer C, CANCEL (the paper's `Proxy_Fork`, `Proxy_Timeout` and `Proxy_Cancel`).
extension WorkerProcess {
    /// Bytes of payload that UDP over IPv4 carries at most.
    private static var longestDatagram: Int { 65535 - 20 - 8 }

    private func fork(_ cell: UInt32) -> ForkRecord { memory.load(shard.table.offset(cell)) }

    private func store(_ record: ForkRecord, _ cell: UInt32) {
        var copy = record
        copy.header = shard.table.header(cell)
        turn.undo.write(copy, at: shard.table.offset(cell))
    }

    /// RFC 3261 §16.6: builds the request, makes the client transaction, sends.
    mutating func startFork(_ mail: Mail) {
        let branch = Branch(
            mail.transaction, fork: mail.fork, attempt: mail.attempt, loopMark: mail.third, keys: keys)
        let key = branch.key(keys: keys, cancel: false)
        // A repeated start is harmless: the branch is the key.
        if shard.table.find(kind: RecordKind.fork, key: key) != 0 { return }
        let owner = state.shard(mail.transaction.worker).stored
        let targets = StoredReference(rawValue: mail.second)
        guard owner.isCurrent(mail.first), owner.isCurrent(targets) else { return }
        // Read once: another worker may write both anew, and then they have another length.
        let bytes = owner.bytes(mail.first)
        let targetBytes = owner.bytes(targets)
        var index = MessageIndex()
        guard Scanner.scan(bytes, into: &index) == .complete,
            let set = TargetSet(targetBytes), let (target, uri, route) = set.target(mail.fork),
            // Another worker's bytes, which it may be writing anew.
            Int(target.listener) < identity.listenerCount,
            Int(set.head.source.listener) < identity.listenerCount,
            let room = shard.stored.reserve(bytes.count + uri.count + route.count + 512)
        else {
            report(503, of: mail)
            return
        }
        let message = Message(bytes, index)
        var writer = memory.writer(room.offset, capacity: room.capacity)
        write(
            message, target, set.head, uri: targetBytes.extracting(uri),
            route: targetBytes.extracting(route), branch, mail, to: &writer)
        let request = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
        // The owner may have ended meanwhile and its cells be used again: then what was read is worth
        // nothing.
        Ordering.fullFence()
        guard owner.isCurrent(mail.first), owner.isCurrent(targets), !writer.overflowed else {
            shard.stored.free(request)
            report(503, of: mail)
            return
        }
        if writer.count > WorkerProcess.longestDatagram {
            shard.stored.free(request)
            report(513, of: mail)
            return
        }
        let cell = shard.table.insert(kind: RecordKind.fork, key: key)
        if cell == 0 {
            shard.stored.free(request)
            state.counters.add(.refusedFull, me)
            report(503, of: mail)
            return
        }
        var record = fork(cell)
        record.server = mail.transaction
        record.fork = mail.fork
        record.attempt = mail.attempt
        record.breadth = UInt8(truncatingIfNeeded: mail.flags)
        record.request = request
        record.endpoint = Endpoint(.udp, target.peer, listener: target.listener)
        record.method = index.method.rawValue
        if record.isInvite {
            _ = record.invite.start(now: now, values: values, reliable: false)
            record.timer.start(now: now, values: values)
        } else {
            _ = record.nonInvite.start(now: now, values: values, reliable: false)
        }
        state.counters.add(.forksStarted, me)
        transmit(request, to: Endpoint(.udp, target.peer, listener: target.listener))
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    /// The request as this fork sends it.
    private func write(
        _ message: Message, _ target: ForkTarget, _ request: TargetSet.Head, uri: Span<UInt8>,
        route: Span<UInt8>, _ branch: Branch, _ start: Mail, to writer: inout ByteWriter
    ) {
        var lines = line
        let own = identity.advertised(Int(target.listener))
        writeVia(own, branch, to: &lines)
        let viaEnd = lines.count
        if target.flags.contains(.recordRoute) {
            let mark = RouteMark.of(message.callID, keys: keys)
            writeRecordRoute(own, mark, to: &lines)
            // Between IPv4 and IPv6 each side needs a way to us of its own (RFC 5658 §3).
            let inner = identity.advertised(Int(request.source.listener))
            if inner.family != own.family { writeRecordRoute(inner, mark, to: &lines) }
        }
        let written = lines.written
        writeForwarded(
            message, target, source: request.source.peer, uri: uri, route: route,
            via: written.extracting(0..<viaEnd),
            recordRoute: written.extracting(viaEnd..<written.count), breadth: Int(start.flags), to: &writer)
    }

    private func writeRecordRoute(_ own: SocketAddress, _ mark: UInt64, to lines: inout ByteWriter) {
        lines.append("Record-Route: <sip:")
        own.write(to: &lines)
        lines.append(";lr;sf=")
        lines.append(hexadecimal: mark, digits: 16)
        lines.append(">\r\n")
    }

    func writeVia(_ own: SocketAddress, _ branch: Branch, to lines: inout ByteWriter) {
        lines.append("Via: SIP/2.0/UDP ")
        own.write(to: &lines)
        lines.append(";branch=")
        branch.write(to: &lines)
        lines.append("\r\n")
    }

    /// Tells the server transaction that the fork ended without a final response. `mail.second` is the last
    /// status heard.
    private mutating func report(_ status: UInt16, of mail: Mail) {
        var done = Mail(.forkDone)
        done.transaction = mail.transaction
        done.fork = mail.fork
        done.status = status
        done.flags = mail.flags
        done.second = mail.second
        send(done, to: .worker(mail.transaction.worker))
    }

    private mutating func report(_ status: UInt16, of record: ForkRecord) {
        if record.server.isNone { return }
        var mail = Mail(.forkDone)
        mail.transaction = record.server
        mail.fork = record.fork
        mail.flags = UInt16(record.breadth)
        mail.second = UInt64(record.status)
        report(status, of: mail)
    }

    // MARK: responses

    /// A response whose branch is ours (RFC 3261 §17.1.3).
    mutating func receiveResponse(_ mail: Mail) {
        guard state.slots.isHeld(mail.slot, by: me) else { return }
        let message = message(in: mail.slot)
        if mail.transaction.isNone {
            forwardStatelessResponse(message, mail.slot)
            return
        }
        let isCancel = message.index.cseqMethod == .cancel
        let key = Branch(mail.transaction, fork: mail.fork, attempt: mail.attempt, keys: keys)
            .key(keys: keys, cancel: isCancel)
        let cell = shard.table.find(kind: isCancel ? RecordKind.cancel : RecordKind.fork, key: key)
        if cell == 0 {
            // RFC 6026 §7.2: a stray response is not forwarded.
            state.counters.add(.strayResponses, me)
            return
        }
        var record = fork(cell)
        // §16.7 step 3: without a Via below ours it is for nobody behind us. Our own CANCEL has no other.
        guard isCancel || isForSomeone(message) && message.index.cseqMethod.rawValue == record.method else {
            state.counters.add(.badResponses, me)
            return
        }
        let effects =
            record.isInvite
            ? record.invite.receive(status: message.status, now: now, values: values, reliable: false)
            : record.nonInvite.receive(status: message.status, now: now, values: values, reliable: false)
        record.status = message.status
        if effects.contains(.sendAck) { acknowledge(record, message) }
        if record.isInvite {
            if message.status < 200 {
                let wanted = record.timer.provisional(status: message.status, now: now, values: values)
                if wanted == .sendCancel { sendCancel(record) }
            } else {
                record.timer.final()
            }
        }
        if effects.contains(.passResponse) && message.status == 487 && record.isTimedOut {
            report(408, of: record)
        } else if effects.contains(.passResponse) && message.status != 100 && !isCancel {
            var pass = Mail(.forkResponse)
            pass.transaction = record.server
            pass.fork = record.fork
            pass.status = message.status
            pass.flags = UInt16(record.breadth)
            pass.slot = mail.slot
            send(pass, to: .worker(record.server.worker))
        }
        conclude(effects, &record, cell)
    }

    /// True where a Via below ours says who a response is for, and it is no broadcast (RFC 4475 §3.3.10).
    private func isForSomeone(_ message: Message) -> Bool {
        guard message.index.topVia.rest != 0 || message.index.first(.via).count > 1 else { return false }
        guard let next = message.secondVia(),
            let address = SocketAddress(host: message.bytes.slice(next.host), port: 5060)
        else { return true }
        return !address.isForMany
    }

    /// §17.1.1.3: the ACK to a failure is this hop's business.
    private mutating func acknowledge(_ record: ForkRecord, _ response: Message) {
        guard let request = storedMessage(record.request) else { return }
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        AckRequest.write(forwarded: request, response: response, to: &writer)
        if writer.overflowed { return }
        turn.keepScratch(writer.count)
        transmit(
            OutboxEntry(offset: offset, count: writer.count, to: record.endpoint))
    }

    /// Forgets, stores, sets the timer, or frees the record.
    private mutating func conclude(_ effects: Effects, _ record: inout ForkRecord, _ cell: UInt32) {
        if effects.contains(.forgetRequest) || effects.contains(.terminated) {
            shard.stored.free(record.request)
            record.request = .none
        }
        store(record, cell)
        if effects.contains(.terminated) {
            shard.wheel.cancel(cell)
            shard.table.remove(cell)
        } else {
            shard.wheel.schedule(cell, due: record.deadline)
        }
    }

    // MARK: cancel

    mutating func cancelFork(_ mail: Mail) {
        let branch = Branch(mail.transaction, fork: mail.fork, attempt: mail.attempt, keys: keys)
        let cell = shard.table.find(kind: RecordKind.fork, key: branch.key(keys: keys, cancel: false))
        if cell == 0 { return }
        var record = fork(cell)
        if !record.isInvite { return }
        if record.timer.cancel(now: now, values: values) == .sendCancel { sendCancel(record) }
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    /// §9.1: the CANCEL has its own client transaction, under the branch of the INVITE.
    private mutating func sendCancel(_ invite: ForkRecord) {
        let branch = Branch(invite.server, fork: invite.fork, attempt: invite.attempt, keys: keys)
        let key = branch.key(keys: keys, cancel: true)
        guard shard.table.find(kind: RecordKind.cancel, key: key) == 0,
            let request = storedMessage(invite.request),
            let room = shard.stored.reserve(request.bytes.count + 256)
        else { return }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        CancelRequest.write(forwarded: request, to: &writer)
        let reference = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
        let cell = writer.overflowed ? 0 : shard.table.insert(kind: RecordKind.cancel, key: key)
        if cell == 0 {
            // Timer C + 64·T1 end the fork all the same.
            shard.stored.free(reference)
            return
        }
        var record = fork(cell)
        record.request = reference
        record.endpoint = invite.endpoint
        record.fork = invite.fork
        record.method = Method.cancel.rawValue
        _ = record.nonInvite.start(now: now, values: values, reliable: false)
        state.counters.add(.forksCancelled, me)
        transmit(reference, to: record.endpoint)
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    // MARK: timers

    mutating func expireFork(_ cell: UInt32) {
        var record = fork(cell)
        var effects: Effects = []
        let machine = record.isInvite ? record.invite.timers.next : record.nonInvite.timers.next
        if machine != 0 && machine <= now {
            effects =
                record.isInvite
                ? record.invite.timeout(now: now, values: values, reliable: false)
                : record.nonInvite.timeout(now: now, values: values, reliable: false)
            if effects.contains(.retransmitRequest) && !record.request.isNone {
                state.counters.add(.retransmissionsSent, me)
                transmit(record.request, to: record.endpoint)
            }
            if effects.contains(.reportTimeout) {
                record.timer.final()
                report(408, of: record)
            }
        }
        if record.isInvite && !effects.contains(.terminated) {
            switch record.timer.timeout(now: now, values: values) {
            case .none: break
            case .sendCancel:
                record.isTimedOut = true
                sendCancel(record)
            case .giveUp:
                effects.formUnion(record.invite.abandon(now: now, values: values, reliable: false))
                report(408, of: record)
            }
        }
        conclude(effects, &record, cell)
    }
}
