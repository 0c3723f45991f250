import Testing

@testable import Master

/// The delay of a queue, seen from its entrance, in virtual milliseconds.
struct QueueDelayTests {
    /// A queue and who works at it.
    private struct Bench {
        var delay = QueueDelay()
        var now: UInt64 = 1_000_000
        var tail: UInt64 = 0
        var handled: UInt64 = 0
        private var worked: Double = 0

        /// So many milliseconds in which so many messages a millisecond come and can be handled.
        mutating func pass(_ time: Int, coming: Int = 0, handling: Double, isServing: Bool = true) {
            for _ in 0..<time {
                now += 1
                tail += UInt64(coming)
                worked += handling
                let done = min(worked, Double(tail - handled)).rounded(.down)
                handled += UInt64(done)
                worked = handled == tail ? 0 : worked - done
                delay.measure(handled: handled, tail: tail, isServing: isServing, now: now)
            }
        }

        var expected: UInt64 { delay.expected(tail) }
    }

    @Test func nothingWaitsInAnEmptyQueue() {
        var bench = Bench()
        bench.pass(1000, coming: 5, handling: 100)
        #expect(bench.delay.age == 0 && bench.expected == 0)
    }

    /// A master that slept does not know when a mark was reached: nobody was slow.
    @Test func whoWasNotLookedAtIsNotSlow() {
        var bench = Bench()
        for _ in 0..<20 {
            // A burst, whose end is not seen.
            bench.pass(15, coming: 5, handling: 4)
            bench.handled = bench.tail
            bench.now += 400
            bench.pass(1, handling: 100)
        }
        bench.tail += 100
        #expect(bench.expected <= 20)
    }

    @Test func theAgeIsThatOfTheOldest() {
        var bench = Bench()
        bench.pass(300, coming: 1, handling: 0)
        #expect((290...300).contains(bench.delay.age))
        #expect(bench.delay.depth(bench.tail) == 300)
        bench.pass(5000, handling: 0)
        #expect(bench.delay.age > 5000, "more marks than there is room for")
        bench.pass(1, handling: 1000)
        #expect(bench.delay.age == 0 && bench.expected == 0)
    }

    @Test(arguments: [0.5, 1, 4])
    func aSlowOneIsKnownByWhatItHasHandled(rate: Double) {
        var bench = Bench()
        bench.pass(2000, coming: Int(rate * 2), handling: rate)
        let truth = Double(bench.tail - bench.handled) / rate
        #expect(abs(Double(bench.expected) - truth) < truth / 4, "\(bench.expected), not \(truth)")
        // Before its head has waited as long.
        #expect(bench.expected > bench.delay.age)
    }

    /// It stands still for most of each 20 ms.
    @Test func alsoOneThatWorksByFits() {
        var bench = Bench()
        for _ in 0..<40 {
            bench.pass(18, coming: 2, handling: 0)
            bench.pass(2, coming: 2, handling: 10)
        }
        let truth = Double(bench.tail - bench.handled)
        #expect(abs(Double(bench.expected) - truth) < truth / 4, "\(bench.expected), not \(truth)")
    }

    /// A process that stood still, or was replaced: what waited is handled at once, and nothing was to be refused.
    @Test(arguments: [(300, true), (151, true), (140, true), (50, true), (140, false), (30, false)])
    func aStandstillSaysNothingOfItsSpeed(time: Int, isServing: Bool) {
        var bench = Bench()
        bench.pass(1000, coming: 1, handling: 20)
        bench.pass(time, coming: 1, handling: 0, isServing: isServing)
        #expect(bench.expected < 100, "they are soon handled")
        for _ in 0..<30 {
            bench.pass(1, coming: 1, handling: 20)
            #expect(bench.expected < 100)
        }
    }

    @Test func aBadTimeIsForgotten() {
        var bench = Bench()
        bench.pass(1000, coming: 3, handling: 1)
        #expect(bench.expected > 1000)
        bench.pass(4000, handling: 1)
        bench.pass(100, coming: 1, handling: 20)
        bench.tail += 300
        #expect(bench.expected < 50)
    }

    /// It has the processor for itself for 10 ms, and for a third of a second not at all: on a busy machine.
    @Test func aShortGoodTimeSaysLittle() {
        var bench = Bench()
        bench.pass(600, coming: 3, handling: 2)
        let known = bench.expected * 1000 / (bench.tail - bench.handled)
        bench.pass(15, handling: 200)
        #expect(bench.handled == bench.tail)
        bench.tail += 1000
        #expect(bench.expected > known / 2)
    }

    /// The other side undoes a turn.
    @Test func aStepBackIsNoHarm() {
        var bench = Bench()
        bench.pass(100, coming: 2, handling: 1)
        bench.handled -= 50
        bench.pass(1, handling: 0)
        #expect(bench.delay.depth(bench.tail) == 150)
        bench.pass(500, handling: 1)
        #expect(bench.delay.age == 0 && bench.delay.depth(bench.tail) == 0)
    }
}
