import Testing

@testable import Master

/// When the master waits for more messages, in virtual microseconds.
struct GatheringTests {
    private struct Bench {
        var gathering: Gathering
        var arrived: UInt64 = 0
        var now: UInt64 = 1_000_000_000
        /// The last one.
        var pause: UInt32 = 0

        init(window: UInt64) { gathering = Gathering(window: window) }

        /// A tenth of a second with a turn every so many microseconds.
        mutating func pass(perSecond: UInt64, turn: UInt64 = 1000) {
            let begin = (arrived, now)
            while now < begin.1 + 100_000 {
                now += turn
                arrived = begin.0 + perSecond * (now - begin.1) / 1_000_000
                pause = gathering.pause(arrived: arrived, now: now)
            }
        }
    }

    @Test func whereManyComeTheyAreGathered() {
        var bench = Bench(window: 1000)
        bench.pass(perSecond: 2000)
        #expect(bench.pause == 1000)
        bench.pass(perSecond: 200_000, turn: 100)
        #expect(bench.pause == 1000)
    }

    @Test func whereFewComeNoneWaits() {
        var bench = Bench(window: 1000)
        bench.pass(perSecond: 1500)
        #expect(bench.pause == 0)
        bench.pass(perSecond: 6000)
        bench.pass(perSecond: 100, turn: 10_000)
        #expect(bench.pause == 0)
    }

    @Test func aLongerWindowGathersFewer() {
        var bench = Bench(window: 10_000)
        bench.pass(perSecond: 150, turn: 10_000)
        #expect(bench.pause == 0)
        bench.pass(perSecond: 400, turn: 10_000)
        #expect(bench.pause == 10_000)
    }

    /// The first turn knows nothing of the rate.
    @Test func aFirstMessageGoesOnAtOnce() {
        var gathering = Gathering(window: 1000)
        #expect(gathering.pause(arrived: 1, now: 1_000_000_000) == 0)
    }

    @Test func withoutAWindowNoneWaits() {
        var bench = Bench(window: 0)
        bench.pass(perSecond: 100_000)
        #expect(bench.pause == 0)
    }
}
