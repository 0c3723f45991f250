import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// Server transactions: their records, timers and responses.
extension WorkerProcess {
    mutating func store(_ record: ServerRecord, _ cell: UInt32) {
        var copy = record
        // Chains and timer links change in place; the copy may be older.
        copy.header = shard.table.header(cell)
        turn.undo.write(copy, at: shard.table.offset(cell))
    }

    mutating func server(_ cell: UInt32) -> ServerRecord { memory.load(shard.table.offset(cell)) }

    mutating func reference(_ record: ServerRecord, _ cell: UInt32) -> TransactionReference {
        TransactionReference(worker: index, cell: cell, generation: record.header.generation)
    }

    /// Does what the machine asks for, except what concerns a response that is being sent (`respond`).
    mutating func apply(_ effects: Effects, _ record: inout ServerRecord, _ cell: UInt32) {
        if effects.contains(.sendTrying) { sendTrying(&record) }
        if effects.contains(.retransmitResponse) && !record.response.isNone {
            state.counters.add(.retransmissionsSent, me)
            transmit(record.response, to: record.endpoint)
        }
        if effects.contains(.forgetRequest) { forgetRequest(&record) }
        if effects.contains(.forgetResponse) { forgetResponse(&record) }
    }

    /// Stores the record and sets its timer, or frees it when its machine has ended.
    mutating func finish(_ record: ServerRecord, _ cell: UInt32) {
        var record = record
        let ended =
            record.isInvite ? record.invite.state == .terminated : record.nonInvite.state == .terminated
        if ended {
            forgetRequest(&record)
            forgetResponse(&record)
            store(record, cell)
            shard.wheel.cancel(cell)
            shard.table.remove(cell)
            shard.setServerTransactions(shard.serverTransactions - 1)
        } else {
            store(record, cell)
            shard.wheel.schedule(cell, due: record.deadline)
        }
    }

    private mutating func forgetRequest(_ record: inout ServerRecord) {
        shard.stored.free(record.request)
        freeTargets(&record)
        shard.stored.free(record.best)
        record.request = .none
        record.best = .none
    }

    private mutating func forgetResponse(_ record: inout ServerRecord) {
        shard.stored.free(record.response)
        record.response = .none
    }

    /// The stored request again as a message; nil once it was forgotten.
    @_lifetime(immortal)
    mutating func storedMessage(_ reference: StoredReference) -> Message? {
        if reference.isNone { return nil }
        let bytes = shard.stored.bytes(reference)
        var index = MessageIndex()
        guard Scanner.scan(bytes, into: &index) == .complete else { return nil }
        return Message(bytes, index)
    }

    private mutating func sendTrying(_ record: inout ServerRecord) {
        guard let request = storedMessage(record.request) else { return }
        var writer = answerWriter
        LocalResponse.write(
            request: request, status: 100, reason: ReasonPhrase.text(100), toTag: nil,
            peer: record.endpoint.peer,
            extra: nil,
            to: &writer)
        keepAnswer(writer, &record, status: 100)
    }

    /// Where an answer is made before it is stored: only then is its length known, and it is kept for so long
    /// that its cell should be no larger than that.
    private var answerWriter: ByteWriter {
        memory.writer(turn.scratchOffset(), capacity: turn.scratchRoom)
    }

    private mutating func keepAnswer(_ writer: ByteWriter, _ record: inout ServerRecord, status: UInt16) {
        guard !writer.overflowed, let reference = shard.stored.store(writer.written) else { return }
        replaceResponse(&record, reference, status: status)
    }

    /// Sends a response and keeps it for retransmission.
    private mutating func replaceResponse(
        _ record: inout ServerRecord, _ reference: StoredReference, status: UInt16
    ) {
        transmit(reference, to: record.endpoint)
        shard.stored.free(record.response)
        record.response = reference
        record.status = status
    }

    // MARK: local responses

    /// Answers a transaction by ourselves. The To tag is derived from the record.
    mutating func respondLocally(
        _ cell: UInt32, _ request: Message, status: UInt16, reason: StaticString? = nil,
        extra: StaticString? = nil
    ) {
        var header = line
        if let extra { header.append(extra) }
        respondLocally(cell, request, status: status, reason: reason, header: header.written)
    }

    mutating func respondLocally(
        _ cell: UInt32, _ request: Message, status: UInt16, reason: StaticString?, header: Span<UInt8>
    ) {
        var record = server(cell)
        let effects =
            record.isInvite
            ? record.invite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
            : record.nonInvite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
        if effects.contains(.sendResponse) {
            var mark = keys.marks(.tag)
            mark.combine(reference(record, cell).rawValue)
            mark.combine(record.header.key)
            var tag = InlineArray<16, UInt8>(repeating: 0)
            let value = mark.finalize()
            for position in 0..<16 {
                let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * position)) & 15
                tag[position] = nibble < 10 ? nibble + 0x30 : nibble + 0x57
            }
            var writer = answerWriter
            LocalResponse.write(
                request: request, status: status, reason: reason ?? ReasonPhrase.text(status),
                toTag: tag.span,
                peer: record.endpoint.peer, extra: header.count > 0 ? header : nil, to: &writer)
            keepAnswer(writer, &record, status: status)
        }
        if status >= 200 {
            logEnd(record, request, status: status, reason: reason ?? ReasonPhrase.text(status))
        }
        apply(effects, &record, cell)
        finish(record, cell)
    }

    // MARK: timers

    mutating func expireServer(_ cell: UInt32) {
        var record = server(cell)
        if record.guardAt != 0 && record.guardAt <= now {
            record.guardAt = 0
            store(record, cell)
            abandonForks(cell)
            // A request on a connection ends with its answer: timer J is 0 (RFC 3261 §17.2.2).
            let generation = record.header.generation
            guard shard.table.isCurrent(cell, kind: RecordKind.server, generation: generation) else { return }
            record = server(cell)
        }
        // At most two deadlines can be due at once.
        for _ in 0..<2 {
            let next = record.isInvite ? record.invite.timers.next : record.nonInvite.timers.next
            if next == 0 || next > now { break }
            let effects =
                record.isInvite
                ? record.invite.timeout(now: now, values: values, reliable: record.endpoint.isReliable)
                : record.nonInvite.timeout(now: now, values: values, reliable: record.endpoint.isReliable)
            apply(effects, &record, cell)
        }
        finish(record, cell)
    }
}
