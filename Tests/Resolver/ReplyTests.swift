import Platform
import Testing

@testable import Resolver

@Suite("Answers of name servers are read from their bytes")
struct ReplyTests {
    private func address(_ text: String) -> DNSRecord { .address(SocketAddress(host: text, port: 0)!) }

    @Test("addresses of both families, with the least TTL")
    func addresses() {
        var message = Message()
        message.question("h.example", .a)
        message.address("h.example", "192.0.2.1", ttl: 300)
        message.address("H.Example", "192.0.2.2", ttl: 20)
        message.address("h.example", "2001:db8::1", ttl: 5)
        message.address("other.example", "192.0.2.3", ttl: 1)
        #expect(
            message.reply(.a, "h.example") == .found([address("192.0.2.1"), address("192.0.2.2")], ttl: 20))
        #expect(message.reply(.aaaa, "h.example") == .found([address("2001:db8::1")], ttl: 5))
    }

    @Test("addresses that nobody has are left out; one of IPv4 in IPv6 is one of IPv4")
    func useless() {
        var message = Message()
        for text in ["0.0.0.0", "255.255.255.255", "224.0.1.75"] { message.address("h", text) }
        for text in ["::", "ff02::1", "::ffff:192.0.2.1"] { message.address("h", text) }
        #expect(message.reply(.a, "h") == .found([], ttl: 300))
        #expect(message.reply(.aaaa, "h") == .found([address("192.0.2.1")], ttl: 300))
    }

    @Test("SRV and NAPTR, with compressed names and TTLs")
    func services() {
        var message = Message()
        message.question("_sip._udp.example", .srv)
        // The target ends with the pointer to "example" in the question, at 12 + 1 + 4 + 1 + 4.
        let data = [1, 2, 5070].flatMap(Message.number) + [2, 0x47, 0x57, 0xC0, 22]
        message.record([0xC0, 12], 33, ttl: 77, data)
        let expected = DNSRecord.service(priority: 1, weight: 2, port: 5070, target: "gw.example")
        #expect(message.reply(.srv, "_sip._udp.example") == .found([expected], ttl: 77))

        var rules = Message()
        rules.rule("example", 10, 20, "S", "SIP+D2T", "_sip._tcp.Example", ttl: 9)
        let rule = DNSRecord.rule(
            order: 10, preference: 20, flags: "s", services: "sip+d2t", replacement: "_sip._tcp.example")
        #expect(rules.reply(.naptr, "example") == .found([rule], ttl: 9))
    }

    @Test("a target that is no name, or a port 0, is left out, and the root stays")
    func targets() {
        var message = Message()
        message.service("s", 1, 1, 0, "a.example")
        let data = [1, 1, 5060].flatMap(Message.number) + [3, 0x61, 0x20, 0x62, 0]
        message.record(Message.name("s"), 33, ttl: 300, data)
        #expect(message.reply(.srv, "s") == .found([], ttl: 300))
        message.service("s", 0, 0, 0, "")
        #expect(
            message.reply(.srv, "s")
                == .found([.service(priority: 0, weight: 0, port: 0, target: "")], ttl: 300))
    }

    @Test("aliases are followed in any order, and their TTLs count")
    func aliases() {
        var message = Message()
        message.address("c.example", "192.0.2.1", ttl: 300)
        message.alias("b.example", "c.example", ttl: 30)
        message.alias("a.example", "b.example", ttl: 60)
        #expect(message.reply(.a, "a.example") == .found([address("192.0.2.1")], ttl: 30))
        #expect(message.reply(.aaaa, "a.example") == .none(ttl: 30))
    }

    @Test("aliases in a circle, or too many of them, are a failure")
    func circles() {
        var circle = Message()
        circle.alias("a", "b")
        circle.alias("b", "a")
        #expect(circle.reply(.a, "a") == .failed)
        var itself = Message()
        itself.alias("a", "a")
        #expect(itself.reply(.a, "a") == .failed)
        var chain = Message()
        for index in 0..<17 { chain.alias("a\(index)", "a\(index + 1)") }
        chain.address("a17", "192.0.2.1")
        #expect(chain.reply(.a, "a0") == .failed)
        #expect(chain.reply(.a, "a1") == .found([address("192.0.2.1")], ttl: 300))
    }

    @Test("that nothing is there holds as long as the SOA says, a minute where none does")
    func negative() {
        var message = Message(flags: 0x8183)
        message.question("a.example", .a)
        #expect(message.reply(.a, "a.example") == .none(ttl: 60))
        message.authority("example", ttl: 900, minimum: 40)
        #expect(message.reply(.a, "a.example") == .none(ttl: 40))
        var other = Message()
        other.authority("example", ttl: 30, minimum: 40)
        #expect(other.reply(.a, "a.example") == .none(ttl: 30))
        // RFC 2181 §8.
        var high = Message()
        high.authority("example", ttl: 0x8000_0000, minimum: 40)
        #expect(high.reply(.a, "a.example") == .none(ttl: 0))
    }

    @Test("other codes, and what is no answer, are failures", arguments: [0x8182, 0x8185, 0x0100])
    func codes(flags: UInt16) {
        var message = Message(flags: flags)
        message.address("a", "192.0.2.1")
        #expect(message.reply(.a, "a") == .failed)
    }

    @Test("every message that is cut short is a failure")
    func cut() {
        var message = Message()
        message.question("_sip._udp.example", .srv)
        message.service("_sip._udp.example", 1, 2, 5060, "gw.example")
        message.rule("example", 1, 2, "s", "SIP+D2U", "_sip._udp.example")
        for count in 0..<message.bytes.count {
            let part = Array(message.bytes.prefix(count))
            #expect(
                DNSReply(message: part.span, type: .srv, name: "_sip._udp.example") == .failed, "\(count)")
        }
    }

    @Test("lengths that lie, labels of unknown form and pointers in a circle are failures")
    func lies() {
        var long = Message()
        long.record(Message.name("a"), 1, ttl: 1, [192, 0, 2, 1], length: 5)
        #expect(long.reply(.a, "a") == .failed)
        var short = Message()
        short.record(Message.name("a"), 1, ttl: 1, [192, 0, 2, 1], length: 3)
        #expect(short.reply(.a, "a") == .failed)
        for owner: [UInt8] in [[0xC0, 12], [0xC0, 200], [0x40, 0], [1, 0x61, 0xC0, 12], [63, 0x61]] {
            var message = Message()
            message.record(owner, 1, ttl: 1, [192, 0, 2, 1])
            #expect(message.reply(.a, "a") == .failed)
        }
        var endless = Message()
        endless.record(Message.name(String(repeating: "a.", count: 130)), 1, ttl: 1, [192, 0, 2, 1])
        #expect(endless.reply(.a, "a") == .failed)
    }

    @Test("a name goes over 127 pointers at most")
    func pointers() {
        for (count, isRead) in [(127, true), (128, false)] {
            var message = Message()
            // The data starts at 12 + 3 + 10: a name, and pointers each to what is before it.
            var data: [UInt8] = [1, 0x61, 0]
            for index in 0..<count - 1 {
                data += Message.number(0xC000 | UInt16(index == 0 ? 25 : 26 + 2 * index))
            }
            message.record(Message.name("b"), 16, ttl: 1, data)
            let last = UInt16(25 + data.count - 2)
            message.record(Message.number(0xC000 | last), 1, ttl: 1, [192, 0, 2, 1])
            #expect(message.reply(.a, "a") == (isRead ? .found([address("192.0.2.1")], ttl: 1) : .failed))
        }
    }

    @Test("an answer to more than one question is refused")
    func questions() {
        var message = Message()
        for _ in 0..<2 { message.question("a", .a) }
        message.address("a", "192.0.2.1")
        #expect(message.reply(.a, "a") == .failed)
    }

    @Test("rubbish never does more than fail")
    func fuzz() {
        var seeds: [[UInt8]] = []
        var message = Message()
        message.question("example", .naptr)
        message.rule("example", 1, 2, "s", "SIP+D2U", "_sip._udp.example", regexp: "!a!b!")
        message.alias("example", "b.example")
        message.service("b.example", 1, 2, 5060, "gw.example")
        message.address("b.example", "192.0.2.1")
        message.address("b.example", "2001:db8::1")
        message.authority("example", ttl: 900, minimum: 40)
        seeds.append(message.bytes)
        var generator = SystemRandomNumberGenerator()
        var failures = 0
        for round in 0..<20_000 {
            var bytes = seeds[0]
            if round % 4 == 0 { bytes = (0..<Int.random(in: 0..<80)).map { _ in generator.next() } }
            for _ in 0..<Int.random(in: 1...4) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count)] = round % 3 == 0 ? 0xC0 : generator.next()
            }
            for type in [DNSType.a, .aaaa, .srv, .naptr] {
                let reply = DNSReply(message: bytes.span, type: type, name: "example")
                if reply == .failed { failures += 1 }
            }
        }
        #expect(failures > 0)
    }
}
