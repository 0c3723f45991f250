extension SocketAddress {
    /// Parses a dotted IPv4 or an IPv6 address (brackets optional); nil where it is a name or wrong.
    package init?(host bytes: Span<UInt8>, port: UInt16) {
        guard bytes.count > 0 else { return nil }
        if bytes[0] == 0x5B {
            guard bytes.count > 2, bytes[bytes.count - 1] == 0x5D else { return nil }
            guard let groups = SocketAddress.ipv6Groups(bytes.extracting(1..<(bytes.count - 1))) else {
                return nil
            }
            self.init(ipv6: groups, port: port)
        } else if let value = SocketAddress.ipv4Value(bytes) {
            self.init(ipv4: value, port: port)
        } else if let groups = SocketAddress.ipv6Groups(bytes) {
            self.init(ipv6: groups, port: port)
        } else {
            return nil
        }
    }

    /// Allocates nothing beyond the string; for configuration and tests.
    package init?(host: String, port: UInt16) {
        let bytes = Array(host.utf8)
        self.init(host: bytes.span, port: port)
    }

    /// Four decimal numbers of up to three digits, each at most 255.
    static func ipv4Value(_ bytes: Span<UInt8>) -> UInt32? {
        var value: UInt32 = 0
        var part: UInt32 = 0
        var digits = 0
        var parts = 0
        for index in bytes.indices {
            let byte = bytes[index]
            if byte >= 0x30 && byte <= 0x39 {
                part = part &* 10 &+ UInt32(byte &- 0x30)
                digits += 1
                if digits > 3 || part > 255 { return nil }
            } else if byte == 0x2E {
                if digits == 0 || parts == 3 { return nil }
                value = value << 8 | part
                parts += 1
                part = 0
                digits = 0
            } else {
                return nil
            }
        }
        return parts == 3 && digits > 0 ? value << 8 | part : nil
    }

    /// RFC 4291 §2.2 text forms, an embedded IPv4 tail included; no zone. Also the third colon in front of that
    /// tail which the grammar of RFC 3261 §25.1 has by mistake, and RFC 5118 §4.10 wants tolerated.
    static func ipv6Groups(_ bytes: Span<UInt8>) -> InlineArray<8, UInt16>? {
        var groups = InlineArray<8, UInt16>(repeating: 0)
        var count = 0
        var gap = -1
        var index = 0
        if bytes.count >= 2 && bytes[0] == 0x3A {
            guard bytes[1] == 0x3A else { return nil }
            gap = 0
            index = 2
            if isColonOfTail(bytes, index) { index = 3 }
        }
        while index < bytes.count {
            if count == 8 { return nil }
            var value: UInt32 = 0
            var digits = 0
            let start = index
            while index < bytes.count, let digit = hexadecimalDigit(bytes[index]) {
                value = value << 4 | UInt32(digit)
                digits += 1
                index += 1
                if digits > 4 { return nil }
            }
            if index < bytes.count && bytes[index] == 0x2E {
                guard count <= 6, let tail = ipv4Value(bytes.extracting(start..<bytes.count)) else {
                    return nil
                }
                groups[count] = UInt16(tail >> 16)
                groups[count + 1] = UInt16(tail & 0xFFFF)
                count += 2
                index = bytes.count
                break
            }
            if digits == 0 { return nil }
            groups[count] = UInt16(value)
            count += 1
            if index == bytes.count { break }
            guard bytes[index] == 0x3A else { return nil }
            index += 1
            if index < bytes.count && bytes[index] == 0x3A {
                if gap >= 0 { return nil }
                gap = count
                index += 1
                if isColonOfTail(bytes, index) { index += 1 }
            } else if index == bytes.count {
                return nil
            }
        }
        if gap < 0 { return count == 8 ? groups : nil }
        if count == 8 { return nil }
        var moved = 0
        while moved < count - gap {
            groups[7 - moved] = groups[count - 1 - moved]
            groups[count - 1 - moved] = 0
            moved += 1
        }
        return groups
    }

    /// A third colon at `index`, with an IPv4 address behind it up to the end.
    private static func isColonOfTail(_ bytes: Span<UInt8>, _ index: Int) -> Bool {
        guard index < bytes.count, bytes[index] == 0x3A else { return false }
        return ipv4Value(bytes.extracting((index + 1)..<bytes.count)) != nil
    }

    private static func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }
}
