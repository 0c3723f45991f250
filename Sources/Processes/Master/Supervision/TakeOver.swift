import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// The first things that a master does who follows another (design §5.5), before any child works: what the one before
/// had on its hands goes on, and what has arrived meanwhile is there before a timer fires.
///
///     rings ──▶ mailboxes;  own mailbox ──▶ connections
///     received by the one before ──▶ rings ──▶ mailboxes;  other slots ──▶ free
///     what is in the sockets ──▶ rings ──▶ mailboxes
extension MasterProcess {
    /// Rounds of `takeMail`, and batches of datagrams of one listener: more than mailboxes and buffers hold.
    private static let mostMail = 64
    private static let mostBatches = 4096

    mutating func takeOver() {
        flushMail()
        FaultPoint.masterHanded.pass(state.memory)
        for _ in 0..<MasterProcess.mostMail { takeMail() }
        FaultPoint.masterRead.pass(state.memory)
        let kept = slotsOnTheirWay()
        reception.dispatchReceived(except: kept)
        FaultPoint.masterDispatched.pass(state.memory)
        // Whose slots are handed over by this: what is then still the master's is nobody's.
        flushMail()
        state.slots.reclaim(except: kept)
        FaultPoint.masterReclaimed.pass(state.memory)
        let waiting = drainSockets()
        FaultPoint.masterDrained.pass(state.memory)
        log.note(.note, .info, "\(waiting) datagrams had waited in the sockets")
    }

    /// What workers have handed to the master and not sent yet: their successors do.
    private func slotsOnTheirWay() -> Set<Int> {
        var slots: Set<Int> = []
        for worker in 0..<Int(state.sizes.workers) {
            let ring = state.shard(worker).ring(to: .master)
            for position in ring.sent..<max(ring.tail, ring.sent) {
                let slot = ring.mail(position).slot
                if !slot.isNone { slots.insert(slot.index) }
            }
        }
        return slots
    }

    private mutating func drainSockets() -> Int {
        // There the master forwards by itself, and reads bindings: the loop does that.
        if reception.stateless.isActive || !state.locations.isLoaded { return 0 }
        var total = 0
        for number in listeners.numbers {
            let entry = listeners[number]!
            guard entry.listener.transport == .udp else { continue }
            for _ in 0..<MasterProcess.mostBatches {
                let count = reception.receive(
                    from: entry.socket, listener: UInt16(number), address: entry.listener.address)
                total += count
                flushMail()
                if !reception.mayHoldMore { break }
            }
        }
        return total
    }
}
