import SharedState

/// Lets messages come together while many come: a turn of the loop costs as much for one as for several, here and in
/// every process behind it.
///
///     a turn per message       │▒ ▒│ ▒  ▒ │▒  │   each wakes the master and a worker
///     gathered                 │────▒▒────│──▒▒   a pause before the master looks again: one wake-up for all
///
/// The wake-ups cost more than the work: some 10 µs each (design §10), of 15 for a message. Where few messages come, a
/// pause would gather none, and there is none.
struct Gathering {
    /// Microseconds and windows, the longer of both, for which the rate is counted.
    private static let period: UInt64 = 5_000
    private static let windows: UInt64 = 4
    /// Messages that must be expected in a pause.
    private static let worthwhile: UInt64 = 2

    /// Microseconds, 0: never.
    private let window: UInt64
    private var since: UInt64 = 0
    private var arrivedBefore: UInt64 = 0
    private var isWorthwhile = false

    /// - Parameter window: microseconds.
    init(window: UInt64) { self.window = window }

    init(_ snapshot: ConfigurationSnapshot) { self.init(window: UInt64(snapshot.gather) * 1000) }

    /// Microseconds to wait before the next turn.
    ///
    /// - Parameters: arrived: messages since ever; now: microseconds.
    mutating func pause(arrived: UInt64, now: UInt64) -> UInt32 {
        if window == 0 { return 0 }
        let passed = now - since
        if passed >= max(Gathering.period, Gathering.windows * window) {
            isWorthwhile = (arrived - arrivedBefore) * window >= Gathering.worthwhile * passed
            since = now
            arrivedBefore = arrived
        }
        return isWorthwhile ? UInt32(window) : 0
    }
}
