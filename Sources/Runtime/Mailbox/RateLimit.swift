/// Lets a few entries a second pass and counts the rest: rubbish from outside must not fill the journal.
package struct RateLimit {
    private let perSecond: UInt64
    private var second: UInt64 = 0
    private var used: UInt64 = 0
    /// Not allowed since the last `reset`.
    package private(set) var suppressed: UInt64 = 0

    package init(perSecond: UInt64) { self.perSecond = perSecond }

    /// - Parameter now: milliseconds.
    package mutating func allows(now: UInt64) -> Bool {
        if now / 1000 != second {
            second = now / 1000
            used = 0
        }
        if used < perSecond {
            used += 1
            return true
        }
        suppressed += 1
        return false
    }

    package mutating func reset() { suppressed = 0 }
}
