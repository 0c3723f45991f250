/// What the owner of a transaction has to do after an event, in the order of the bits: sending and passing
/// come before forgetting, and `terminated` comes last.
package struct Effects: OptionSet, BitwiseCopyable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Send the request for the first time.
    package static let sendRequest = Effects(rawValue: 1 << 0)
    /// Send the stored request once more, unchanged.
    package static let retransmitRequest = Effects(rawValue: 1 << 1)
    /// Build the ACK from the stored INVITE and the response at hand (§17.1.1.3), send it where the INVITE
    /// went.
    package static let sendAck = Effects(rawValue: 1 << 2)
    /// Build a 100 (Trying) from the request, send it, store it as the last response.
    package static let sendTrying = Effects(rawValue: 1 << 3)
    /// Send the response that the core has just handed in, store it as the last one unless `forgetResponse`
    /// is set.
    package static let sendResponse = Effects(rawValue: 1 << 4)
    /// Send the stored last response once more, unchanged.
    package static let retransmitResponse = Effects(rawValue: 1 << 5)
    /// Give the new request to the core.
    package static let passRequest = Effects(rawValue: 1 << 6)
    /// Give the response to the core.
    package static let passResponse = Effects(rawValue: 1 << 7)
    /// Give the ACK to the core, which forwards it as any ACK to a 2xx (RFC 6026 §7.1).
    package static let passAck = Effects(rawValue: 1 << 8)
    /// A client transaction had no final response in time: to the core this is a 408 (§8.1.3.1).
    package static let reportTimeout = Effects(rawValue: 1 << 9)
    /// The request could not be sent: to the core this is a 503 (§16.9), or a reason to try the next address.
    package static let reportTransportError = Effects(rawValue: 1 << 10)
    /// Timer H: the final response to an INVITE was never acknowledged. For a proxy a count, nothing more.
    package static let noteMissingAck = Effects(rawValue: 1 << 11)
    /// A response or an ACK could not be sent. For a proxy a count, nothing more (§16.9).
    package static let noteTransportError = Effects(rawValue: 1 << 12)
    /// This transaction needs its request no longer.
    package static let forgetRequest = Effects(rawValue: 1 << 13)
    /// This transaction needs its last response no longer, neither a stored one nor the one just sent.
    package static let forgetResponse = Effects(rawValue: 1 << 14)
    /// The transaction is over and whatever it stored can go; the two `forget` effects are implied.
    package static let terminated = Effects(rawValue: 1 << 15)
}

/// What every event of a machine comes with: the time in virtual milliseconds, the timer values, and whether
/// the transport retransmits by itself.
struct Circumstances {
    let now: UInt64
    let values: TimerValues
    let reliable: Bool
}

/// The classes of a status code that the machines tell apart; nil outside 100…699.
enum StatusClass {
    case provisional, success, failure

    init?(_ status: UInt16) {
        switch status {
        case 100...199: self = .provisional
        case 200...299: self = .success
        case 300...699: self = .failure
        default: return nil
        }
    }
}
