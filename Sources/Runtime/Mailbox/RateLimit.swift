import Platform

/// Lets a few entries a second pass and counts the rest: rubbish from outside must not fill the journal.
package struct RateLimit {
    private let perSecond: UInt64
    private var second: UInt64 = 0
    private var used: UInt64 = 0
    /// Not allowed since that was last told.
    private var suppressed: UInt64 = 0

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

    /// Says in an entry that is allowed how many before it were not.
    package mutating func tellSuppressed(to text: inout ByteWriter) {
        if suppressed == 0 { return }
        text.append(" (and ")
        text.append(decimal: suppressed)
        text.append(" more since the last such entry)")
        suppressed = 0
    }
}
