/// The INVITE server transaction: RFC 3261 §17.2.1, figure 7, as corrected by RFC 6026 §8.7 and §8.8.
///
///                           | INVITE
///                           V INVITE to core, 100 sent unless the core answers within 200 ms
///                    +------------+
///                    | Proceeding |<--+ INVITE: last response sent again
///                    |            |---+ 101-199 from core: sent
///                    +------------+     transport error: inform core
///       300-699 from core |  | 2xx from core
///       response sent     |  | response sent
///                  +------+  +----------------------------+
///                  V                                      V
///           +-----------+ INVITE, timer G:          +-----------+ INVITE: -
///           | Completed |<-+ response sent again    | Accepted  |<-+ ACK to core
///           |           |--+ transport error:       |           |--+ 2xx from core: sent
///           +-----------+    inform core            +-----------+    transport error: inform core
///             |       | ACK                               |
///     timer H |       V -                                 | timer L
///     inform  |   +-----------+                           | -
///     core    |   | Confirmed |<-+ ACK                    |
///             |   |           |--+ -                      |
///             |   +-----------+                           |
///             |       | timer I                           V
///             |       V -                           +------------+
///             +-------+---------------------------->| Terminated |
///                                                   +------------+
///
/// Proceeding has no limit of its own: the core's timers C make it send a final response. A transport error
/// changes no state, so that retransmitted requests stay absorbed (RFC 6026 §8.8).
package struct InviteServerTransaction: BitwiseCopyable, Equatable {
    package enum State: UInt8, BitwiseCopyable {
        case idle, proceeding, completed, confirmed, accepted, terminated
    }

    private enum Event {
        case start, request, ack, retransmission, expiry, transportError, provisional, success, failure
    }

    package private(set) var timers = TransactionTimers()
    package private(set) var state = State.idle

    package init() {}

    /// When the 100 is due, or 0: it was sent, or the core has answered.
    package var tryingAt: UInt64 { state == .proceeding ? timers.retransmitAt : 0 }

    /// The INVITE that creates the transaction. A repeated start has no effect.
    package mutating func start(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.start, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// The INVITE arrived again.
    package mutating func receiveRequest(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.request, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// An ACK that matches the transaction (§17.2.3).
    package mutating func receiveAck(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        handle(.ack, Circumstances(now: now, values: values, reliable: reliable))
    }

    /// The core sends a response; without `.sendResponse` in the answer it is not to be sent.
    package mutating func respond(
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

    /// `timers.next` has come: fires what is due, the 100, G, or one of H, I, L.
    package mutating func timeout(now: UInt64, values: TimerValues, reliable: Bool) -> Effects {
        let at = Circumstances(now: now, values: values, reliable: reliable)
        switch timers.due(now) {
        case .retransmission: return handle(.retransmission, at)
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
            return enter(.proceeding, at).union(
                at.values.tryingAfter == 0 ? [.passRequest, .sendTrying] : .passRequest)

        case (.proceeding, .retransmission):
            timers.stopRetransmission()
            return .sendTrying
        case (.proceeding, .request):
            if tryingAt == 0 { return .retransmitResponse }
            timers.stopRetransmission()
            return .sendTrying  // nothing to repeat yet: what was due soon quenches the sender now
        case (.proceeding, .provisional):
            timers.stopRetransmission()
            return .sendResponse
        case (.proceeding, .failure):
            return enter(.completed, at).union([.sendResponse, .forgetRequest])
        case (.proceeding, .success):
            // Neither this nor a later 2xx is retransmitted here: the callee does that until it has the ACK.
            return enter(.accepted, at).union([.sendResponse, .forgetRequest, .forgetResponse])

        case (.completed, .retransmission):  // timer G, doubles up to T2
            timers.backOff(cap: at.values.t2, now: at.now)
            return .retransmitResponse
        case (.completed, .request):
            return .retransmitResponse
        case (.completed, .ack):
            return enter(.confirmed, at).union(.forgetResponse)
        case (.completed, .expiry):  // timer H
            return enter(.terminated, at).union(.noteMissingAck)

        case (.accepted, .success):
            return [.sendResponse, .forgetResponse]
        case (.accepted, .ack):
            return .passAck

        case (.confirmed, .expiry), (.accepted, .expiry):  // timers I and L
            return enter(.terminated, at)
        case (.proceeding, .transportError), (.completed, .transportError), (.accepted, .transportError):
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
        case .proceeding:
            if at.values.tryingAfter != 0 { timers.once(after: UInt64(at.values.tryingAfter), now: at.now) }
        case .completed:
            if !at.reliable { timers.retransmit(after: at.values.t1, now: at.now) }  // timer G
            timers.expire(after: at.values.transactionTimeout, now: at.now)  // timer H
        case .confirmed:
            if at.reliable { return enter(.terminated, at) }  // timer I of zero seconds
            timers.expire(after: UInt64(at.values.t4), now: at.now)
        case .accepted:
            timers.expire(after: at.values.transactionTimeout, now: at.now)  // timer L, for every transport
        case .terminated:
            return .terminated
        case .idle:
            break
        }
        return []
    }
}
