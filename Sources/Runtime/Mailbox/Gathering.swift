/// Lets messages come together while many come: a turn of a loop costs as much for one as for several, here and in
/// every process behind it.
///
///     a turn per message       │▒ ▒│ ▒  ▒ │▒  │   each wakes the master and a worker
///     gathered                 │────▒▒▒▒──────▒▒▒   a pause before the next look: one wake-up for all
///
/// The wake-ups cost more than the work: some 10 µs each (design §10), of 15 for a message. The pause is as long as
/// it takes for `batch` messages to come, so it is shorter the more of them come; where only few would come in the
/// longest pause, there is none.
package struct Gathering {
    /// Microseconds and longest pauses, the longer of both, for which the rate is counted.
    private static let period: UInt64 = 5_000
    private static let pauses: UInt64 = 4
    /// Messages that are worth a pause, and those that are enough for one.
    private static let worthwhile: UInt64 = 3
    private static let batch: UInt64 = 32
    /// Microseconds: a shorter pause costs what it saves.
    private static let shortest: UInt64 = 500

    /// Microseconds, 0: never.
    private let longest: UInt64
    private var since: UInt64 = 0
    private var arrivedBefore: UInt64 = 0
    private var current: UInt32 = 0

    /// - Parameter longest: the longest pause in milliseconds, 0 for none.
    package init(longest: Int) { self.longest = UInt64(longest) * 1000 }

    /// Microseconds to wait before the next turn.
    ///
    /// - Parameters: arrived: messages since ever; now: microseconds.
    package mutating func pause(arrived: UInt64, now: UInt64) -> UInt32 {
        if longest == 0 { return 0 }
        let passed = now &- since
        if passed >= max(Gathering.period, Gathering.pauses * longest) {
            let came = arrived &- arrivedBefore
            current =
                came * longest < Gathering.worthwhile * passed
                ? 0
                : UInt32(min(max(Gathering.batch * passed / came, Gathering.shortest), longest))
            since = now
            arrivedBefore = arrived
        }
        return current
    }
}
