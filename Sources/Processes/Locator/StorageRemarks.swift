/// What the journal is told of the store: a failure at once and then every ten seconds, and that it can be
/// written again where a failure was told.
struct StorageRemarks {
    /// Milliseconds between entries about failures.
    private static let interval: UInt64 = 10_000

    private var nextComplaint: UInt64 = 0
    private var isFailureTold = false

    /// Whether to tell of a failure now, in milliseconds.
    mutating func failed(now: UInt64) -> Bool {
        if now < nextComplaint { return false }
        nextComplaint = now + StorageRemarks.interval
        isFailureTold = true
        return true
    }

    /// Whether to tell that a change has reached the disk.
    mutating func stored() -> Bool {
        defer { isFailureTold = false }
        return isFailureTold
    }
}
