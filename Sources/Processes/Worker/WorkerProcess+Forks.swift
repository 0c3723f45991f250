import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// Forks that this worker runs, for its own server transactions or another worker's: where each goes, and the
/// request as it leaves (the paper's `Proxy_Fork`).
///
/// A fork tries the addresses of its next hop one after the other (RFC 3263 §4.3). Each attempt has a record,
/// a branch and a client transaction of its own:
///
///     start ──▶ resolving ──▶ attempt 0 ──failed or silent──▶ attempt 1 ──▶ … ──▶ done, to the server's worker
///                 └ only for a name that the cache does not hold
extension WorkerProcess {
    /// Bytes of payload that UDP over IPv4 carries at most.
    private static var longestDatagram: Int { 65535 - 20 - 8 }
    private static var longestStreamMessage: Int { 65535 }
    /// RFC 3261 §18.1.1: what is longer goes by a transport that knows of congestion.
    private static var longestUDPRequest: Int { 1300 }
    mutating func fork(_ cell: UInt32) -> ForkRecord { memory.load(shard.table.offset(cell)) }

    mutating func store(_ record: ForkRecord, _ cell: UInt32) {
        var copy = record
        copy.header = shard.table.header(cell)
        turn.undo.write(copy, at: shard.table.offset(cell))
    }

    /// The record of an attempt of a fork; 0 where there is none.
    mutating func find(_ transaction: TransactionReference, fork: UInt8, attempt: UInt8 = 0) -> UInt32 {
        let key = Branch.key(transaction, fork: fork, attempt: attempt, keys: keys, cancel: false)
        return shard.table.find(kind: RecordKind.fork, key: key)
    }

    /// The attempt that a fork is at; 0 where it has ended, or never was.
    mutating func findCurrent(_ transaction: TransactionReference, fork number: UInt8) -> UInt32 {
        for attempt in 0..<UInt8(CandidateList.capacity) {
            // An attempt that failed may be forgotten, so a gap says nothing.
            let cell = find(transaction, fork: number, attempt: attempt)
            if cell != 0 && !fork(cell).isAbandoned { return cell }
        }
        return 0
    }

    /// RFC 3261 §16.6: builds the request, makes the client transaction, sends.
    mutating func startFork(_ mail: Mail) {
        // A repeated start is harmless: the branch is the key.
        if find(mail.transaction, fork: mail.fork) != 0 { return }
        launch(ForkOrder(mail), attempt: 0, candidates: .none, into: 0)
    }

    /// Sends the request to candidate number `attempt`; with no list of candidates yet, to what the target says.
    ///
    /// - Parameter cell: the record that has waited for the resolver; 0: a new one is made.
    mutating func launch(_ order: ForkOrder, attempt: UInt8, candidates: StoredReference, into cell: UInt32) {
        let owner = stored(by: order.server.worker)
        guard owner.isCurrent(order.source), owner.isCurrent(order.targets) else {
            // The server transaction is over: nobody asks any more.
            shard.stored.free(candidates)
            drop(cell)
            return
        }
        // Read once: another worker may write both anew, and then they have another length.
        let bytes = owner.bytes(order.source)
        let targetBytes = owner.bytes(order.targets)
        guard let index = index(of: order, bytes),
            let set = TargetSet(targetBytes), let placed = set.target(order.fork),
            // Another worker's bytes, which it may be writing anew.
            Int(set.head.source.listener) < ConfigurationSnapshot.maximumListeners
        else {
            fail(order, 503, candidates, cell)
            return
        }
        let message = Message(bytes, index)
        var list = CandidateList()
        if !candidates.isNone {
            list = candidateList(candidates)
        } else if !core.findCandidates(
            of: placed, in: targetBytes, seed: placed.name.isEmpty ? 0 : lot(order), now: now, into: &list)
        {
            resolve(order, placed.target.question, targetBytes.extracting(placed.name), cell)
            return
        }
        guard Int(attempt) < list.count else {
            fail(order, 500, candidates, cell)
            return
        }
        send(message, set, placed, in: targetBytes, order, attempt, &list, candidates, cell)
    }

