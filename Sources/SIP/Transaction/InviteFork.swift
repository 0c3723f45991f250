/// The proxy core's clock for one forked INVITE: timer C (RFC 3261 §16.6 item 11, §16.7 step 2, §16.8), and
/// the CANCEL that waits for a provisional response and gives up 64·T1 after it was sent (§9.1).
///
///                     | INVITE sent: start timer C
///                     V
///               +---------+    cancel     +--------------+
///               | Calling |-------------->| CancelWanted |
///               +---------+    -          +--------------+
///            1xx |    | timer C             | 1xx         | timer C
///              - |    | give up             | send CANCEL | give up
///                V    +------------------+  |             +--------+
///        +------------+  cancel, timer C |  V                      |
///   +--->| Proceeding |--------------+   | +-----------+           |
///   |    |            | send CANCEL  |   | | Cancelled |           |
///   +----+------------+              +---|>|           |           |
///   101-199: restart timer C             | +-----------+           |
///                                        |      | 64·T1            |
///                                        V      V give up          V
///               final response       +------------------------------+
///               in any state: - ---->|             Done             |
///                                    +------------------------------+
///
/// "Give up": the fork counts as answered 408, and `InviteClientTransaction.abandon` ends its transaction.
package struct InviteFork: BitwiseCopyable, Equatable {
    package enum State: UInt8, BitwiseCopyable {
        case idle, calling, proceeding, cancelWanted, cancelled, done
    }

    package enum Effect: UInt8, BitwiseCopyable { case none, sendCancel, giveUp }

    private enum Event { case start, trying, progress, cancel, final, timeout }

    /// The running deadline in virtual milliseconds, or 0.
    package private(set) var next: UInt64 = 0
    package private(set) var state = State.idle

    package init() {}

    /// A CANCEL was asked for, whether it could be sent yet or not.
    package var isCancelled: Bool { state == .cancelWanted || state == .cancelled }

    /// The INVITE was sent.
    package mutating func start(now: UInt64, values: TimerValues) { _ = handle(.start, now, values) }

    /// A provisional response arrived. A 100 lets a waiting CANCEL go, but does not restart timer C.
    package mutating func provisional(status: UInt16, now: UInt64, values: TimerValues) -> Effect {
        switch status {
        case 100: return handle(.trying, now, values)
        case 101...199: return handle(.progress, now, values)
        default: return .none
        }
    }

    /// The core wants this fork cancelled: at once if a provisional response has come, else after the first
    /// one.
    package mutating func cancel(now: UInt64, values: TimerValues) -> Effect { handle(.cancel, now, values) }

    /// A final response came, or the client transaction reported a timeout or transport error.
    package mutating func final() { _ = handle(.final, 0, TimerValues()) }

    /// `next` has come.
    package mutating func timeout(now: UInt64, values: TimerValues) -> Effect {
        next != 0 && next <= now ? handle(.timeout, now, values) : .none
    }

    private mutating func handle(_ event: Event, _ now: UInt64, _ values: TimerValues) -> Effect {
        switch (state, event) {
        case (.idle, .start):
            enter(.calling, deadline: now &+ UInt64(values.c))
        case (.calling, .trying):
            enter(.proceeding, deadline: next)
        case (.calling, .progress), (.proceeding, .progress):
            enter(.proceeding, deadline: now &+ UInt64(values.c))
        case (.calling, .cancel):
            enter(.cancelWanted, deadline: next)
        case (.cancelWanted, .trying), (.cancelWanted, .progress), (.proceeding, .cancel),
            (.proceeding, .timeout):
            enter(.cancelled, deadline: now &+ values.transactionTimeout)
            return .sendCancel
        case (.calling, .timeout), (.cancelWanted, .timeout), (.cancelled, .timeout):
            enter(.done, deadline: 0)
            return .giveUp
        case (_, .final):
            enter(.done, deadline: 0)
        default:
            break
        }
        return .none
    }

    /// The only place where the state changes.
    private mutating func enter(_ next: State, deadline: UInt64) {
        state = next
        self.next = deadline
    }
}
