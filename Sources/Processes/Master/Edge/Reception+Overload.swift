import Platform
import Proxy
import SharedState
import Syntax

/// What the master answers by itself when a worker has too much to do.
extension Reception {
    /// The hash that chooses the worker of a call, and that tells its requests from others'.
    @inline(__always) func callHash(_ message: Message) -> UInt64 {
        var hash = keys.tables
        hash.combine(message.callID)
        return hash.finalize()
    }

    func requestKey(_ message: Message, _ call: UInt64) -> UInt64 {
        RecentRequests.key(call: call, cseq: message.index.cseqNumber, method: message.method.rawValue)
    }

    /// True for a request that begins something: none in a dialog, and none that belongs to another.
    @inline(__always) func isNew(_ message: Message) -> Bool {
        message.index.isRequest && message.method != .ack && message.method != .cancel
            && message.toTag.isEmpty
    }

    /// Refuses a new request whose worker has too much before it, unless it has come before; true where that is done.
    mutating func refusesNew(
        _ message: Message, _ header: SlotHeader, worker: Int, call: UInt64, key: UInt64
    ) -> Bool {
        let isRegister = message.method == .register
        guard let process = overload.refuser(worker: worker, isRegister: isRegister) else { return false }
        // A connection is closed behind a faulty message: the worker's answer is waited for.
        if header.fault != 0 && header.endpoint.isReliable { return false }
        if overload.recent.contains(key) { return false }
        refuse(message, header, call: call, by: process)
        return true
    }

    /// Answers 503 and forgets the request: the same for each copy of it.
    mutating func refuse(_ message: Message, _ header: SlotHeader, call: UInt64, by process: ProcessID) {
        overload.noteRefused(by: process)
        state.counters.add(.refusedOverload, .master)
        noteReceived(message, header, .handled(.master))
        // Without a Via there is no way back (§18.2.2).
        if !message.index.has(.via) { return }
        // Spread, so that not all come back at once.
        var extra = core.line
        extra.append("Retry-After: ")
        extra.append(decimal: 2 + (call >> 32) % 4)
        extra.append("\r\n")
        _ = answer(message, RequestSource(message, header.endpoint), 503, extra: extra.written)
    }
}
