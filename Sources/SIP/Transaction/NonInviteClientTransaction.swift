/// The non-INVITE client transaction: RFC 3261 §17.1.2, figure 6. RFC 6026 leaves it as it is.
///
///                         | request from core
///       timer E           V request sent
///       request sent +-----------+  timer F, transport error: inform core
///         +--------->|  Trying   |------------------------------------------+
///         +----------|           |                                          |
///                    +-----------+                                          |
///       200-699       |    | 1xx                                            |
///       resp. to core |    V resp. to core                                  |
///       timer E       |  +------------+  timer F, transport error:          |
///       request sent  |  | Proceeding |  inform core                        |
///       loops here,   |  |            |------------------------------------>|
///       1xx           |  +------------+                                     |
///       resp. to core |    | 200-699                                        |
///       loops here    V    V resp. to core                                  |
///                    +-----------+  timer K                  +------------+ |
///                    | Completed |-------------------------->| Terminated |<+
///                    +-----------+  -                        +------------+
///
/// Completed absorbs repeated final responses. On timer F the core sees a 408 that it must not send upstream
/// (RFC 4320 §4.2); `NonInviteServerTransaction` sees to that.
package struct NonInviteClientTransaction: BitwiseCopyable, Equatable {
    package enum State: UInt8, BitwiseCopyable { case idle, trying, proceeding, completed, terminated }

    private enum Event { case start, retransmission, expiry, transportError, provisional, final }

    package private(set) var timers = TransactionTimers()
    package private(set) var state = State.idle

    package init() {}

    /// The core sends the request. A repeated start has no effect.
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
        case .success, .failure: return handle(.final, at)
        case nil: return []
        }
    }

    /// `timers.next` has come: fires what is due, E or one of F, K.
    package mutating func timeout(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch timers.due(now) {
        case .retransmission: return handle(.retransmission, at)
        case .expiry: return handle(.expiry, at)
        case .nothing: return []
        }
    }

    /// The request could not be sent (§17.1.4).
    package mutating func transportError(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.transportError, Circumstances(now: now, values: values, reliable: reliable))
    }

    private mutating func handle(_ event: Event, _ at: Circumstances) -> Effects {
        switch (state, event) {
        case (.idle, .start):
            return enter(.trying, at).union(.sendRequest)

        case (.trying, .retransmission):  // timer E, doubles up to T2
            timers.backOff(cap: at.values.t2, now: at.now)
            return .retransmitRequest
        case (.proceeding, .retransmission):  // timer E, T2 from here on
            timers.retransmit(after: at.values.t2, now: at.now)
            return .retransmitRequest
        case (.trying, .expiry), (.proceeding, .expiry):  // timer F
            return enter(.terminated, at).union(.reportTimeout)
        case (.trying, .transportError), (.proceeding, .transportError):
            return enter(.terminated, at).union(.reportTransportError)

        case (.trying, .provisional):
            return enter(.proceeding, at).union(.passResponse)
        case (.proceeding, .provisional):
            return .passResponse
        case (.trying, .final), (.proceeding, .final):
            return enter(.completed, at).union([.passResponse, .forgetRequest])

        case (.completed, .expiry):  // timer K
            return enter(.terminated, at)

        default:
            return []
        }
    }

    /// The only place where the state changes: sets the timers of the state entered.
    private mutating func enter(_ next: State, _ at: Circumstances) -> Effects {
        state = next
        switch next {
        case .trying:
            if !at.reliable { timers.retransmit(after: at.values.t1, now: at.now) }  // timer E
            timers.expire(after: at.values.transactionTimeout, now: at.now)  // timer F
        case .completed:
            if at.reliable { return enter(.terminated, at) }  // timer K of zero seconds
            timers.stop()
            timers.expire(after: UInt64(at.values.t4), now: at.now)
        case .terminated:
            timers.stop()
            return .terminated
        case .idle, .proceeding:
            break  // timers E and F run on
        }
        return []
    }
}
