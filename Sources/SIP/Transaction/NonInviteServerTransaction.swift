/// The non-INVITE server transaction: RFC 3261 §17.2.2, figure 8, as corrected by RFC 4320 and RFC 6026 §8.8.
///
///                            | request
///                            V request to core
///                      +-----------+ request: -
///                      |  Trying   |<-+ 101-199 from core, an early 100: -
///                      |           |--+ transport error: inform core
///                      +-----------+
///     200-699 from core |    | 3.5 s have passed: 100 sent
///     response sent     |    V 100 from core: response sent
///     408 from core     |  +------------+ request: 100 sent again
///     -                 |  | Proceeding |<-+ 100 from core: sent, 101-199: -
///                       |  |            |--+ transport error: inform core
///                       |  +------------+
///                       |    | 200-699 from core: response sent
///                       V    V 408 from core: -
///                      +-----------+ request: response sent again (after a 408: -)
///                      | Completed |<-+ any response from core: -
///                      |           |--+ transport error: inform core
///                      +-----------+
///                            | timer J
///                            V -
///                      +------------+
///                      | Terminated |
///                      +------------+
///
/// Where this differs from figure 8:
/// * The only provisional response is 100, and over an unreliable transport it leaves no earlier than a
///   client's timer E has been reset to T2, when it leaves in any case (RFC 4320 §4.1). The core need not
///   send one at all.
/// * A 408 is never sent: the client that could read it has timed out (RFC 4320 §4.2). Completed is entered
///   all the same, so that copies of the request do not start the work anew.
/// * A transport error changes no state (RFC 6026 §8.8 changes §17.2.4, which speaks of both server
///   machines).
package struct NonInviteServerTransaction: BitwiseCopyable, Equatable {
    package enum State: UInt8, BitwiseCopyable { case idle, trying, proceeding, completed, terminated }

    private enum Event {
        case start, request, tryingDue, expiry, transportError, trying, final, timedOut
    }

    package private(set) var timers = TransactionTimers()
    package private(set) var state = State.idle
    /// Completed by a 408: there is no response to repeat.
    private var silent = false

    package init() {}

    /// When the 100 is due, or 0: it was sent, or the core has answered.
    package var tryingAt: UInt64 { state == .trying ? timers.retransmitAt : 0 }

    /// The request that creates the transaction. A repeated start has no effect.
    package mutating func start(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.start, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// The request arrived again.
    package mutating func receiveRequest(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.request, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// The core sends a response; without `.sendResponse` in the answer it is not to be sent.
    package mutating func respond(
        status: UInt16, now: UInt64, values: TimerValues, reliable: Bool
    ) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch status {
        case 100: return handle(.trying, at)
        case 408: return handle(.timedOut, at)
        case 200...699: return handle(.final, at)
        default: return []
        }
    }

    /// `timers.next` has come: fires what is due, the 100 or J.
    package mutating func timeout(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch timers.due(now) {
        case .retransmission: return handle(.tryingDue, at)
        case .expiry: return handle(.expiry, at)
        case .nothing: return []
        }
    }

    /// A response could not be sent (§17.2.4).
    package mutating func transportError(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.transportError, Circumstances(now: now, values: values, reliable: reliable))
    }

    private mutating func handle(_ event: Event, _ at: Circumstances) -> Effects {
        switch (state, event) {
        case (.idle, .start):
            return enter(.trying, at).union(.passRequest)

        case (.trying, .tryingDue):
            return enter(.proceeding, at).union(.sendTrying)
        case (.trying, .trying) where at.reliable || tryingAt <= at.now:
            return enter(.proceeding, at).union(.sendResponse)
        case (.proceeding, .trying):
            return .sendResponse
        case (.proceeding, .request):
            return .retransmitResponse

        case (.trying, .final), (.proceeding, .final):
            return enter(.completed, at).union([.sendResponse, .forgetRequest])
        case (.trying, .timedOut), (.proceeding, .timedOut):
            silent = true
            return enter(.completed, at).union([.forgetRequest, .forgetResponse])

        case (.completed, .request):
            return silent ? [] : .retransmitResponse
        case (.completed, .expiry):  // timer J
            return enter(.terminated, at)
        case (.trying, .transportError), (.proceeding, .transportError), (.completed, .transportError):
            return .noteTransportError

        default:
            return []
        }
    }

    /// The only place where the state changes: sets the timers of the state entered.
    private mutating func enter(_ next: State, _ at: Circumstances) -> Effects {
        state = next
        timers.stop()
        switch next {
        case .trying:
            timers.once(after: at.values.nonInviteTryingAfter, now: at.now)
        case .completed:
            if at.reliable { return enter(.terminated, at) }  // timer J of zero seconds
            timers.expire(after: at.values.transactionTimeout, now: at.now)
        case .terminated:
            return .terminated
        case .idle, .proceeding:
            break
        }
        return []
    }
}
