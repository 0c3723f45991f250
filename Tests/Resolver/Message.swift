import Platform

@testable import Resolver

/// Writes DNS messages, sound ones and others.
struct Message {
    private(set) var bytes: [UInt8]
    private var counts: [UInt16] = [0, 0, 0]

    /// - Parameter flags: an answer without error where nothing else is said.
    init(flags: UInt16 = 0x8180) {
        bytes = [0x12, 0x34] + Message.number(flags) + [UInt8](repeating: 0, count: 8)
    }

    static func number(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 255)] }
    static func number32(_ value: UInt32) -> [UInt8] {
        number(UInt16(value >> 16)) + number(UInt16(value & 0xFFFF))
    }

    static func name(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    static func string(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }

    private mutating func count(_ section: Int) {
        counts[section] += 1
        bytes.replaceSubrange(4 + section * 2..<6 + section * 2, with: Message.number(counts[section]))
    }

    mutating func question(_ name: String, _ type: DNSType) {
        bytes += Message.name(name) + Message.number(type.rawValue) + [0, 1]
        count(0)
    }

    /// - Parameter length: of the data, where it is to be wrong.
    mutating func record(
        _ owner: [UInt8], _ type: UInt16, ttl: UInt32, _ data: [UInt8], section: Int = 1, length: Int? = nil
    ) {
        bytes += owner + Message.number(type) + [0, 1] + Message.number32(ttl)
        bytes += Message.number(UInt16(length ?? data.count)) + data
        count(section)
    }

    mutating func address(_ owner: String, _ address: String, ttl: UInt32 = 300) {
        let address = SocketAddress(host: address, port: 0)!
        let data =
            address.isIPv4
            ? Message.number32(address.ipv4) : (0..<8).flatMap { Message.number(address.group($0)) }
        record(Message.name(owner), address.isIPv4 ? 1 : 28, ttl: ttl, data)
    }

    mutating func service(
        _ owner: String, _ priority: UInt16, _ weight: UInt16, _ port: UInt16, _ target: String,
        ttl: UInt32 = 300
    ) {
        let data = [priority, weight, port].flatMap(Message.number) + Message.name(target)
        record(Message.name(owner), 33, ttl: ttl, data)
    }

    mutating func rule(
        _ owner: String, _ order: UInt16, _ preference: UInt16, _ flags: String, _ services: String,
        _ replacement: String, regexp: String = "", ttl: UInt32 = 300
    ) {
        let texts = [flags, services, regexp].flatMap(Message.string)
        let data = [order, preference].flatMap(Message.number) + texts + Message.name(replacement)
        record(Message.name(owner), 35, ttl: ttl, data)
    }

    mutating func alias(_ owner: String, _ target: String, ttl: UInt32 = 300) {
        record(Message.name(owner), 5, ttl: ttl, Message.name(target))
    }

    mutating func authority(_ owner: String, ttl: UInt32, minimum: UInt32) {
        let numbers = [1, 2, 3, 4, minimum].flatMap(Message.number32)
        record(
            Message.name(owner), 6, ttl: ttl, Message.name("ns.x") + Message.name("admin.x") + numbers,
            section: 2)
    }

    func reply(_ type: DNSType, _ name: String) -> DNSReply {
        DNSReply(message: bytes.span, type: type, name: name)
    }
}
