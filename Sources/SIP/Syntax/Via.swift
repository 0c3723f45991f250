/// One via-parm (RFC 3261 §20.42): the hop that a request came from and its response goes back to.
///
///     Via: SIP/2.0/UDP pc33.example.com:5060;branch=z9hG4bK776;rport , SIP/2.0/TCP next…
///          └──────────────────────── whole ────────────────────────┘   ↑ rest
///                      └────── sentBy ─────┘        └─ branch ─┘    ↑ rport (empty, where "=value" would go)
package struct Via: BitwiseCopyable, Sendable {
    package enum Transport: UInt8, BitwiseCopyable, Sendable {
        case udp, tcp, tls, sctp, ws, wss, other

        /// The token as it stands in a Via; empty for `other`.
        package var text: StaticString {
            switch self {
            case .udp: "UDP"
            case .tcp: "TCP"
            case .tls: "TLS"
            case .sctp: "SCTP"
            case .ws: "WS"
            case .wss: "WSS"
            case .other: ""
            }
        }

        /// The transport named at `range`, letters of either case alike.
        package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
            guard range.count >= 2, range.count <= 4 else {
                self = .other
                return
            }
            switch bytes.key(range.start, Int(range.count)) {
            case Word.key("udp"): self = .udp
            case Word.key("tcp"): self = .tcp
            case Word.key("tls"): self = .tls
            case Word.key("sctp"): self = .sctp
            case Word.key("ws"): self = .ws
            case Word.key("wss"): self = .wss
            default: self = .other
            }
        }
    }

    /// This via-parm alone, without comma; empty where none could be read.
    package var whole: ByteRange = .none
    /// host[:port] as it stands there.
    package var sentBy: ByteRange = .none
    /// Brackets of an IPv6 address included.
    package var host: ByteRange = .none
    package var branch: ByteRange = .none
    package var received: ByteRange = .none
    /// The value of rport; where it has none, an empty range at the place where "=value" goes.
    package var rport: ByteRange = .none
    /// Of sentBy; 0 where absent.
    package var port: UInt16 = 0
    /// 0 where absent or no port number.
    package var rportValue: UInt16 = 0
    /// Offset of the next via-parm of the same line; 0 where this is the last one.
    package var rest: UInt16 = 0
    package var transport: Transport = .other
    /// rport is there, with or without value (RFC 3581).
    package var hasRport = false
    /// The branch starts with z9hG4bK and goes on: unique after RFC 3261.
    package var hasMagicCookie = false

    package init() {}

    package var isEmpty: Bool { whole.isEmpty }
    package var isLastInLine: Bool { rest == 0 }

    /// The port that responses go to where neither rport nor a port is given (RFC 3261 §18.2.2).
    package var portOrDefault: UInt16 {
        if port != 0 { return port }
        return transport == .tls || transport == .wss ? 5061 : 5060
    }
}

extension Message {
    /// The via-parm below the top one: where a response goes on once the top one is removed (RFC 3261 §16.7
    /// step 3). Nil where there is none or it is broken.
    package func secondVia() -> Via? {
        guard !index.topVia.isEmpty, !index.lowerVias.isEmpty else { return nil }
        return Via.parse(bytes, index.lowerVias)
    }

    /// The host of that via-parm, for who wants to know no more of it.
    package func secondViaHost() -> ByteRange? {
        guard !index.topVia.isEmpty, !index.lowerVias.isEmpty else { return nil }
        return Via.host(bytes, index.lowerVias)
    }
}
