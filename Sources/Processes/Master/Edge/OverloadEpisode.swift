/// From the first refusal to the end of the last one's time: what the journal is told once, however often a queue
/// grows and shrinks meanwhile.
struct OverloadEpisode {
    enum Remark: Equatable {
        case began
        /// It has lasted so many seconds, and so many requests were refused.
        case goesOn(seconds: UInt64, refused: UInt64)
        case ended(seconds: UInt64, refused: UInt64)
    }

    // Milliseconds.
    private static let quiet: UInt64 = 5000
    private static let reminder: UInt64 = 60_000

    private var seen: UInt64 = 0
    private var before: UInt64 = 0
    private var beganAt: UInt64 = 0
    private var refusedAt: UInt64 = 0
    private var toldAt: UInt64 = 0
    private(set) var isOn = false

    /// What is to be told now; some times a second.
    ///
    /// - Parameters: refused: requests since the start; now: milliseconds.
    mutating func look(refused: UInt64, now: UInt64) -> Remark? {
        if refused != seen {
            refusedAt = now
            if !isOn {
                isOn = true
                before = seen
                beganAt = now
                toldAt = now
                seen = refused
                return .began
            }
            seen = refused
        }
        guard isOn else { return nil }
        if now >= refusedAt + OverloadEpisode.quiet {
            isOn = false
            return .ended(seconds: seconds(until: refusedAt), refused: seen - before)
        }
        if now >= toldAt + OverloadEpisode.reminder {
            toldAt = now
            return .goesOn(seconds: seconds(until: now), refused: seen - before)
        }
        return nil
    }

    /// Rounded up: what was refused within one second took one.
    private func seconds(until end: UInt64) -> UInt64 { (end - beganAt) / 1000 + 1 }
}
