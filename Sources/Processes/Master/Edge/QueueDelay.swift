/// How long what is put into a queue waits there, seen from its entrance: the tail's position is noted from time to
/// time, and when the other side has come to it.
///
///     handled           mark 1             mark 2         tail
///        │▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒▒▒▒▒│
///
///     age        how long ago the oldest mark that is not reached was set: what a dead process lets wait
///     expected   messages before the tail × the time that one has taken lately: what a new one will wait
///
/// Only the second is there in time: when the head of the queue has waited long, all that came meanwhile will wait
/// longer still. Only the first knows of a process that has stopped.
struct QueueDelay {
    private struct Mark {
        var position: UInt64 = 0
        var time: UInt64 = 0
        /// Messages before it when it was set.
        var ahead: UInt64 = 0
    }

    private static let capacity = 32
    /// Milliseconds between marks, and between changes of what is known.
    private static let interval: UInt64 = 10
    /// Milliseconds below which a delay says nothing of how fast the process is: it was waiting for work.
    private static let least: UInt64 = 20
    /// Milliseconds without progress that are a standstill: how fast a process is cannot be seen then.
    private static let standstill: UInt64 = 150
    /// Milliseconds without a look, after which it is not known when a mark was reached.
    private static let blink: UInt64 = 50
    /// Nanoseconds for a message, of a process that was never seen to be slower: more than it takes.
    private static let usual: UInt64 = 30_000

    private var marks = InlineArray<32, Mark>(repeating: Mark())
    private var first = 0
    private var count = 0
    private var markedAt: UInt64 = 0
    private var handled: UInt64 = 0
    /// When it was last seen to rise, and since when there was no standstill.
    private var progressAt: UInt64 = 0
    private var lookedAt: UInt64 = 0
    private var workingSince: UInt64 = 0
    /// Nanoseconds for a message, and when that was changed.
    private var cost = QueueDelay.usual
    private var changedAt: UInt64 = 0
    /// Milliseconds.
    private(set) var age: UInt64 = 0

    /// - Parameter handled: a position; more may have been handled before than was ever put in by this process.
    init(handled: UInt64 = 0) { self.handled = handled }

    /// Looks at the queue; some hundred times a second or more.
    ///
    /// - Parameters: handled, tail: positions, which only rise; isServing: the other side is there; now: milliseconds.
    mutating func measure(handled: UInt64, tail: UInt64, isServing: Bool, now: UInt64) {
        if handled != self.handled || tail == handled { progressAt = now }
        let isStill = !isServing || now >= progressAt + QueueDelay.standstill
        if isStill || now > lookedAt + QueueDelay.blink { workingSince = now }
        lookedAt = now
        self.handled = handled
        var reached: Mark?
        while count > 0, marks[first].position <= handled {
            reached = marks[first]
            first = (first + 1) % QueueDelay.capacity
            count -= 1
        }
        if let reached, reached.time >= workingSince { learn(reached, now) }
        if now >= markedAt + QueueDelay.interval {
            if tail <= handled {
                relax(now)
                markedAt = now
            } else if count < QueueDelay.capacity {
                marks[(first + count) % QueueDelay.capacity] = Mark(
                    position: tail, time: now, ahead: tail - handled)
                count += 1
                markedAt = now
            }
        }
        age = count > 0 ? now - marks[first].time : 0
    }

    private mutating func learn(_ mark: Mark, _ now: UInt64) {
        let time = now - mark.time
        if time < QueueDelay.least { return relax(now) }
        let sample = time * 1_000_000 / mark.ahead
        // One that stood still for a moment is not slow: twice as much at a time.
        change(to: min((cost + sample) / 2, cost * 2), now)
    }

    /// Nor is one fast that has had the processor for itself for a moment.
    private mutating func relax(_ now: UInt64) { change(to: cost - cost / 8, now) }

    private mutating func change(to new: UInt64, _ now: UInt64) {
        if now < changedAt + QueueDelay.interval { return }
        changedAt = now
        cost = max(new, QueueDelay.usual)
    }

    /// True where what is put at `tail` would wait too long, or too many are before it.
    @inline(__always) func exceeds(_ tail: UInt64, age most: UInt64, expected: UInt64, depth: UInt64) -> Bool
    {
        age > most || self.expected(tail) > expected || self.depth(tail) > depth
    }

    /// Messages that are not handled yet.
    @inline(__always) func depth(_ tail: UInt64) -> UInt64 { tail > handled ? tail - handled : 0 }

    /// Milliseconds that what is put at `tail` will wait, if all goes on as before.
    @inline(__always) func expected(_ tail: UInt64) -> UInt64 { depth(tail) * cost / 1_000_000 }
}
