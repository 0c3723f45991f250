import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Transport

@testable import Worker

/// A worker's place: it dies, and its successor sits down at the same memory.
final class Seat {
    let index: Int
    private let world: World
    private let sender: DatagramSender
    private let mail: MailSender
    private var worker: WorkerProcess?

    init(_ world: World, _ index: Int) {
        (self.world, self.index) = (world, index)
        sender = DatagramSender(memory: world.state.memory, sockets: world.descriptors(of: index).sockets)
        mail = MailSender(state: world.state, process: .worker(index))
    }

    var isEmpty: Bool { worker == nil }
    private var shard: Shard { world.state.shard(index) }

    /// Somebody who has done nothing yet.
    private func fill(_ now: UInt64) throws {
        worker = try world.worker(index)
        worker!.virtualTime = now
    }

    /// A new worker takes over.
    func succeed(_ now: UInt64) throws {
        try fill(now)
        worker!.recover()
    }

    /// A turn that goes well.
    func turn(_ now: UInt64) throws {
        if isEmpty { try succeed(now) }
        worker!.virtualTime = now
        worker!.receive()
        worker!.handleTurn()
    }

    var isWanted: Bool {
        var descriptor = pollfd(fd: world.mailbox(of: .worker(index)), events: Int16(POLLIN), revents: 0)
        return unsafe poll(&descriptor, 1, 0) > 0
    }

    /// Milliseconds until a timer is due; nil where none runs.
    func wait(_ now: UInt64) -> UInt64? {
        let wait = shard.wheel.wait(now: now)
        return wait < 0 ? nil : UInt64(wait)
    }

    /// Begins a turn and dies somewhere in it; the next one may die over what it finds.
    func crash(_ now: UInt64, _ dice: inout Dice) throws -> String {
        if isEmpty { try succeed(now) }
        worker!.virtualTime = now
        worker!.receive()
        var story = die(&dice)
        while dice.chance(25) {
            worker = nil
            try fill(now)
            worker!.now = now
            if worker!.turn.recover() == .flush {
                story += ", then " + flush(&dice)
            } else {
                story += ", then " + die(&dice)
            }
        }
        worker = nil
        return story
    }

    private func die(_ dice: inout Dice) -> String {
        let point = dice.below(8)
        if point == 0 { return "received" }
        worker!.work()
        if point == 1 || point == 2 { return "uncommitted" }
        if worker!.log.takeWake() { worker!.send(Mail(.logged), to: .logger) }
        worker!.turn.commit()
        if point == 3 { return "committed" }
        return flush(&dice)
    }

    /// What `WorkerProcess.flush` does, as far as the dice say.
    private func flush(_ dice: inout Dice) -> String {
        let turn = worker!.turn
        let point = dice.below(7)
        let entries = turn.entryCount
        if entries > 0 {
            let count = point == 0 ? dice.below(entries + 1) : entries
            _ = sender.flush(turn, count: count)
            if point <= 1 { return "flushed \(count) of \(entries)" }
            worker!.turn.forgetOutbox()
        }
        if point <= 2 { return "outbox forgotten" }
        let receivers: [ProcessID] =
            [.master, .locator, .resolver, .logger]
            + (0..<Int(world.state.sizes.workers)).filter { $0 != index }.map { .worker($0) }
        let last = point == 3 ? dice.below(receivers.count) : receivers.count
        for (place, receiver) in receivers.enumerated() where place <= last {
            let ring = shard.ring(to: receiver)
            if ring.sent == ring.tail { continue }
            if place < last {
                _ = post(ring, to: receiver)
                continue
            }
            mail.handOver(ring, to: receiver)
            if dice.chance(50) {
                // Sent, but not noted.
                let before = ring.sent
                _ = post(ring, to: receiver)
                ring.setSent(before)
            }
        }
        if point == 3 { return "in the middle of the rings, at \(receivers[last])" }
        let consumed = worker!.turn.consumedCount
        let released = point == 4 ? dice.below(consumed + 1) : consumed
        for place in 0..<released {
            let slot = worker!.turn.mail(place).slot
            if !slot.isNone { world.state.slots.release(slot, by: .worker(index)) }
        }
        if point == 4 { return "gave back \(released) of \(consumed) slots" }
        worker!.turn.finish()
        if point == 6 {
            let count = dice.below(Turn.inFlightCapacity) * Mail.bytes
            unsafe memset(worker!.turn.mailAddress, 0, count)
            return "cleared \(count) bytes"
        }
        return "finished"
    }

    private func post(_ ring: MailRing, to receiver: ProcessID) -> Bool {
        mail.flush(ring, to: receiver, descriptor: world.descriptors(of: index).peers[receiver.index])
    }
}
