/// The methods that have a name of their own here; all others are `unknown` and pass as text (RFC 3261 §7.1: method
/// names are case-sensitive).
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

    /// The method whose token stands at `range`. The first letter (for P and R the second, too) leaves one candidate.
    package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        self = .unknown
        guard range.count >= 3, range.lies(in: bytes) else { return }
        let second = bytes[range.start &+ 1]
        let candidate: Method
        switch bytes[range.start] {
        case UInt8(ascii: "I"): candidate = range.count == 6 ? .invite : .info
        case UInt8(ascii: "A"): candidate = .ack
        case UInt8(ascii: "B"): candidate = .bye
        case UInt8(ascii: "C"): candidate = .cancel
        case UInt8(ascii: "O"): candidate = .options
        case UInt8(ascii: "R"): candidate = range.count == 8 ? .register : .refer
        case UInt8(ascii: "P"): candidate = second == UInt8(ascii: "R") ? .prack : .publish
        case UInt8(ascii: "U"): candidate = .update
        case UInt8(ascii: "M"): candidate = .message
        case UInt8(ascii: "S"): candidate = .subscribe
        case UInt8(ascii: "N"): candidate = .notify
        default: return
        }
        if bytes.matches(range, candidate.text) { self = candidate }
    }
}
