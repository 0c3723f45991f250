import Glibc
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Master

@Suite struct ChildTests {
    struct Look: Sendable {
        let now: UInt64
        let heartbeat: UInt64
        let handled: UInt64
        let sent: UInt64
        let silence: UInt64
    }

    static func look(_ now: UInt64, _ heartbeat: UInt64, _ handled: UInt64, _ sent: UInt64, _ silence: UInt64)
        -> Look
    {
        Look(now: now, heartbeat: heartbeat, handled: handled, sent: sent, silence: silence)
    }

    /// Each row a life: looks at a child by the clock, its heartbeat, and mail handled and sent.
    @Test(arguments: [
        // Idle for a minute, then mail a moment ago: it has had no time yet.
        [look(1000, 900, 4, 4, 0), look(61000, 900, 4, 5, 0), look(61010, 61005, 5, 5, 0)],
        // Mail waits and nothing happens.
        [look(1000, 900, 4, 4, 0), look(2000, 900, 4, 5, 0), look(7000, 900, 4, 6, 5000)],
        // Slow, but it goes on.
        [look(1000, 900, 4, 9, 0), look(4000, 900, 5, 9, 0), look(8000, 900, 6, 9, 0)],
        // It begins turns, if only for timers.
        [look(1000, 900, 4, 9, 0), look(4000, 3900, 4, 9, 100)],
        // No mail, no reproach.
        [look(1000, 900, 4, 4, 0), look(99000, 900, 4, 4, 0)],
    ])
    func silence(_ life: [Look]) {
        var child = Child(.worker(0))
        child.startedAt = 1
        for (number, look) in life.enumerated() {
            let silence = child.silence(
                now: look.now, heartbeat: look.heartbeat, handled: look.handled, sent: look.sent)
            #expect(silence == look.silence, "look \(number)")
        }
    }
}

@Suite struct MissedBeatsTests {
    @Test func looksAreCountedNotTime() {
        var child = Child(.resolver)
        #expect(child.missedBeats(100) == 0)
        #expect(child.missedBeats(100) == 1)
        #expect(child.missedBeats(100) == 2)
        #expect(child.missedBeats(2000) == 0, "it lives")
        #expect(child.missedBeats(2000) == 1)
    }

    @Test func onlySignalsOfItsOwnBlame() {
        for signal in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE] {
            #expect(ChildEnding.isTrap(signal))
        }
        for signal in [0, SIGKILL, SIGTERM, SIGHUP, SIGSYS] { #expect(!ChildEnding.isTrap(signal)) }
    }
}

@Suite struct SlotPoolTests {
    /// Slots that a process holds count to its quota whether its mailbox takes them or not; the others keep
    /// the rest.
    @Test func oneProcessCannotHaveAll() throws {
        let sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 16)
        let arena = try Arena(name: "pool", size: SharedState.bytes(sizes))
        let state = SharedState(memory: arena.memory, sizes: sizes)
        state.slots.initialize()
        var pool = SlotPool(slots: state.slots)
        var handed = 0
        while handed < state.slots.smallCount, pool.mayHand(to: .worker(0)), let slot = pool.takeSmall() {
            state.slots.hand(slot, from: .master, to: .worker(0))
            handed += 1
        }
        #expect(handed < state.slots.smallCount * 4 / 5)
        let other = pool.mayHand(to: .worker(1))
        #expect(other)
        for index in 0..<state.slots.count where state.slots.holder(index) == .worker(0) {
            state.slots.release(SlotReference(index: index, generation: 1), by: .worker(0))
        }
        let again = pool.mayHand(to: .worker(0))
        #expect(again)
    }

    /// What is given back at once is used again at once: few pages are ever touched.
    @Test func fewSlotsServeMuch() throws {
        let sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 16)
        let arena = try Arena(name: "pool", size: SharedState.bytes(sizes))
        let state = SharedState(memory: arena.memory, sizes: sizes)
        state.slots.initialize()
        var pool = SlotPool(slots: state.slots)
        var highest = 0
        for _ in 0..<3 * state.slots.smallCount {
            for slot in [pool.takeSmall(), pool.takeForStream(100)] {
                let slot = try #require(slot)
                highest = max(highest, slot.index)
                state.slots.release(slot, by: .master)
            }
        }
        #expect(highest < state.slots.smallCount / 16)
        // And all serve where much is on its way; of streams all but an eighth.
        var taken = 0
        while pool.takeForStream(100) != nil { taken += 1 }
        #expect(taken == state.slots.smallCount * 7 / 8)
        while pool.takeSmall() != nil { taken += 1 }
        #expect(taken == state.slots.smallCount)
    }

    /// Statuses as waitpid(2) gives them: the signal in the low bits, 0x80 where a core was left; else the exit
    /// status above.
    @Test(
        arguments: [
            (11, "killed by signal 11 (SIGSEGV)"), (6 | 0x80, "killed by signal 6 (SIGABRT)"),
            (9, "killed by signal 9 (SIGKILL)"), (40, "killed by signal 40"), (0, "exit status 0"),
            (78 << 8, "exit status 78"),
        ] as [(Int32, String)])
    func ending(_ status: Int32, _ text: String) {
        #expect(ChildEnding.text(status) == text)
    }

    /// What is told before the logger runs has the logger's MESSAGE_ID too.
    @Test func consoleIdentifiers() {
        #expect(Console.messageID(.startFailed)?.description == "1f0d5c1c6a4e4f2fb0e7a1a4a3c9d7e2")
        #expect(Console.messageID(.configurationRefused)?.description == "379c056dd8244116883eb2dc8b0ba725")
        #expect(Console.messageID(.note) == nil)
    }
}
