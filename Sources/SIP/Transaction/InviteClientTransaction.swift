/// The INVITE client transaction: RFC 3261 §17.1.1, figure 5, as corrected by RFC 6026 §8.4.
///
///                         | INVITE from core
///       timer A           V INVITE sent
///       INVITE sent +-----------+  timer B, transport error: inform core
///         +-------->|  Calling  |----------------------------------------------+
///         +---------|           |---------------------+                        |
///                   +-----------+ 2xx                 |                        |
///       300-699      |    | 1xx     2xx to core       |                        |
///       ACK sent,    |    V 1xx to core               |                        |
///       resp. to core|  +------------+ 2xx            |                        |
///         1xx        |  | Proceeding | 2xx to core    |                        |
///         1xx to core|  |            |------------+   |                        |
///         loops here |  +------------+            |   |                        |
///                    |    | 300-699               V   V                        |
///                    |    | ACK sent,          +----------+ 2xx                |
///                    V    V resp. to core      | Accepted |<--+ 2xx to core    |
///       300-699     +-----------+              |          |---+                |
///       ACK sent    | Completed |              +----------+                    |
///       loops here  |           |                   | timer M                  |
///                   +-----------+                   V -                        |
///                         | timer D: -         +------------+                  |
///                         | transport error:   |            |                  |
///                         +------------------->| Terminated |<-----------------+
///                           inform core        +------------+
///
/// What has no arrow is ignored: a late 1xx, a failure after a 2xx, a 2xx after a failure. Proceeding has no
/// timer of its own: timer C belongs to the core, see `InviteFork`, which ends the machine with `abandon`.
package struct InviteClientTransaction: BitwiseCopyable, Equatable {
    package enum State: UInt8, BitwiseCopyable {
        case idle, calling, proceeding, completed, accepted, terminated
    }

    private enum Event {
        case start, retransmission, expiry, transportError, provisional, success, failure, abandon
    }

    package private(set) var timers = TransactionTimers()
    package private(set) var state = State.idle

    package init() {}

    /// The core sends the INVITE. A repeated start has no effect.
    package mutating func start(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.start, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// A response with this branch and CSeq method arrived; a status outside 100…699 is ignored.
    package mutating func receive(
        status: UInt16, now: UInt64, values: TimerValues, reliable: Bool
    ) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch StatusClass(status) {
        case .provisional: return handle(.provisional, at)
        case .success: return handle(.success, at)
        case .failure: return handle(.failure, at)
        case nil: return []
        }
    }

    /// `timers.next` has come: fires what is due, A or one of B, D, M.
    package mutating func timeout(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch timers.due(now) {
        case .retransmission: return handle(.retransmission, at)
        case .expiry: return handle(.expiry, at)
        case .nothing: return []
        }
    }

    /// The INVITE or an ACK could not be sent (§17.1.4).
    package mutating func transportError(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.transportError, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// The core gives up waiting for a final response: timer C without a provisional (§16.8), or 64·T1 after
    /// a CANCEL (§9.1). What arrives later matches nothing and is dropped.
    package mutating func abandon(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.abandon, Circumstances(now: now, values: values, reliable: reliable))
    }

    private mutating func handle(_ event: Event, _ at: Circumstances) -> Effects {
        switch (state, event) {
        case (.idle, .start):
            return enter(.calling, at).union(.sendRequest)

        case (.calling, .retransmission):  // timer A, doubles without a cap
            timers.backOff(cap: .max, now: at.now)
            return .retransmitRequest
        case (.calling, .expiry):  // timer B
            return enter(.terminated, at).union(.reportTimeout)
        case (.calling, .transportError):
            return enter(.terminated, at).union(.reportTransportError)

        case (.calling, .provisional):
            return enter(.proceeding, at).union(.passResponse)
        case (.proceeding, .provisional):
            return .passResponse

        case (.calling, .success), (.proceeding, .success):
            return enter(.accepted, at).union([.passResponse, .forgetRequest])
        case (.accepted, .success):
            return .passResponse

        case (.calling, .failure), (.proceeding, .failure):
            return enter(.completed, at).union([.sendAck, .passResponse])
        case (.completed, .failure):
            return .sendAck
        case (.completed, .transportError):
            return enter(.terminated, at).union(.noteTransportError)

        case (.completed, .expiry), (.accepted, .expiry):  // timers D and M
            return enter(.terminated, at)
        case (.calling, .abandon), (.proceeding, .abandon):
            return enter(.terminated, at)

        default:
            return []
        }
    }

    /// The only place where the state changes: sets the timers of the state entered.
    private mutating func enter(_ next: State, _ at: Circumstances) -> Effects {
        state = next
        timers.stop()
        switch next {
        case .calling:
            if !at.reliable { timers.retransmit(after: at.values.t1, now: at.now) }  // timer A
            timers.expire(after: at.values.transactionTimeout, now: at.now)  // timer B
        case .completed:
            if at.reliable { return enter(.terminated, at) }  // timer D of zero seconds
            timers.expire(after: at.values.d, now: at.now)
        case .accepted:
            timers.expire(after: at.values.transactionTimeout, now: at.now)  // timer M, for every transport
        case .terminated:
            return .terminated
        case .idle, .proceeding:
            break
        }
        return []
    }
}
