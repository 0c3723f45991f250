import Platform
import SharedState
import Syntax

extension SharedState {
    /// What mail is known by. One that brings a message: by method, branch, CSeq and Call-ID, and a response's
    /// status, so that the same message sent again is the same event.
    package func eventHash(of mail: Mail) -> UInt64 {
        if mail.slot.isNone { return quarantine.hash(ofFields: mail) }
        let message = Message(
            slots.bytes(mail.slot.index), memory.load(slots.indexOffset(mail.slot.index)))
        var hash = quarantine.begin(mail)
        let method = message.index.cseqMethodRange
        hash.combine(method.isEmpty ? message.methodToken : message.bytes.slice(method))
        hash.combine(UInt8(0))
        hash.combine(message.branch)
        hash.combine(UInt8(0))
        hash.combine(message.callID)
        hash.combine(UInt8(0))
        hash.combine(UInt64(message.index.cseqNumber))
        hash.combine(UInt64(message.status) << 1 | (message.isRequest ? 1 : 0))
        return hash.finalize()
    }

    /// What a child that has trapped was handling; nil where nothing can be blamed. By the master, before a
    /// successor is started.
    package func blamedEvent(of process: ProcessID) -> UInt64? {
        let word = processes.event(process)
        if process == .resolver { return word == 0 ? nil : word }
        guard let event = CurrentEvent(rawValue: word) else { return nil }
        let worker = process.workerIndex
        switch event {
        case .mail(let place):
            guard place < Turn.inFlightCapacity, worker != nil || process == .locator else { return nil }
            let turn = Turn(memory: memory, at: worker.map { shard($0).turn } ?? locatorTurn)
            let mail = turn.mail(place)
            if mail.isNone || !mail.slot.isNone && !slots.isHeld(mail.slot, by: process) { return nil }
            return eventHash(of: mail)
        case .timer(let cell, let generation):
            return worker.map { quarantine.hash(ofTimer: cell, generation: generation, worker: $0) }
        }
    }

    /// Blames the message that the master before this one was reading, where it has trapped. By its successor,
    /// before that gives back the slots that nobody has any more.
    package func blameMaster(now: UInt64) {
        let slot = SlotReference(rawValue: processes.event(.master))
        if processes.takeTrapped(.master) && !slot.isNone && slots.isHeld(slot, by: .master) {
            quarantine.blame(quarantine.hash(ofMessage: slots.bytes(slot.index)), .message, now: now)
        }
        processes.setEvent(0, .master)
    }
}
