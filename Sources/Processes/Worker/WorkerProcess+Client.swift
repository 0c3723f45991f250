import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// Client transactions of forks: responses, failures of the transport, CANCEL, timers (the paper's
/// `Proxy_Timeout` and `Proxy_Cancel`).
extension WorkerProcess {
    /// A response whose branch is ours (RFC 3261 §17.1.3).
    mutating func receiveResponse(_ mail: Mail) {
        guard state.slots.isHeld(mail.slot, by: me) else { return }
        let message = message(in: mail.slot)
        if mail.transaction.isNone {
            forwardStatelessResponse(message, mail.slot)
            return
        }
        let isCancel = message.index.cseqMethod == .cancel
        let key = Branch.key(
            mail.transaction, fork: mail.fork, attempt: mail.attempt, keys: keys, cancel: isCancel)
        let cell = shard.table.find(kind: isCancel ? RecordKind.cancel : RecordKind.fork, key: key)
        if cell == 0 || !isCancel && fork(cell).isResolving {
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
        let reliable = record.endpoint.isReliable
        let effects =
            record.isInvite
            ? record.invite.receive(status: message.status, now: now, values: values, reliable: reliable)
            : record.nonInvite.receive(status: message.status, now: now, values: values, reliable: reliable)
        if record.isNamed && record.status == 0 && message.status != 503 {
            state.deadPeers.markAlive(record.endpoint.transport, record.endpoint.peer)
        }
        record.status = message.status
        record.patienceEnd = 0
        let mayTryNext = !record.timer.isCancelled
        if effects.contains(.sendAck) { acknowledge(record, message) }
        if record.isInvite {
            if message.status < 200 {
                let wanted = record.timer.provisional(status: message.status, now: now, values: values)
                if wanted == .sendCancel { sendCancel(record) }
            } else {
                record.timer.final()
            }
        }
        if effects.contains(.passResponse) && !isCancel {
            // RFC 3263 §4.3: a 503 is a reason to ask the next one.
            let isFollowed = message.status == 503 && tryNext(after: &record, mayTryNext)
            if !isFollowed { pass(message.status, record, mail.slot) }
        }
        conclude(effects, &record, cell)
    }

    /// What the server transaction hears of a response.
    private mutating func pass(_ status: UInt16, _ record: ForkRecord, _ slot: SlotReference) {
        if record.isAbandoned {
            guard 200...299 ~= status else { return }
            // §16.7 step 10: it has answered after all, so whoever was asked in its place need not.
            cancelCurrent(record.server, fork: record.fork)
        }
        if status == 487 && record.isTimedOut {
            report(408, of: record)
        } else if status != 100 {
            var pass = Mail(.forkResponse)
            pass.transaction = record.server
            pass.fork = record.fork
            pass.status = status
            pass.flags = UInt16(record.breadth)
            pass.slot = slot
            send(pass, to: .worker(record.server.worker))
        }
    }

    /// True where a Via below ours says who a response is for, and it is no broadcast (RFC 4475 §3.3.10).
    private mutating func isForSomeone(_ message: Message) -> Bool {
        guard message.index.topVia.rest != 0 || message.index.first(.via).count > 1 else { return false }
        guard let host = message.secondViaHost(),
            let address = SocketAddress(host: message.bytes.slice(host), port: 5060)
        else { return true }
        return !address.isForMany
    }

    /// §17.1.1.3: the ACK to a failure is this hop's business.
    private mutating func acknowledge(_ record: ForkRecord, _ response: Message) {
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        if let fields = hopFields(record) {
            let request = shard.stored.bytes(record.request)
            AckRequest.write(forwarded: request, fields, response: response, to: &writer)
        } else if let request = storedMessage(record.request) {
            AckRequest.write(forwarded: request, response: response, to: &writer)
        } else {
            return
        }
        if writer.overflowed { return }
        turn.keepScratch(writer.count)
        transmit(OutboxEntry(offset: offset, count: writer.count, to: record.endpoint))
    }

    /// Forgets, stores, sets the timer, or frees the record.
    private mutating func conclude(_ effects: Effects, _ record: inout ForkRecord, _ cell: UInt32) {
        if effects.contains(.forgetRequest) || effects.contains(.terminated) {
            shard.stored.free(record.request)
            record.request = .none
            shard.stored.free(record.candidates)
            record.candidates = .none
        }
        store(record, cell)
        if effects.contains(.terminated) {
            shard.wheel.cancel(cell)
            shard.table.remove(cell)
        } else {
            shard.wheel.schedule(cell, due: record.deadline)
        }
    }

    private mutating func report(_ status: UInt16, of record: ForkRecord) {
        if record.server.isNone || record.isAbandoned { return }
        report(status, lastHeard: record.status, of: ForkOrder(record))
    }

    // MARK: transport errors

    /// The transport could not send what a fork wanted to, or its connection broke (§17.1.4).
    mutating func takeSendFailed(_ mail: Mail) {
        let isCancel = mail.flags & 1 != 0
        let key = Branch.key(
            mail.transaction, fork: mail.fork, attempt: mail.attempt, keys: keys, cancel: isCancel)
        let cell = shard.table.find(kind: isCancel ? RecordKind.cancel : RecordKind.fork, key: key)
        if cell == 0 { return }
        var record = fork(cell)
        // Who has answered was reached.
        if record.status != 0 || record.isResolving { return }
        let reliable = record.endpoint.isReliable
        let effects =
            record.isInvite
            ? record.invite.transportError(now: now, values: values, reliable: reliable)
            : record.nonInvite.transportError(now: now, values: values, reliable: reliable)
        if effects.contains(.reportTransportError) {
            let mayTryNext = !record.timer.isCancelled
            record.timer.final()
            let isLocal = mail.flags & WorkerProcess.localFailure != 0
            if mail.status != 0 { logUnreachable(record, mail.status) }
            if !isCancel && !tryNext(after: &record, mayTryNext, isLocal: isLocal) {
                report(503, lastHeard: 0, of: ForkOrder(record), isLocal: isLocal)
            }
        }
        conclude(effects, &record, cell)
    }

    // MARK: cancel

    mutating func cancelFork(_ mail: Mail) { cancelCurrent(mail.transaction, fork: mail.fork) }

    /// Cancels the attempt that a fork is at.
    private mutating func cancelCurrent(_ transaction: TransactionReference, fork number: UInt8) {
        let cell = findCurrent(transaction, fork: number)
        if cell == 0 { return }
        var record = fork(cell)
        if record.isResolving {
            // Nothing has left, so nobody is to be told but the one who asked.
            report(487, of: record)
            drop(cell)
            return
        }
        if !record.isInvite { return }
        record.patienceEnd = 0
        if record.timer.cancel(now: now, values: values) == .sendCancel { sendCancel(record) }
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    /// §9.1: the CANCEL has its own client transaction, under the branch of the INVITE.
    private mutating func sendCancel(_ invite: ForkRecord) {
        let branch = Branch(invite.server, fork: invite.fork, attempt: invite.attempt, keys: keys)
        let key = branch.key(keys: keys, cancel: true)
        guard shard.table.find(kind: RecordKind.cancel, key: key) == 0, !invite.request.isNone,
            let room = shard.stored.reserve(shard.stored.locate(invite.request).count + 256)
        else { return }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        if let fields = hopFields(invite) {
            CancelRequest.write(forwarded: shard.stored.bytes(invite.request), fields, to: &writer)
        } else if let request = storedMessage(invite.request) {
            CancelRequest.write(forwarded: request, to: &writer)
        } else {
            writer.fail()
        }
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
        record.attempt = invite.attempt
        record.method = Method.cancel.rawValue
        _ = record.nonInvite.start(now: now, values: values, reliable: record.endpoint.isReliable)
        state.counters.add(.forksCancelled, me)
        transmit(reference, to: record.endpoint)
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    // MARK: timers

    mutating func expireFork(_ cell: UInt32) {
        var record = fork(cell)
        if record.isResolving {
            expireResolving(cell)
            return
        }
        let reliable = record.endpoint.isReliable
        var effects: Effects = []
        let machine = record.isInvite ? record.invite.timers.next : record.nonInvite.timers.next
        if machine != 0 && machine <= now {
            effects =
                record.isInvite
                ? record.invite.timeout(now: now, values: values, reliable: reliable)
                : record.nonInvite.timeout(now: now, values: values, reliable: reliable)
            if effects.contains(.retransmitRequest) && !record.request.isNone && !record.isAbandoned {
                state.counters.add(.retransmissionsSent, me)
                transmit(record)
            }
            if effects.contains(.reportTimeout) {
                let mayTryNext = !record.timer.isCancelled
                record.timer.final()
                if !tryNext(after: &record, mayTryNext) { report(408, of: record) }
            }
        }
        if record.isInvite && !effects.contains(.terminated) {
            switch record.timer.timeout(now: now, values: values) {
            case .none: break
            case .sendCancel:
                record.isTimedOut = true
                sendCancel(record)
            case .giveUp:
                effects.formUnion(record.invite.abandon(now: now, values: values, reliable: reliable))
                report(408, of: record)
            }
        }
        if record.patienceEnd != 0 && record.patienceEnd <= now && !effects.contains(.terminated) {
            leaveBehind(&record)
        }
        conclude(effects, &record, cell)
    }

    /// A candidate has said nothing for so long that the next one is asked. What it may say yet: a ringing phone
    /// is cancelled, a 2xx goes through.
    private mutating func leaveBehind(_ record: inout ForkRecord) {
        record.patienceEnd = 0
        guard tryNext(after: &record, !record.timer.isCancelled) else { return }
        if record.isInvite { _ = record.timer.cancel(now: now, values: values) }
    }

    /// Sends a fork's request, which wants to hear where that fails.
    mutating func transmit(_ record: ForkRecord) {
        let place = shard.stored.locate(record.request)
        var entry = OutboxEntry(offset: place.offset, count: place.count, to: record.endpoint)
        entry.transaction = record.server
        entry.fork = record.fork
        entry.attempt = record.attempt
        transmit(entry)
    }
}
