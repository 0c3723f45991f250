/// The methods that have a name of their own here; all others are `unknown` and pass as text (RFC 3261 §7.1:
/// method names are case-sensitive).
package enum Method: UInt8, BitwiseCopyable, CaseIterable, Sendable {
    case unknown, invite, ack, bye, cancel, options, register, prack, update, info, message, refer
    case subscribe, notify, publish

    /// The token; empty for `unknown`.
    package var text: StaticString {
        switch self {
        case .unknown: ""
        case .invite: "INVITE"
        case .ack: "ACK"
        case .bye: "BYE"
        case .cancel: "CANCEL"
        case .options: "OPTIONS"
        case .register: "REGISTER"
        case .prack: "PRACK"
        case .update: "UPDATE"
        case .info: "INFO"
        case .message: "MESSAGE"
        case .refer: "REFER"
        case .subscribe: "SUBSCRIBE"
        case .notify: "NOTIFY"
        case .publish: "PUBLISH"
        }
    }

    /// The method whose token stands at `range`: the first eight letters leave one candidate.
    @inline(__always)
    package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        self = .unknown
        guard range.count >= 3, range.count <= 9, range.lies(in: bytes) else { return }
        let candidate: Method
        switch bytes.key(range.start, Int(range.count)) {
        case Word.key("INVITE"): candidate = .invite
        case Word.key("ACK"): candidate = .ack
        case Word.key("BYE"): candidate = .bye
        case Word.key("CANCEL"): candidate = .cancel
        case Word.key("OPTIONS"): candidate = .options
        case Word.key("REGISTER"): candidate = .register
        case Word.key("PRACK"): candidate = .prack
        case Word.key("UPDATE"): candidate = .update
        case Word.key("INFO"): candidate = .info
        case Word.key("MESSAGE"): candidate = .message
        case Word.key("REFER"): candidate = .refer
        case Word.key("SUBSCRIB"): candidate = .subscribe
        case Word.key("NOTIFY"): candidate = .notify
        case Word.key("PUBLISH"): candidate = .publish
        default: return
        }
        // The key knows neither case nor a ninth letter.
        if bytes.matches(range, candidate.text) { self = candidate }
    }
}
