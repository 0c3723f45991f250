/// What carries SIP messages (RFC 3261 §18): the transports that a listener, a next hop or a URI may name.
package enum SIPTransport: UInt8, BitwiseCopyable, CaseIterable, Sendable {
    case udp = 0
    case tcp = 1
    /// Not spoken yet.
    case tls = 2

    /// It delivers, or says that it does not: nothing is sent again by the transactions.
    package var isReliable: Bool { self != .udp }

    /// As listeners, URIs and the journal have it.
    package var name: StaticString {
        switch self {
        case .udp: "udp"
        case .tcp: "tcp"
        case .tls: "tls"
        }
    }

    /// As a Via has it.
    package var token: StaticString {
        switch self {
        case .udp: "UDP"
        case .tcp: "TCP"
        case .tls: "TLS"
        }
    }

    /// By `name`; nil for anything else.
    package init?(name: String) {
        for transport in SIPTransport.allCases where "\(transport.name)" == name {
            self = transport
            return
        }
        return nil
    }
}
