/// The header fields that a proxy or registrar looks at; everything else is `other` and passes untouched.
package enum HeaderID: UInt8, BitwiseCopyable, CaseIterable, Sendable {
    case via, from, to, callID, cseq, maxForwards, route, recordRoute, contact, expires, contentLength, contentType
    case proxyRequire, require, supported, timestamp, path, minExpires, retryAfter, authorization
    case proxyAuthorization, wwwAuthenticate, proxyAuthenticate, date
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
        case .other: ""
        }
    }

    /// The header field whose name, long or compact (IANA registry "SIP Parameters"), stands at `range`; letters of
    /// either case alike. Length and first letter leave one candidate.
    @inline(__always)
    package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        self = .other
        guard !range.isEmpty else { return }
        let letter = bytes[range.start] | 0x20
        if range.count == 1 {
            self = HeaderID.compact(letter)
            return
        }
        let candidate = HeaderID.candidate(count: range.count, letter: letter, second: bytes[range.start &+ 1] | 0x20)
        if candidate != .other && bytes.matches(range, ignoringCase: candidate.name) { self = candidate }
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

    @inline(__always)
    private static func candidate(count: UInt16, letter: UInt8, second: UInt8) -> HeaderID {
        switch (count, letter) {
        case (2, UInt8(ascii: "t")): .to
        case (3, UInt8(ascii: "v")): .via
        case (4, UInt8(ascii: "f")): .from
        case (4, UInt8(ascii: "c")): .cseq
        case (4, UInt8(ascii: "p")): .path
        case (4, UInt8(ascii: "d")): .date
        case (5, UInt8(ascii: "r")): .route
        case (7, UInt8(ascii: "c")): second == UInt8(ascii: "a") ? .callID : .contact
        case (7, UInt8(ascii: "e")): .expires
        case (7, UInt8(ascii: "r")): .require
        case (9, UInt8(ascii: "s")): .supported
        case (9, UInt8(ascii: "t")): .timestamp
        case (11, UInt8(ascii: "m")): .minExpires
        case (11, UInt8(ascii: "r")): .retryAfter
        case (12, UInt8(ascii: "m")): .maxForwards
        case (12, UInt8(ascii: "r")): .recordRoute
        case (12, UInt8(ascii: "c")): .contentType
        case (13, UInt8(ascii: "p")): .proxyRequire
        case (13, UInt8(ascii: "a")): .authorization
        case (14, UInt8(ascii: "c")): .contentLength
        case (16, UInt8(ascii: "w")): .wwwAuthenticate
        case (18, UInt8(ascii: "p")): .proxyAuthenticate
        case (19, UInt8(ascii: "p")): .proxyAuthorization
        default: .other
        }
    }
}
