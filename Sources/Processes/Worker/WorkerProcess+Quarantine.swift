import Platform
import Proxy
import SharedState
import Syntax

/// Design §5.3: what has ended this process twice is dropped, counted, and told of. Only asked while anything is
/// quarantined.
extension WorkerProcess {
    mutating func isQuarantined(_ mail: Mail) -> Bool {
        let strikes = state.quarantine.strikes(state.eventHash(of: mail))
        if strikes < Quarantine.limit { return false }
        state.counters.add(.quarantined, me)
        var text = line
        if mail.slot.isNone {
            // For whoever reads the source.
            text.append("mail of kind ")
            text.append(decimal: UInt64(mail.rawKind))
            text.append(" from ")
            mail.sender.writeName(to: &text)
        } else {
            text.append("a message from ")
            state.slots.header(mail.slot.index).endpoint.writePeer(to: &text)
        }
        tellQuarantined(&text, strikes == Quarantine.limit ? mail.slot : .none)
        return true
    }

    /// - Parameter cell: of a record that is due.
    mutating func isQuarantined(timerOf cell: UInt32, _ generation: UInt32) -> Bool {
        let hash = state.quarantine.hash(ofTimer: cell, generation: generation, worker: index)
        if state.quarantine.strikes(hash) < Quarantine.limit { return false }
        state.counters.add(.quarantined, me)
        var text = line
        text.append("a timer of ")
        switch shard.table.header(cell).kind {
        case RecordKind.server: text.append("server transaction ")
        case RecordKind.fork: text.append("fork ")
        case RecordKind.cancel: text.append("CANCEL ")
        default: text.append("waiting request ")
        }
        text.append(decimal: UInt64(cell))
        tellQuarantined(&text, .none)
        return true
    }

    /// - Parameter slot: of the message that goes with it; none where that may be what has ended the last one who
    ///   told of it.
    private mutating func tellQuarantined(_ text: inout ByteWriter, _ slot: SlotReference) {
        guard quarantineLimit.allows(now: now) else { return }
        text.append(" has ended ")
        me.writeName(to: &text)
        text.append(" twice, and is dropped from now on")
        quarantineLimit.tellSuppressed(to: &text)
        var entry = log.begin(.quarantined, .error)
        entry.add(.message, text.written)
        if !slot.isNone {
            let message = message(in: slot)
            describe(&entry, message, state.slots.header(slot.index).endpoint)
            let bytes = message.bytes
            entry.add(.rawMessage) { MaskedMessage.write(bytes, to: &$0) }
        }
        log.commit(entry)
    }

    #if DEBUG
        /// A test wants a timer of a fork to trap.
        mutating func meetTrigger(timerOf cell: UInt32) {
            guard shard.table.header(cell).kind == RecordKind.fork,
                let request = storedMessage(fork(cell).request)
            else { return }
            FaultTrigger.timer.meet(request.requestURI, memory)
        }
    #endif
}
