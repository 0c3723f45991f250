import Platform

/// A range of addresses in CIDR notation: `192.0.2.0/24`, `2001:db8::/32`; without a prefix, the one address.
package struct Network: BitwiseCopyable, Equatable, Sendable {
    /// The first address of the range; its port is 0.
    package let address: SocketAddress
    /// Leading bits that count: 0 to 32, or to 128.
    package let prefix: Int

    package static let ipv6Loopback = Network(specification: "::1/128")!

    package init(ipv4: UInt32, prefix: Int) {
        address = SocketAddress(ipv4: ipv4, port: 0)
        self.prefix = prefix
    }

    /// Nil where the text is no network, or where the address has bits beyond the prefix (`10.0.0.1/8`).
    package init?(specification: String) {
        let slash = specification.firstIndex(of: "/")
        guard
            let address = SocketAddress(
                host: String(specification[..<(slash ?? specification.endIndex)]), port: 0),
            !specification.hasPrefix("[")
        else { return nil }
        let bits = address.isIPv4 ? 32 : 128
        var prefix = bits
        if let slash {
            let digits = specification[specification.index(after: slash)...]
            guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(digits),
                number <= bits
            else { return nil }
            prefix = number
        }
        self.address = address
        self.prefix = prefix
        if !Network.hasOnlyZeros(address, after: prefix) { return nil }
    }

    private static func hasOnlyZeros(_ address: SocketAddress, after prefix: Int) -> Bool {
        if address.isIPv4 { return prefix >= 32 || address.ipv4 << UInt32(prefix) == 0 }
        for index in 0..<8 {
            let kept = min(max(prefix - index * 16, 0), 16)
            if kept < 16 && address.group(index) << UInt16(kept) != 0 { return false }
        }
        return true
    }

    /// True where `other`, whatever its port, lies in this range; addresses of the other family never do.
    package func contains(_ other: SocketAddress) -> Bool {
        other.isIn(network: address, prefix: prefix)
    }

    /// The specification again, always with its prefix.
    package var text: String {
        let host = address.text.dropLast(2)  // ":0"
        return "\(address.isIPv6 ? host.dropFirst().dropLast() : host)/\(prefix)"
    }
}
