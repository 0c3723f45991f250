import Platform
import Proxy
import SharedState
import Syntax

/// What leaves a worker: datagrams by the turn's outbox, the rest by the master, which has the connections.
extension WorkerProcess {
    /// Sends a stored message of this shard.
    mutating func transmit(_ reference: StoredReference, to endpoint: Endpoint) {
        let place = shard.stored.locate(reference)
        transmit(OutboxEntry(offset: place.offset, count: place.count, to: endpoint))
    }

    /// A datagram leaves from here after the commit; what goes by a connection, the master sends.
    mutating func transmit(_ entry: OutboxEntry) {
        if entry.endpoint.isReliable ? post(entry) : turn.send(entry) { return }
        state.counters.add(.sendErrors, me)
        if entry.transaction.isNone { return }
        var failure = WorkerProcess.failure(of: entry)
        failure.flags = WorkerProcess.localFailure
        send(failure, to: me)
    }

    /// In `flags` of `sendFailed`: it was us who had no room, which says nothing of the peer.
    static var localFailure: UInt16 { 2 }

    /// Copies a message into a slot and hands it to the master. False where no slot is free.
    private mutating func post(_ entry: OutboxEntry) -> Bool {
        let count = Int(entry.firstCount) + Int(entry.secondCount)
        guard count <= Slots.largeCapacity,
            let slot = state.slots.takeOutgoing(index, from: nextOutgoing, undo: turn.undo)
        else { return false }
        posted += 1
        nextOutgoing = slot.index - state.slots.outgoing(of: index).lowerBound + 1
        let target = state.slots.bytesOffset(slot.index)
        memory.copy(from: Int(entry.first), to: target, count: Int(entry.firstCount))
        memory.copy(
            from: Int(entry.second), to: target + Int(entry.firstCount), count: Int(entry.secondCount))
        var header = SlotHeader()
        header.length = UInt32(count)
        header.endpoint = entry.endpoint
        state.slots.setHeader(header, slot.index)
        var mail = WorkerProcess.failure(of: entry)
        mail.rawKind = Mail.Kind.send.rawValue
        mail.slot = slot
        if send(mail, to: .master) { return true }
        state.slots.release(slot, by: me)
        return false
    }

    static func failure(of entry: OutboxEntry) -> Mail {
        var mail = Mail(.sendFailed)
        mail.transaction = entry.transaction
        mail.fork = entry.fork
        mail.attempt = entry.attempt
        return mail
    }

    /// Sends a response from its slot, its top Via cut out; a copy where the stream wants a Content-Length.
    mutating func transmitCut(_ message: Message, _ slot: SlotReference, to endpoint: Endpoint) {
        if endpoint.isReliable && !message.index.has(.contentLength) {
            let offset = turn.scratchOffset()
            var writer = memory.writer(offset, capacity: turn.scratchRoom)
            ForwardedResponse.write(message, isForStream: true, to: &writer)
            if writer.overflowed { return }
            turn.keepScratch(writer.count)
            transmit(OutboxEntry(offset: offset, count: writer.count, to: endpoint))
            return
        }
        let cut = ForwardedResponse.cut(message)
        let base = state.slots.bytesOffset(slot.index)
        let start = Int(message.index.start)
        var entry = OutboxEntry(offset: base + start, count: cut.from - start, to: endpoint)
        entry.second = UInt64(base + cut.to)
        entry.secondCount = UInt32(Int(message.index.end) - cut.to)
        transmit(entry)
    }

    /// False while too many messages are on their way to the master: what a turn may want to send by
    /// connections would find no slot, and nobody sends it again.
    mutating func hasRoomToSend() -> Bool {
        if posted < Slots.outgoingPerWorker / 4 { return true }
        if state.slots.freeOutgoing(index) < Slots.outgoingPerWorker / 2 { return false }
        posted = 0
        return true
    }
}
