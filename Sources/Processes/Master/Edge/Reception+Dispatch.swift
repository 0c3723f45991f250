import Proxy
import SharedMemory
import SharedState
import Syntax

/// What has become of a received message.
enum Dispatch: Equatable {
    /// It is on its way to a worker, and its slot with it.
    case handed
    /// No worker wants it: it was counted, or is dealt with.
    case dropped
    case notSIP
    /// The worker holds as many slots as it may, or none is free.
    case noSlot
    /// The worker's mail ring is full.
    case noMail
}

extension Reception {
    /// Scans and mails one message. Its header says whether it is known to be faulty.
    mutating func dispatch(_ slot: SlotReference, _ header: SlotHeader) -> Dispatch {
        state.processes.setEvent(slot.rawValue, .master)
        defer { state.processes.setEvent(0, .master) }
        if state.quarantine.hasMessages && isQuarantined(slot, header) { return .dropped }
        let bytes = state.slots.bytes(slot.index)
        #if DEBUG
            FaultTrigger.master.meet(bytes, state.memory)
        #endif
        var index = MessageIndex()
        let result = Scanner.scan(bytes, into: &index)
        var mail = Mail(index.isRequest ? .request : .response)
        mail.slot = slot
        var fault = header.fault
        switch result {
        case .notSIP:
            state.counters.add(.droppedNotSip, .master)
            return .notSIP
        case .complete: break
        case .faulty(let found): if fault == 0 { fault = found.rawValue + 1 }
        }
        if fault != 0 {
            if !index.isRequest {
                state.counters.add(.badResponses, .master)
                noteReceived(Message(bytes, index), header, .dropped("it is malformed"))
                return .dropped
            }
            var marked = header
            marked.fault = fault
            state.slots.setHeader(marked, slot.index)
        }
        state.memory.store(index, at: state.slots.indexOffset(slot.index))
        FaultPoint.messageScanned.pass(state.memory)
        let message = Message(bytes, index)
        let counter = index.isRequest ? Counter.requestsReceived : .responsesReceived
        // What a stream has no room for is not dropped, and will be here again.
        if !header.endpoint.isReliable { state.counters.add(counter, .master) }
        if index.isRequest && fault == 0 && message.method == .ack && core.acknowledgesAnswer(message) {
            if header.endpoint.isReliable { state.counters.add(counter, .master) }
            state.counters.add(.answersAcknowledged, .master)
            noteReceived(message, header, .handled(.master))
            return .dropped
        }
        if stateless.isActive && index.isRequest && fault == 0 {
            switch forward(message, slot, header) {
            case .toWorker: break
            case .kept:
                if header.endpoint.isReliable { state.counters.add(counter, .master) }
                return .handed
            case .done:
                if header.endpoint.isReliable { state.counters.add(counter, .master) }
                return .dropped
            }
        }
        let call = callHash(message)
        var worker = Int(call % UInt64(workers))
        if !index.isRequest {
            // §18.1.2: what does not name us was not meant for us, whatever its branch.
            guard let branch = Branch(message.branch), branch.isStateless || isOurs(branch),
                core.identity.isAdvertised(message.index.topVia, message.bytes)
            else {
                if header.endpoint.isReliable { state.counters.add(counter, .master) }
                state.counters.add(.strayResponses, .master)
                noteReceived(message, header, .dropped("it answers nothing of ours"))
                return .dropped
            }
            if branch.isStateless && stateless.isActive {
                if header.endpoint.isReliable { state.counters.add(counter, .master) }
                noteReceived(message, header, .handled(.master))
                forwardResponse(message, branch, header)
                return .dropped
            }
            if !branch.isStateless {
                worker = workerOfFork(branch)
                mail.transaction = branch.transaction
                mail.fork = branch.fork
                mail.attempt = branch.attempt
            }
        }
        let isNew = isNew(message)
        let key = isNew ? requestKey(message, call) : 0
        if isNew && refusesNew(message, header, worker: worker, call: call, key: key) {
            if header.endpoint.isReliable { state.counters.add(counter, .master) }
            return .dropped
        }
        if isNew && header.endpoint.isReliable && overload.holdsStreams(worker: worker) { return .noMail }
        let receiver = ProcessID.worker(worker)
        var failure: Dispatch?
        if !pool.mayHand(to: receiver) {
            failure = .noSlot
        } else if !state.masterRing(to: receiver).append(mail) {
            failure = .noMail
        }
        if let failure {
            // One of a stream will be here again.
            if header.endpoint.isReliable { return failure }
            if isNew && !overload.recent.contains(key) {
                refuse(message, header, call: call, by: receiver)
                return .dropped
            }
            noteReceived(message, header, .dropped("its worker has no room"))
            return failure
        }
        FaultPoint.messageMailed.pass(state.memory)
        if isNew { overload.recent.add(key) }
        noteReceived(message, header, .handled(receiver))
        if header.endpoint.isReliable { state.counters.add(counter, .master) }
        return .handed
    }

    /// Design §5.3: a message whose like has twice ended the master in here is not read again.
    private mutating func isQuarantined(_ slot: SlotReference, _ header: SlotHeader) -> Bool {
        let bytes = state.slots.bytes(slot.index)
        let strikes = state.quarantine.strikes(state.quarantine.hash(ofMessage: bytes))
        if strikes < Quarantine.limit { return false }
        state.counters.add(.quarantined, .master)
        trace.noteQuarantined(bytes, header.endpoint, isShown: strikes == Quarantine.limit)
        return true
    }

    /// Tells of a message where its call is traced.
    @inline(__always)
    mutating func noteReceived(_ message: Message, _ header: SlotHeader, _ fate: TracedMessage.Fate) {
        if trace.isOn { trace.noteReceived(message, header.endpoint, fate) }
    }

    /// True where the branch is of a fork of ours.
    func isOurs(_ branch: Branch) -> Bool {
        branch.isGenuine(keys: keys) && branch.transaction.worker < workers
    }

    /// - Parameter branch: one of ours.
    func workerOfFork(_ branch: Branch) -> Int {
        ForkPlacement.worker(owner: branch.transaction.worker, fork: branch.fork, workers: workers)
    }
}
