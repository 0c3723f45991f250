import Platform
import Proxy
import SharedState
import Syntax

/// What is forwarded without a transaction (RFC 3261 §16.11): an ACK to a 2xx, a CANCEL that matches nothing.
extension WorkerProcess {
    mutating func forwardStateless(_ message: Message, _ source: RequestSource) {
        let outcome = tryStateless(message, source)
        // A CANCEL for nothing that is known here or can be passed on is answered 481; an ACK never is.
        switch outcome {
        case .sent: break
        case .wait(let name, let target):
            if !park(message, source, name: name, target), message.method == .cancel {
                answerStateless(message, source, status: 481)
            }
        case .looping: if message.method == .cancel { answerStateless(message, source, status: 482) }
        case .nowhere: if message.method == .cancel { answerStateless(message, source, status: 481) }
        }
    }

    private enum Outcome {
        case sent, nowhere, looping
        /// The resolver has to be asked for the name, which lies at this place of the arena.
        case wait(name: Range<Int>, DNSQuestion.Kind)
    }

    private mutating func tryStateless(_ message: Message, _ source: RequestSource) -> Outcome {
        var request = RoutedRequest(message, source, core.identity, keys)
        // §16.3 step 4, also here: what comes round again would do so until its hops are used up.
        request.loopMark = LoopCheck.mark(message, keys: keys)
        if LoopCheck.isLoop(message, mark: request.loopMark) {
            state.counters.add(.loopsDetected, me)
            return .looping
        }
        let offset = turn.scratchOffset()
        let place = memory.writer(offset, capacity: turn.scratchRoom)
        switch request.routing.decision {
        case .forward:
            guard core.mayPass(message, request) else { return .nowhere }
            var draft = TargetSetDraft(place, source: source.endpoint)
            guard core.addOwnTarget(message, request, to: &draft) else { return .nowhere }
            return emit(message, request, draft.written, at: offset)
        case .lookUp:
            // To the newest binding that can be reached: its sender has dropped our Record-Route.
            let time = Clock.epochSeconds()
            guard let set = core.bindings(message, request.routing, now: time) else { return .nowhere }
            for index in stride(from: set.count - 1, through: 0, by: -1) where set[index].expiresAt > time {
                let binding = set[index]
                var draft = TargetSetDraft(place, source: source.endpoint)
                core.add(
                    contact: binding.uri, path: binding.path, q: binding.q, message, request, to: &draft)
                let outcome = emit(message, request, draft.written, at: offset)
                if case .nowhere = outcome { continue }
                return outcome
            }
            return .nowhere
        case .refuse, .ours: return .nowhere
        }
    }

    /// Sends to the one target of the set that lies at the begin of the scratch.
    private mutating func emit(
        _ message: Message, _ request: RoutedRequest, _ set: Span<UInt8>, at setOffset: Int
    ) -> Outcome {
        turn.keepScratch(set.count)
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        switch core.writeStateless(
            message, request, set: set, recordRoutes: false, now: now, to: &writer)
        {
        case .nowhere: return .nowhere
        case .wait(let placed):
            let name = setOffset + placed.name.lowerBound..<setOffset + placed.name.upperBound
            return .wait(name: name, placed.target.question)
        case .send(let endpoint):
            turn.keepScratch(writer.count)
            transmit(OutboxEntry(offset: offset, count: writer.count, to: endpoint))
            return .sent
        }
    }

    // MARK: waiting for the resolver

    /// Keeps the message until the resolver has answered. False where there is no room for it.
    private mutating func park(
        _ message: Message, _ source: RequestSource, name: Range<Int>, _ kind: DNSQuestion.Kind
    ) -> Bool {
        var hash = keys.tables
        hash.combine(message.branch)
        hash.combine(message.callID)
        hash.combine(message.method.rawValue)
        let key = hash.finalize()
        // The same message again is absorbed while it waits.
        if shard.table.find(kind: RecordKind.waiting, key: key) != 0 { return true }
        guard parked < WorkerProcess.mostParked,
            let question = storeQuestion(kind, memory.bytes(name.lowerBound, count: name.count))
        else { return false }
        var cell: UInt32 = 0
        let request = shard.stored.store(message.bytes.slice(message.index.whole))
        if request != nil { cell = shard.table.insert(kind: RecordKind.waiting, key: key) }
        guard cell != 0, let request else {
            shard.stored.free(question)
            if let request { shard.stored.free(request) }
            state.counters.add(.refusedFull, me)
            return false
        }
        var record: WaitingRecord = memory.load(shard.table.offset(cell))
        record.request = request
        record.question = question
        record.endpoint = source.endpoint
        record.end = now + settings.resolvingTime
        parked += 1
        ask(&record, cell)
        return true
    }

    private mutating func ask(_ record: inout WaitingRecord, _ cell: UInt32) {
        record.askAt = now + DNSQuestion.askingInterval
        record.header = shard.table.header(cell)
        turn.undo.write(record, at: shard.table.offset(cell))
        shard.wheel.schedule(cell, due: record.askAt)
        var mail = Mail(.resolve)
        mail.transaction = TransactionReference(
            worker: index, cell: cell, generation: record.header.generation)
        mail.first = record.question
        mail.third = WorkerProcess.waitingMark
        send(mail, to: .resolver)
    }

    /// Messages that may wait for the resolver at once.
    private static var mostParked: Int { 512 }

    /// `Mail.third` of questions that a waiting message asks, and no fork.
    static var waitingMark: UInt64 { 1 }

    /// The resolver has answered a waiting message's question.
    mutating func resolveWaiting(_ mail: Mail) {
        let reference = mail.transaction
        guard reference.worker == index,
            shard.table.isCurrent(
                reference.cell, kind: RecordKind.waiting, generation: reference.generation)
        else { return }
        let record: WaitingRecord = memory.load(shard.table.offset(reference.cell))
        finishWaiting(record, reference.cell, isAnswered: true)
    }

    mutating func expireWaiting(_ cell: UInt32) {
        var record: WaitingRecord = memory.load(shard.table.offset(cell))
        if record.end > now {
            ask(&record, cell)
        } else {
            finishWaiting(record, cell, isAnswered: false)
        }
    }

    private mutating func finishWaiting(_ record: WaitingRecord, _ cell: UInt32, isAnswered: Bool) {
        // Those of a predecessor were never counted.
        parked = max(0, parked - 1)
        shard.wheel.cancel(cell)
        shard.table.remove(cell)
        shard.stored.free(record.question)
        // Freed cells keep their bytes until the next turn.
        if let message = storedMessage(record.request) {
            let source = RequestSource(message, record.endpoint)
            var isSent = false
            if isAnswered, case .sent = tryStateless(message, source) { isSent = true }
            if !isSent && message.method == .cancel { answerStateless(message, source, status: 481) }
        }
        shard.stored.free(record.request)
    }

    // MARK: responses

    /// The response to a request that was forwarded without state: by its second Via, if the check in ours
    /// is right.
    mutating func forwardStatelessResponse(_ message: Message, _ slot: SlotReference) {
        guard let branch = Branch(message.branch),
            let endpoint = core.endpoint(
                ofStateless: message, branch, cameOn: state.slots.header(slot.index).endpoint)
        else {
            state.counters.add(.strayResponses, me)
            return
        }
        transmitCut(message, slot, to: endpoint)
    }
}