    /// The index of a fork's request; nil where that is changing: another worker's may be.
    private mutating func index(of order: ForkOrder, _ bytes: Span<UInt8>) -> MessageIndex? {
        let worker = order.server.worker
        if scanned.isOf(order.source, by: worker, count: bytes.count) { return scanned.index }
        var index = MessageIndex()
        guard Scanner.scan(bytes, into: &index) == .complete else { return nil }
        // Not what has changed meanwhile: another of its forks, with as many bytes, may be next.
        Ordering.fullFence()
        if stored(by: worker).isCurrent(order.source) {
            scanned = ScannedRequest(order.source, by: worker, count: bytes.count, index)
        }
        return index
    }

    /// What a worker stores: our own, most often.
    private mutating func stored(by worker: Int) -> StoredMessages {
        worker == index ? shard.stored : state.shard(worker).stored
    }

    private mutating func lot(_ order: ForkOrder) -> UInt64 {
        Branch(order.server, fork: order.fork, attempt: 0, keys: keys).check
    }

    /// The second half of `launch`: what is sent is known.
    private mutating func send(
        _ message: Message, _ set: TargetSet, _ placed: PlacedTarget, in targetBytes: Span<UInt8>,
        _ order: ForkOrder, _ attempt: UInt8, _ list: inout CandidateList, _ candidates: StoredReference,
        _ cell: UInt32
    ) {
        let preferred = Int(set.head.source.listener)
        let branch = Branch(
            order.server, fork: order.fork, attempt: attempt, loopMark: order.loopMark, keys: keys)
        let longest = message.bytes.count + placed.uri.count + placed.route.count + 640
        guard var listener = listener(for: list[Int(attempt)], preferred),
            let room = shard.stored.reserve(longest)
        else {
            fail(order, 503, candidates, cell)
            return
        }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        var hop = write(message, set, placed, in: targetBytes, listener, branch, order.breadth, to: &writer)
        if writer.count > WorkerProcess.longestUDPRequest && candidates.isNone
            && !placed.target.flags.contains(.statesTransport)
        {
            let longer = list.preferringTCP(core.identity).deadLast { core.isDead($0, now: now) }
            if longer[0] != list[0], let other = self.listener(for: longer[0], preferred) {
                listener = other
                writer.reset()
                hop = write(
                    message, set, placed, in: targetBytes, listener, branch, order.breadth, to: &writer)
            }
            list = longer
        }
        let request = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
        let hasHopFields = message.method == .invite && keep(hop, behind: writer.count, in: room)
        // The owner may have ended meanwhile and its cells be used again: then what was read is worth nothing.
        Ordering.fullFence()
        let owner = stored(by: order.server.worker)
        guard owner.isCurrent(order.source), owner.isCurrent(order.targets), !writer.overflowed else {
            shard.stored.free(request)
            fail(order, 503, candidates, cell)
            return
        }
        let candidate = list[Int(attempt)]
        let limit =
            candidate.transport.isReliable
            ? WorkerProcess.longestStreamMessage : WorkerProcess.longestDatagram
        if writer.count > limit {
            shard.stored.free(request)
            fail(order, 513, candidates, cell)
            return
        }
        var kept = candidates
        if kept.isNone && list.count > 1 { kept = store(list) }
        drop(cell)
        let new = shard.table.insert(kind: RecordKind.fork, key: branch.key(keys: keys, cancel: false))
        if new == 0 {
            shard.stored.free(request)
            state.counters.add(.refusedFull, me)
            fail(order, 503, kept, 0)
            return
        }
        var record = fork(new)
        record.take(order)
        record.attempt = attempt
        record.request = request
        record.candidates = kept
        record.isNamed = !placed.name.isEmpty || !kept.isNone
        record.endpoint = Endpoint(candidate.transport, candidate.address, listener: UInt16(listener))
        record.method = message.method.rawValue
        record.hasHopFields = hasHopFields
        let reliable = record.endpoint.isReliable
        if record.isInvite {
            _ = record.invite.start(now: now, values: values, reliable: reliable)
            record.timer.start(now: now, values: values)
        } else {
            _ = record.nonInvite.start(now: now, values: values, reliable: reliable)
        }
        if Int(attempt) + 1 < list.count { record.patienceEnd = now + settings.candidateTimeout }
        state.counters.add(.forksStarted, me)
        transmit(record)
        store(record, new)
        shard.wheel.schedule(new, due: record.deadline)
    }

