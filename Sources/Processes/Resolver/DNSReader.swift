import Platform

/// Reads the parts of a DNS message one after the other; throws where one lies outside of it.
struct DNSReader: ~Escapable {
    struct Malformed: Error {}

    /// Pointers in one name: no more than there can be labels in it.
    private static let maximumPointers = 127

    private let message: Span<UInt8>
    private(set) var position = 0

    @_lifetime(copy message)
    init(_ message: Span<UInt8>) { self.message = message }

    mutating func skip(_ count: Int) throws(Malformed) {
        guard count <= message.count - position else { throw Malformed() }
        position += count
    }

    mutating func number8() throws(Malformed) -> UInt8 {
        try skip(1)
        return message[position - 1]
    }

    mutating func number16() throws(Malformed) -> UInt16 {
        let high = try number8()
        return UInt16(high) << 8 | UInt16(try number8())
    }

    mutating func number32() throws(Malformed) -> UInt32 {
        let high = try number16()
        return UInt32(high) << 16 | UInt32(try number16())
    }

    /// RFC 2181 §8: one with the highest bit set is to be taken for zero.
    static func ttl(_ value: UInt32) -> UInt32 { value & 0x8000_0000 != 0 ? 0 : value }

    // MARK: names

    /// A name (RFC 1035 §3.1, §4.1.4) in lower case, its labels with dots between them; the root is "". Nil
    /// where it is well formed, but no name that a host or service has.
    mutating func name() throws(Malformed) -> String? {
        var text: [UInt8] = []
        var isUsable = true
        var length = 0
        var pointers = 0
        var at = position
        // Where the name goes on elsewhere, what follows it here follows the first pointer.
        var end: Int?
        while true {
            let head = try byte(at)
            switch head >> 6 {
            case 0:
                if head == 0 {
                    position = end ?? at + 1
                    return isUsable ? String(decoding: text, as: UTF8.self) : nil
                }
                length += Int(head) + 1
                // RFC 1035 §3.1: 255 octets, the root's among them.
                guard length <= 254 else { throw Malformed() }
                if !text.isEmpty { text.append(0x2E) }
                for index in (at + 1)...(at + Int(head)) {
                    let letter = DNSReader.lowercased(try byte(index))
                    if !DNSReader.isUsable(letter) { isUsable = false }
                    text.append(letter)
                }
                at += Int(head) + 1
            case 3:
                let target = Int(head & 63) << 8 | Int(try byte(at + 1))
                if end == nil { end = at + 2 }
                pointers += 1
                // Only backwards, so it ends.
                guard target < at, pointers <= DNSReader.maximumPointers else { throw Malformed() }
                at = target
            default: throw Malformed()
            }
        }
    }

    private func byte(_ index: Int) throws(Malformed) -> UInt8 {
        guard index < message.count else { throw Malformed() }
        return message[index]
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
    }

    /// Letters, digits, hyphen and underscore; what else a label may hold is not for host names (RFC 1123
    /// §2.1).
    private static func isUsable(_ byte: UInt8) -> Bool {
        byte >= 0x61 && byte <= 0x7A || byte >= 0x30 && byte <= 0x39 || byte == 0x2D || byte == 0x5F
    }

    /// A name that may be asked for.
    static func isUsable(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { isUsable($0) || $0 == 0x2E }
    }

    // MARK: records

    struct RecordHead {
        /// Nil where it is no name of ours.
        let owner: String?
        let type: UInt16
        let isInternet: Bool
        let ttl: UInt32
        /// Bytes of the data, which follow.
        let length: Int
    }

    mutating func recordHead() throws(Malformed) -> RecordHead {
        let owner = try name()
        let type = try number16()
        let kind = try number16()
        let ttl = DNSReader.ttl(try number32())
        let length = Int(try number16())
        guard length <= message.count - position else { throw Malformed() }
        return RecordHead(owner: owner, type: type, isInternet: kind == 1, ttl: ttl, length: length)
    }

    /// The data of a record; nil where it is of no use.
    mutating func record(_ type: DNSType) throws(Malformed) -> DNSRecord? {
        switch type {
        case .a:
            let address = SocketAddress(ipv4: try number32(), port: 0)
            return address.isWildcard || address.isForMany ? nil : .address(address)
        case .aaaa:
            var groups = InlineArray<8, UInt16>(repeating: 0)
            for index in 0..<8 { groups[index] = try number16() }
            let address = SocketAddress(ipv6: groups, port: 0).unmapped
            return address.isWildcard || address.isForMany ? nil : .address(address)
        case .srv:
            let priority = try number16()
            let weight = try number16()
            let port = try number16()
            guard let target = try name(), port != 0 || target.isEmpty else { return nil }
            return .service(priority: priority, weight: weight, port: port, target: target)
        case .naptr:
            let order = try number16()
            let preference = try number16()
            let flags = try string()
            let services = try string()
            _ = try string()
            guard let replacement = try name() else { return nil }
            return .rule(
                order: order, preference: preference, flags: flags, services: services,
                replacement: replacement)
        }
    }

    /// A character string (RFC 1035 §3.3) in lower case.
    private mutating func string() throws(Malformed) -> String {
        let count = Int(try number8())
        let start = position
        try skip(count)
        var bytes: [UInt8] = []
        for index in start..<position { bytes.append(DNSReader.lowercased(message[index])) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
