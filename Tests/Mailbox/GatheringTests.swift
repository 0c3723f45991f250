import Testing

@testable import Mailbox

/// When a process waits for more messages, in virtual microseconds.
struct GatheringTests {
    private struct Bench {
        var gathering: Gathering
        var arrived: UInt64 = 0
        var now: UInt64 = 1_000_000_000
        /// The last one.
        var pause: UInt32 = 0

        init(longest: Int) { gathering = Gathering(longest: longest) }

        /// A fifth of a second with a turn every so many microseconds.
        mutating func pass(perSecond: UInt64, turn: UInt64 = 1000) {
            let begin = (arrived, now)
            while now < begin.1 + 200_000 {
                now += turn
                arrived = begin.0 + perSecond * (now - begin.1) / 1_000_000
                pause = gathering.pause(arrived: arrived, now: now)
            }
        }
    }

    @Test func theMoreComeTheShorterIsThePause() {
        var bench = Bench(longest: 4)
        bench.pass(perSecond: 2000)
        #expect(bench.pause == 4000)
        bench.pass(perSecond: 16_000)
        #expect(1900...2100 ~= bench.pause)
        bench.pass(perSecond: 200_000, turn: 100)
        #expect(bench.pause == 500)
    }

    @Test func whereFewComeNoneWaits() {
        var bench = Bench(longest: 4)
        bench.pass(perSecond: 650)
        #expect(bench.pause == 0)
        bench.pass(perSecond: 6000)
        #expect(bench.pause > 0)
        bench.pass(perSecond: 100, turn: 10_000)
        #expect(bench.pause == 0)
    }

    @Test func aShorterPauseNeedsMore() {
        var bench = Bench(longest: 1)
        bench.pass(perSecond: 2500)
        #expect(bench.pause == 0)
        bench.pass(perSecond: 4000)
        #expect(bench.pause == 1000)
    }

    /// The first turn knows nothing of the rate.
    @Test func aFirstMessageGoesOnAtOnce() {
        var gathering = Gathering(longest: 4)
        #expect(gathering.pause(arrived: 1, now: 1_000_000_000) == 0)
    }

    @Test func withoutAPauseNoneWaits() {
        var bench = Bench(longest: 0)
        bench.pass(perSecond: 100_000)
        #expect(bench.pause == 0)
    }
}
