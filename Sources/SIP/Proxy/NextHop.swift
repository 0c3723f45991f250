import Platform
import SharedState
import Syntax

/// Where a URI leads, as far as it says so itself (RFC 3261 §16.6 step 7, RFC 3263 §4): an address, or a name
/// for the resolver.
package struct NextHop: BitwiseCopyable {
    /// With its port; none where the host is a name.
    package private(set) var address = SocketAddress()
    /// The host that is a name; empty where it is an address.
    package private(set) var name = ByteRange.none
    /// 0 where the URI has none.
    package private(set) var port: UInt16 = 0
    package private(set) var transport = SIPTransport.udp
    /// The URI names the transport.
    package private(set) var statesTransport = false

    /// Nil for what is no sip: URI, a transport that we do not speak, and a broadcast or group address.
    package init?(_ uri: SIPURI, _ bytes: Span<UInt8>) {
        guard uri.scheme == .sip else { return nil }
        if let named = uri.transport(bytes) {
            switch named {
            case .udp: transport = .udp
            case .tcp: transport = .tcp
            default: return nil
            }
            statesTransport = true
        }
        port = uri.port
        // §16.6 step 7: maddr comes first.
        let host = uri.parameter(named: "maddr", bytes) ?? uri.host
        if let numeric = SocketAddress(host: bytes.slice(host), port: port == 0 ? 5060 : port) {
            if numeric.isForMany { return nil }
            address = numeric.unmapped
        } else if bytes.matches(host, ignoringCase: "localhost") {
            address = SocketAddress(ipv4: 0x7F00_0001, port: port == 0 ? 5060 : port)
        } else {
            guard host.count > 0, host.count <= DNSQuestion.longestHost else { return nil }
            name = host
        }
    }

    /// To that address.
    package init(to address: SocketAddress, _ transport: SIPTransport, statesTransport: Bool = false) {
        self.address = address
        self.transport = transport
        self.statesTransport = statesTransport
    }

    package var isName: Bool { name.count > 0 }
}
