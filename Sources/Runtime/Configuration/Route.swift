import Platform

/// One `[[route]]`: which requests it takes, and the next hops that they are sent to.
package struct Route: Equatable, Sendable {
    package static let most = 64
    package static let mostMethods = 16
    package static let mostSources = 32
    package static let mostHops = 16
    /// Bytes of a pattern.
    package static let longestPattern = 128
    /// Bytes of a method's name.
    package static let longestMethod = 32

    /// `*` is any run of characters, `?` any one; `%2A` is a star.
    package var user = "*"
    /// The same, in lower case.
    package var domain = "*"
    /// Empty: all.
    package var methods: [String] = []
    /// Empty: everyone.
    package var sources: [Network] = []
    package var hops: [Hop] = []
    package var policy = Policy.failover
    /// Seconds.
    package var deadTime = 30

    package init() {}

    /// `route.policy`: which next hop is the first.
    package enum Policy: String, CaseIterable, Sendable {
        case failover
        case roundRobin = "round-robin"
    }

    /// A next hop: `sip:192.0.2.20:5060`, `sip:gw.example.net;transport=tcp`.
    package struct Hop: Equatable, Sendable {
        /// As it was written.
        package let uri: String
        package let transport: SIPTransport
        /// The URI names the transport; a name without one may lead to any (RFC 3263 §4.1).
        let statesTransport: Bool
        /// With the port; none where the host is a name.
        package let address: SocketAddress
        package let port: UInt16

        /// Why this version cannot send there; nil where it can.
        var obstacle: String? {
            transport == .tls ? "this version does not speak TLS" : nil
        }

        /// True where one of the listeners can send there: one of the transport and, to an address, of its
        /// family.
        package func isReachable(from listen: [Listener]) -> Bool {
            if obstacle != nil { return false }
            if address.isNone && !statesTransport { return !listen.isEmpty }
            return listen.contains {
                $0.transport == transport && (address.isNone || $0.address.family == address.family)
            }
        }
    }
}

extension Route.Hop {
    /// Nil where the text is no `sip:HOST[:PORT][;transport=udp|tcp|tls]`, an IPv6 address in brackets, or
    /// where nobody can be reached there.
    package init?(specification: String) {
        guard specification.prefix(4).lowercased() == "sip:" else { return nil }
        let parts = specification.dropFirst(4).split(separator: ";", omittingEmptySubsequences: false)
        statesTransport = parts.count > 1
        switch parts.count {
        case 1: transport = .udp
        case 2:
            let parameter = parts[1].lowercased()
            guard parameter.hasPrefix("transport="),
                let named = SIPTransport(name: String(parameter.dropFirst(10)))
            else { return nil }
            transport = named
        default: return nil
        }
        var host = parts[0]
        var port = transport == .tls ? Route.Hop.tlsPort : Listener.defaultPort
        let afterBracket = host.lastIndex(of: "]").map { host.index(after: $0) } ?? host.startIndex
        if let colon = host[afterBracket...].firstIndex(of: ":") {
            guard let number = Listener.port(host[host.index(after: colon)...]) else { return nil }
            port = number
            host = host[..<colon]
        }
        guard let address = Route.Hop.address(String(host), port) else { return nil }
        self.address = address
        self.port = port
        uri = specification
    }

    /// The port of sip: URIs with transport=tls and without a port (RFC 3261 §19.1.2).
    private static let tlsPort: UInt16 = 5061

    /// None for a name; nil where it is neither a name nor an address that can be reached.
    private static func address(_ host: String, _ port: UInt16) -> SocketAddress? {
        if host.lowercased() == "localhost" { return SocketAddress(ipv4: 0x7F00_0001, port: port) }
        if let address = SocketAddress(host: host, port: port) {
            return address.isWildcard || address.isIPv6 != host.hasPrefix("[") ? nil : address
        }
        if case .good = checkedDomain(host) { return SocketAddress() }
        return nil
    }
}

func checkedHop(_ text: String) -> Fault<Route.Hop> {
    guard let hop = Route.Hop(specification: text) else {
        return .bad(
            "expected sip:HOST:PORT, or sip:HOST:PORT;transport=udp, tcp or tls, found \(quoted(text))")
    }
    return .good(hop)
}

/// A pattern that some user part can match: none of the characters that end one, no broken escape.
func checkedUserPattern(_ text: String) -> Fault<String> {
    let bytes = Array(text.utf8)
    if bytes.count > Route.longestPattern { return tooLong(text, Route.longestPattern) }
    for (index, byte) in bytes.enumerated() {
        let isEscape = byte == 0x25
        let follows = bytes[(index + 1)...].prefix(2)
        if byte <= 0x20 || byte == 0x7F || "@:<>\"".utf8.contains(byte)
            || isEscape && (follows.count < 2 || !follows.allSatisfy(isHexadecimal))
        {
            return .bad("expected a pattern of a user part such as \"+49*\", found \(quoted(text))")
        }
    }
    return .good(text)
}

private func isHexadecimal(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x66)
}

/// A pattern that some host can match; a colon only in the brackets of an IPv6 address. In lower case.
func checkedDomainPattern(_ text: String) -> Fault<String> {
    if text.utf8.count > Route.longestPattern { return tooLong(text, Route.longestPattern) }
    let isAddress = text.hasPrefix("[")
    let isGood = text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        case 0x2A, 0x2D, 0x2E, 0x3F, 0x5F: true  // * - . ? _
        case 0x3A, 0x5B, 0x5D: isAddress
        default: false
        }
    }
    if text.isEmpty || !isGood {
        return .bad("expected a pattern of a host such as \"*.example.org\", found \(quoted(text))")
    }
    return .good(text.lowercased())
}

/// A token of RFC 3261 §25.1.
func checkedMethod(_ text: String) -> Fault<String> {
    if text.utf8.count > Route.longestMethod { return tooLong(text, Route.longestMethod) }
    let isToken = text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "-.!%*_+`'~".utf8.contains(byte)
        }
    }
    return text.isEmpty || !isToken
        ? .bad("expected a method such as \"INVITE\", found \(quoted(text))") : .good(text)
}

private func tooLong(_ text: String, _ limit: Int) -> Fault<String> {
    .bad("expected at most \(limit) characters, found \(quoted(text))")
}
