/// The two deadlines that a transaction has at most at any time, as absolute virtual milliseconds; 0: not
/// running.
///
/// | machine           | state      | `retransmitAt` | `expireAt` |
/// |-------------------|------------|----------------|------------|
/// | INVITE client     | Calling    | A              | B          |
/// |                   | Completed  |                | D          |
/// |                   | Accepted   |                | M          |
/// | non-INVITE client | Trying     | E              | F          |
/// |                   | Proceeding | E              | F          |
/// |                   | Completed  |                | K          |
/// | INVITE server     | Proceeding | the 100 is due |            |
/// |                   | Completed  | G              | H          |
/// |                   | Confirmed  |                | I          |
/// |                   | Accepted   |                | L          |
/// | non-INVITE server | Trying     | the 100 is due |            |
/// |                   | Completed  |                | J          |
package struct TransactionTimers: BitwiseCopyable, Equatable {
    package private(set) var retransmitAt: UInt64 = 0
    package private(set) var expireAt: UInt64 = 0
    /// The interval that ends at `retransmitAt`, in milliseconds.
    package private(set) var interval: UInt32 = 0

    package init() {}

    /// The earliest deadline, or 0 when neither runs.
    package var next: UInt64 {
        if retransmitAt == 0 { return expireAt }
        if expireAt == 0 { return retransmitAt }
        return min(retransmitAt, expireAt)
    }

    enum Due { case nothing, retransmission, expiry }

    /// What is due at `now`; an expiry hides a retransmission that would only precede it by nothing.
    func due(_ now: UInt64) -> Due {
        if expireAt != 0 && expireAt <= now { return .expiry }
        if retransmitAt != 0 && retransmitAt <= now { return .retransmission }
        return .nothing
    }

    mutating func retransmit(after interval: UInt32, now: UInt64) {
        // The next interval counts from the firing, not from the missed deadline: after a stall one copy
        // leaves, not a burst.
        self.interval = max(interval, 1)
        retransmitAt = now &+ UInt64(self.interval)
    }

    /// Restarts the retransmission timer with twice the interval, at most `cap` milliseconds.
    mutating func backOff(cap: UInt32, now: UInt64) {
        retransmit(after: UInt32(min(2 &* UInt64(interval), UInt64(cap))), now: now)
    }

    /// Starts the first deadline alone for something that is due once.
    mutating func once(after delay: UInt64, now: UInt64) {
        interval = 0
        retransmitAt = now &+ max(delay, 1)
    }

    mutating func stopRetransmission() {
        retransmitAt = 0
        interval = 0
    }

    mutating func expire(after delay: UInt64, now: UInt64) { expireAt = now &+ max(delay, 1) }

    mutating func stop() { self = TransactionTimers() }
}
