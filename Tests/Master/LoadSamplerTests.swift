import Glibc
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Master

struct LoadSamplerTests {
    private func state() throws -> SharedState {
        let sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 100)
        return SharedState(
            memory: try Arena(name: "test", size: SharedState.bytes(sizes)).memory, sizes: sizes)
    }

    /// Uses the processor until the clock of this process has moved on.
    private func work(until time: UInt64) -> UInt64 {
        var now: UInt64 = 0
        repeat { now = Clock.processorTime(of: getpid()) ?? .max } while now <= time
        return now
    }

    @Test func samplesTotalsAndProcessorTime() throws {
        let state = try state()
        var sampler = LoadSampler()
        state.counters.add(.callsStarted, .worker(0), 3)
        state.counters.add(.callsStarted, .worker(1), 4)
        state.counters.add(.callsAnswered, .worker(1), 2)
        state.counters.add(.callsFailed, .worker(0), 1)
        state.counters.add(.messagesReceived, .master, 50)
        state.counters.add(.messagesSent, .worker(0), 40)
        state.processes.setPid(getpid(), .worker(1))
        sampler.sample(state, 1000)
        let first = try #require(state.load.element(0))
        #expect(first.time == 1000)
        #expect(first.callsStarted == 7 && first.callsAnswered == 2 && first.callsFailed == 1)
        #expect(first.messagesReceived == 50 && first.messagesSent == 40)
        let mine = first.processorTime[ProcessID.worker(1).index]
        #expect(mine > 0 && first.processorTime[ProcessID.worker(0).index] == 0)
        _ = work(until: mine)
        sampler.sample(state, 2000)
        let second = try #require(state.load.element(1))
        #expect(second.processorTime[ProcessID.worker(1).index] > mine)
    }

    /// The time of a number never goes back, whoever has it.
    @Test func aSuccessorGoesOnWhereItsPredecessorWas() throws {
        let state = try state()
        var sampler = LoadSampler()
        state.processes.setPid(getpid(), .locator)
        sampler.sample(state, 1000)
        let before = try #require(state.load.element(0)).processorTime[ProcessID.locator.index]
        // None, then another.
        state.processes.setPid(0, .locator)
        sampler.sample(state, 2000)
        #expect(state.load.element(1)?.processorTime[ProcessID.locator.index] == before)
        state.processes.setPid(getppid(), .locator)
        let parent = try #require(Clock.processorTime(of: getppid()))
        sampler.sample(state, 3000)
        let after = try #require(state.load.element(2)).processorTime[ProcessID.locator.index]
        #expect(after >= before + parent)
        // One that is gone leaves what there was; no pid of Linux is above 2^22.
        state.processes.setPid(1 << 22 | 1, .locator)
        sampler.sample(state, 4000)
        #expect(state.load.element(3)?.processorTime[ProcessID.locator.index] == after)
    }
}
