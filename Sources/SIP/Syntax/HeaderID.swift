/// The header fields that a proxy or registrar looks at; everything else is `other` and passes untouched.
package enum HeaderID: UInt8, BitwiseCopyable, CaseIterable, Sendable {
    case via, from, to, callID, cseq, maxForwards, route, recordRoute, contact, expires, contentLength,
        contentType
    case proxyRequire, require, supported, timestamp, path, minExpires, retryAfter, authorization
    case proxyAuthorization, wwwAuthenticate, proxyAuthenticate, date, maxBreadth
    case userAgent
    case other

    /// The name as we write it; empty for `other`.
    package var name: StaticString {
        switch self {
        case .via: "Via"
        case .from: "From"
        case .to: "To"
        case .callID: "Call-ID"
        case .cseq: "CSeq"
        case .maxForwards: "Max-Forwards"
        case .route: "Route"
        case .recordRoute: "Record-Route"
        case .contact: "Contact"
        case .expires: "Expires"
        case .contentLength: "Content-Length"
        case .contentType: "Content-Type"
        case .proxyRequire: "Proxy-Require"
        case .require: "Require"
        case .supported: "Supported"
        case .timestamp: "Timestamp"
        case .path: "Path"
        case .minExpires: "Min-Expires"
        case .retryAfter: "Retry-After"
        case .authorization: "Authorization"
        case .proxyAuthorization: "Proxy-Authorization"
        case .wwwAuthenticate: "WWW-Authenticate"
        case .proxyAuthenticate: "Proxy-Authenticate"
        case .date: "Date"
        case .maxBreadth: "Max-Breadth"
        case .userAgent: "User-Agent"
        case .other: ""
        }
    }

    /// The header field whose name, long or compact (IANA registry "SIP Parameters"), stands at `range`;
    /// letters of either case alike. They are compared as words.
    @inline(__always)
    package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        let count = Int(range.count)
        guard count > 0, range.lies(in: bytes) else {
            self = .other
            return
        }
        if count == 1 {
            self = HeaderID.compact(bytes[range.start] | 0x20)
        } else if count <= 8 {
            self = HeaderID.short(bytes.key(range.start, count))
        } else {
            self = HeaderID.long(bytes, range)
        }
    }

    /// The compact names of header fields that are `other` (s u e o r b d a j n x y) stay `other`.
    private static func compact(_ letter: UInt8) -> HeaderID {
        switch letter {
        case UInt8(ascii: "v"): .via
        case UInt8(ascii: "f"): .from
        case UInt8(ascii: "t"): .to
        case UInt8(ascii: "i"): .callID
        case UInt8(ascii: "m"): .contact
        case UInt8(ascii: "l"): .contentLength
        case UInt8(ascii: "c"): .contentType
        case UInt8(ascii: "k"): .supported
        default: .other
        }
    }

    /// Names of two to eight letters, and nothing behind them in the key.
    @inline(__always)
    private static func short(_ key: UInt64) -> HeaderID {
        switch key {
        case Word.key("to"): .to
        case Word.key("via"): .via
        case Word.key("from"): .from
        case Word.key("cseq"): .cseq
        case Word.key("path"): .path
        case Word.key("date"): .date
        case Word.key("route"): .route
        case Word.key("call-id"): .callID
        case Word.key("contact"): .contact
        case Word.key("expires"): .expires
        case Word.key("require"): .require
        default: .other
        }
    }

    /// Names of nine to nineteen letters: those of one length differ in the first or the last eight.
    @inline(__always)
    private static func long(_ bytes: Span<UInt8>, _ range: ByteRange) -> HeaderID {
        let count = Int(range.count)
        let head = bytes.key(range.start, 8)
        let tail = bytes.key(range.end &- 8, 8)

        @inline(__always)
        func isName(_ name: StaticString) -> Bool {
            head == Word.key(name, from: 0) && tail == Word.key(name, from: name.utf8CodeUnitCount &- 8)
        }
        switch count {
        case 9: return isName("Supported") ? .supported : isName("Timestamp") ? .timestamp : .other
        case 10: return isName("User-Agent") ? .userAgent : .other
        case 11:
            if isName("Max-Breadth") { return .maxBreadth }
            return isName("Min-Expires") ? .minExpires : isName("Retry-After") ? .retryAfter : .other
        case 12:
            if isName("Max-Forwards") { return .maxForwards }
            return isName("Content-Type") ? .contentType : isName("Record-Route") ? .recordRoute : .other
        case 13:
            return isName("Proxy-Require") ? .proxyRequire : isName("Authorization") ? .authorization : .other
        case 14: return isName("Content-Length") ? .contentLength : .other
        case 16: return isName("WWW-Authenticate") ? .wwwAuthenticate : .other
        case 18:
            // Two bytes in the middle are in neither half.
            let isIt = isName("Proxy-Authenticate") && bytes.key(range.start &+ 8, 2) == Word.key("th")
            return isIt ? .proxyAuthenticate : .other
        case 19:
            let isIt = isName("Proxy-Authorization") && bytes.key(range.start &+ 8, 3) == Word.key("tho")
            return isIt ? .proxyAuthorization : .other
        default: return .other
        }
    }
}