    private mutating func listener(for candidate: Candidate, _ preferred: Int) -> Int? {
        core.identity.listener(for: candidate.address, candidate.transport, preferred: preferred)
    }

    /// Puts what CANCEL and ACK will need of a request behind it; false where there is nothing to put, or no room.
    private mutating func keep(
        _ fields: HopFields?, behind count: Int, in room: StoredMessages.Reservation
    ) -> Bool {
        let place = WorkerProcess.hopFieldsPlace(behind: count)
        guard let fields, place + MemoryLayout<HopFields>.size <= room.capacity, fields.lies(in: count) else {
            return false
        }
        memory.store(fields, at: room.offset + place)
        return true
    }

    private static func hopFieldsPlace(behind count: Int) -> Int { (count + 7) & ~7 }

    /// What CANCEL and ACK need of a fork's request; nil where that is to be scanned.
    mutating func hopFields(_ record: ForkRecord) -> HopFields? {
        if !record.hasHopFields || record.request.isNone { return nil }
        let place = shard.stored.locate(record.request)
        return memory.load(place.offset + WorkerProcess.hopFieldsPlace(behind: place.count))
    }

    /// The request as this fork sends it.
    private mutating func write(
        _ message: Message, _ set: TargetSet, _ placed: PlacedTarget, in bytes: Span<UInt8>,
        _ listener: Int, _ branch: Branch, _ breadth: UInt8, to writer: inout ByteWriter
    ) -> HopFields? {
        var lines = line
        core.writeVia(listener, branch, to: &lines)
        let viaEnd = lines.count
        if placed.target.flags.contains(.recordRoute) {
            core.writeRecordRoutes(
                message.callID, leaving: listener, arriving: Int(set.head.source.listener), to: &lines)
        }
        let written = lines.written
        return core.writeForwarded(
            message, placed, in: bytes, source: set.head.source,
            via: written.extracting(0..<viaEnd),
            recordRoute: written.extracting(viaEnd..<written.count), breadth: Int(breadth),
            isForStream: core.identity.transport(listener).isReliable, to: &writer)
    }

    // MARK: candidates

    private mutating func candidateList(_ reference: StoredReference) -> CandidateList {
        let place = shard.stored.locate(reference)
        var list = CandidateList()
        for offset in stride(from: 0, to: place.count, by: Candidate.bytes) {
            list.append(memory.load(place.offset + offset))
        }
        return list
    }

    /// None where there is no room: then the first candidate is the only one.
    private mutating func store(_ list: CandidateList) -> StoredReference {
        guard let room = shard.stored.reserve(list.count * Candidate.bytes) else { return .none }
        for index in 0..<list.count { memory.store(list[index], at: room.offset + index * Candidate.bytes) }
        return shard.stored.seal(room, length: list.count * Candidate.bytes)
    }

    /// Goes on with the next candidate; false where there is none, or it is not wanted: the fork was cancelled.
    mutating func tryNext(
        after record: inout ForkRecord, _ isWanted: Bool, isLocal: Bool = false
    ) -> Bool {
        if record.isNamed && !record.isAbandoned && !isLocal && settings.candidateDeadTime > 0 {
            state.deadPeers.markDead(
                record.endpoint.transport, record.endpoint.peer, until: now + settings.candidateDeadTime)
        }
        guard isWanted, !record.isAbandoned, !record.candidates.isNone,
            Int(record.attempt) + 1 < shard.stored.locate(record.candidates).count / Candidate.bytes
        else { return false }
        let candidates = record.candidates
        record.candidates = .none
        record.isAbandoned = true
        state.counters.add(.candidatesFailed, me)
        launch(ForkOrder(record), attempt: record.attempt + 1, candidates: candidates, into: 0)
        return true
    }

