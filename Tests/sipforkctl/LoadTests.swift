import Platform
import SharedState
import Testing

@testable import sipforkctl

/// Rates and load from the master's samples.
struct LoadTests {
    /// A sample a second, of a service that starts two calls a second and uses a tenth of a processor.
    private func state(_ times: [UInt64]) throws -> SharedState {
        let state = try ReadingTests.arena()
        for time in times {
            var sample = LoadSample()
            sample.time = time
            sample.callsStarted = 1000 + time / 500
            sample.messagesSent = time
            sample.processorTime[ProcessID.worker(1).index] = 50_000_000_000 + time * 100_000
            state.load.append(sample)
        }
        return state
    }

    @Test func takesTheLastTenSeconds() throws {
        let load = try #require(Load(try state((0..<100).map { $0 * 1000 }).load, now: 99_500))
        #expect(load.rate(\.callsStarted) == 2000 && load.rate(\.messagesSent) == 1_000_000)
        #expect(load.rate(\.callsFailed) == 0)
        #expect(load.share(.worker(1)) == 100 && load.share(.worker(0)) == 0)
        #expect(load.processorTime(.worker(1)) == 50_000 + 9900)
    }

    @Test func takesWhatThereIsAtTheBeginning() throws {
        let load = try #require(Load(try state([0, 1000, 2000]).load, now: 2000))
        #expect(load.rate(\.callsStarted) == 2000 && load.share(.worker(1)) == 100)
        #expect(Load(try state([0]).load, now: 0) == nil)
        #expect(Load(try state([]).load, now: 0) == nil)
    }

    /// What was before an idle minute must not be shown as now.
    @Test func forgetsWhatIsOld() throws {
        let state = try state((0..<20).map { $0 * 1000 })
        #expect(Load(state.load, now: 23_999) != nil)
        #expect(Load(state.load, now: 24_000) == nil)
    }

    /// Late samples: the time between them counts, not their number.
    @Test func isNotDeceivedByLateSamples() throws {
        let load = try #require(Load(try state([0, 7000, 21_000]).load, now: 21_000))
        #expect(load.rate(\.callsStarted) == 2000)
    }

    @Test func whatIsBeingWrittenIsSkipped() throws {
        let state = try state([0, 1000, 2000])
        let size = LoadSamples.cellBytes
        // The first of the three: cells follow the count.
        let base = state.memory
        var at = 0
        while base.loadAtomic(at) != 3 || base.loadAtomic(at + 8) != 1 || base.loadAtomic(at + 8 + size) != 2
        { at += 64 }
        base.storeAtomic(0, at: at + 8)
        #expect(Load(state.load, now: 2000)?.rate(\.callsStarted) == 2000)
        base.storeAtomic(0, at: at + 8 + size)
        #expect(Load(state.load, now: 2000) == nil)
    }

    @Test func nonsenseDoesNotTrap() throws {
        let state = try ReadingTests.arena()
        for time in [UInt64(1), 2] {
            var sample = LoadSample()
            sample.time = time
            sample.callsStarted = time == 1 ? .max : 0
            sample.messagesSent = time == 1 ? 0 : .max
            state.load.append(sample)
        }
        let load = try #require(Load(state.load, now: 2))
        #expect(load.rate(\.callsStarted) == 1_000_000 && load.rate(\.messagesSent) == 0)
        #expect(Load(state.load, now: .max) == nil)
    }
}
