import Platform

/// A transport and an address to listen on: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`; the port may be left out.
package struct Listener: BitwiseCopyable, Equatable, Sendable {
    package let transport: SIPTransport
    package let address: SocketAddress

    /// The port of sip: URIs without one (RFC 3261 §19.1.2).
    package static let defaultPort: UInt16 = 5060

    package init(_ transport: SIPTransport, _ address: SocketAddress) {
        self.transport = transport
        self.address = address
    }

    /// Nil where the text is not `udp:ADDRESS[:PORT]` or `tcp:…`, with an IPv6 address in brackets and a port
    /// from 1 to 65535.
    package init?(specification: String) {
        guard let transport = SIPTransport(name: String(specification.prefix { $0 != ":" })),
            transport != .tls
        else { return nil }
        var host = specification.dropFirst(4)
        var port = Listener.defaultPort
        let afterBracket = host.lastIndex(of: "]").map { host.index(after: $0) } ?? host.startIndex
        if let colon = host[afterBracket...].firstIndex(of: ":") {
            guard let number = Listener.port(host[host.index(after: colon)...]) else { return nil }
            port = number
            host = host[..<colon]
        }
        guard let address = SocketAddress(host: String(host), port: port) else { return nil }
        self.init(transport, address)
    }

    /// 1 to 65535, in at most five digits.
    static func port(_ text: Substring) -> UInt16? {
        guard text.utf8.count <= 5, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let number = UInt16(text), number > 0
        else {
            return nil
        }
        return number
    }

    /// True where `other` has the same transport and address family: how `server.advertise` finds its
    /// listener.
    package func serves(_ other: Listener) -> Bool {
        transport == other.transport && address.family == other.address.family
    }

    /// The specification again, always with its port.
    package var text: String { "\(transport.name):\(address.text)" }
}