    // MARK: names

    /// Asks the resolver; the fork waits in its record.
    private mutating func resolve(
        _ order: ForkOrder, _ kind: DNSQuestion.Kind, _ name: Span<UInt8>, _ waiting: UInt32
    ) {
        var cell = waiting
        if cell == 0 {
            let branch = Branch(order.server, fork: order.fork, attempt: 0, keys: keys)
            cell = shard.table.insert(kind: RecordKind.fork, key: branch.key(keys: keys, cancel: false))
            guard cell != 0, let question = storeQuestion(kind, name) else {
                if cell != 0 { shard.table.remove(cell) }
                state.counters.add(.refusedFull, me)
                fail(order, 503, .none, 0)
                return
            }
            var record = fork(cell)
            record.take(order)
            record.request = question
            record.resolvingEnd = now + settings.resolvingTime
            store(record, cell)
        }
        var record = fork(cell)
        if record.resolvingEnd <= now {
            fail(order, 500, .none, cell)
            return
        }
        record.patienceEnd = now + DNSQuestion.askingInterval
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
        var mail = Mail(.resolve)
        mail.transaction = order.server
        mail.fork = order.fork
        mail.first = record.request
        send(mail, to: .resolver)
    }

    mutating func storeQuestion(_ kind: DNSQuestion.Kind, _ name: Span<UInt8>) -> StoredReference? {
        guard let room = shard.stored.reserve(1 + name.count) else { return nil }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        writer.append(kind.rawValue)
        writer.append(name)
        return shard.stored.seal(room, length: writer.count)
    }

    /// The cache knows now what a fork has asked.
    mutating func takeResolved(_ mail: Mail) {
        if mail.third == WorkerProcess.waitingMark {
            resolveWaiting(mail)
            return
        }
        let cell = find(mail.transaction, fork: mail.fork)
        guard cell != 0, fork(cell).isResolving else { return }
        launch(ForkOrder(fork(cell)), attempt: 0, candidates: .none, into: cell)
    }

    /// The resolver has not answered yet: it is asked again, or given up.
    mutating func expireResolving(_ cell: UInt32) {
        let record = fork(cell)
        if record.patienceEnd > now {
            shard.wheel.schedule(cell, due: record.deadline)
        } else {
            launch(ForkOrder(record), attempt: 0, candidates: .none, into: cell)
        }
    }

    // MARK: ends

    /// Removes the record of a fork that has waited for the resolver; 0 is none.
    mutating func drop(_ cell: UInt32) {
        if cell == 0 { return }
        shard.stored.free(fork(cell).request)
        shard.wheel.cancel(cell)
        shard.table.remove(cell)
    }

    /// The fork cannot be sent: the server transaction hears of it.
    private mutating func fail(
        _ order: ForkOrder, _ status: UInt16, _ candidates: StoredReference, _ cell: UInt32
    ) {
        shard.stored.free(candidates)
        drop(cell)
        report(status, lastHeard: 0, of: order, isLocal: status != 500)
    }

    /// Tells the server transaction that the fork ended without a final response: 408, 500 (its next hop cannot
    /// be resolved), 503 or 513.
    ///
    /// - Parameter isLocal: it has not been tried at all, for want of room or for its size.
    mutating func report(
        _ status: UInt16, lastHeard: UInt16, of order: ForkOrder, isLocal: Bool = false
    ) {
        var done = Mail(.forkDone)
        done.transaction = order.server
        done.fork = order.fork
        done.status = status
        done.flags = UInt16(order.breadth)
        done.second = UInt64(lastHeard)
        done.third = isLocal ? 1 : 0
        send(done, to: .worker(order.server.worker))
    }
}
