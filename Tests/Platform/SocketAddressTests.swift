import Glibc
import Platform
import Testing

struct SocketAddressTests {
    /// Input, and what is printed again with port 5060 (RFC 5952 for IPv6).
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0:5060"), ("127.0.0.1", "127.0.0.1:5060"),
        ("255.255.255.255", "255.255.255.255:5060"),
        ("192.0.2.010", "192.0.2.10:5060"),
        ("::", "[::]:5060"), ("::1", "[::1]:5060"), ("[::1]", "[::1]:5060"), ("1::", "[1::]:5060"),
        ("2001:db8::1", "[2001:db8::1]:5060"), ("2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:5060"),
        ("2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]:5060"),
        ("2001:0:0:1:0:0:0:1", "[2001:0:0:1::1]:5060"), ("2001:db8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]:5060"),
        ("1:2:3:4:5:6:7:8", "[1:2:3:4:5:6:7:8]:5060"), ("::2:3:4:5:6:7:8", "[0:2:3:4:5:6:7:8]:5060"),
        ("1:2:3:4:5:6:7::", "[1:2:3:4:5:6:7:0]:5060"), ("1:2::7:8", "[1:2::7:8]:5060"),
        ("ffff:0fff:00ff:000f::", "[ffff:fff:ff:f::]:5060"),
        ("::ffff:192.0.2.1", "[::ffff:c000:201]:5060"), ("64:ff9b::192.0.2.33", "[64:ff9b::c000:221]:5060"),
        ("1:2:3:4:5:6:192.0.2.1", "[1:2:3:4:5:6:c000:201]:5060"), ("::1.2.3.4", "[::102:304]:5060"),
        ("1:2:3:4:5::1.2.3.4", "[1:2:3:4:5:0:102:304]:5060"),
        // RFC 5118 §4.10.
        ("[2001:db8:::192.0.2.1]", "[2001:db8::c000:201]:5060"), (":::1.2.3.4", "[::102:304]:5060"),
    ])
    func readsAndPrints(_ input: String, _ output: String) throws {
        let address = try #require(SocketAddress(host: input, port: 5060))
        #expect(address.text == output)
        // What is printed reads again as the same.
        let host = String(address.text.dropLast(5))
        #expect(SocketAddress(host: host, port: 5060) == address)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "1.2.3.0004", "1.2.3.4 ",
        "a.b.c.d",
        "example.org", "-1.2.3.4", "1.2.3.4:5", ":", ":::", "::1::", "1::2::3", ":1", "1:", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4::5:6:7:8", "12345::", "g::", "::1.2.3", "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1:2:3:4:5:6::1.2.3.4", "1.2.3.4::", "::12345.2.3.4", "::a.2.3.4", "[::1", "::1]", "[]", "[1.2.3.4]",
        "[[::1]]", "fe80::1%eth0",
        "1:::2", ":::1", "1:::", "1::::1.2.3.4", "::1:::1.2.3.4", "1:::2:1.2.3.4", ":::1.2.3",
        "1:2:3:4:5:6:::1.2.3.4",
    ])
    func refuses(_ input: String) {
        #expect(SocketAddress(host: input, port: 1) == nil)
    }

    /// Whatever the bytes: no trap, and what is taken is printed and read again as the same.
    @Test func survivesAnything() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("0123456789abcdefF:::...[]%g ".utf8)
        for _ in 0..<200_000 {
            let bytes = (0..<Int.random(in: 0...18, using: &random)).map { _ in
                alphabet.randomElement(using: &random)!
            }
            guard let address = SocketAddress(host: bytes.span, port: 0) else { continue }
            let again = SocketAddress(host: String(address.text.dropLast(2)), port: 0)
            #expect(again == address, "\(String(decoding: bytes, as: UTF8.self))")
        }
    }

    @Test func agreesWithTheSystem() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var groups = InlineArray<8, UInt16>(repeating: 0)
            for index in 0..<8 where Bool.random(using: &random) {
                groups[index] =
                    UInt16.random(in: 0...UInt16.max, using: &random)
                    >> UInt16.random(in: 0...12, using: &random)
            }
            let address = SocketAddress(ipv6: groups, port: 0)
            let host = String(address.text.dropFirst().dropLast(3))
            var system = in6_addr()
            #expect(unsafe inet_pton(AF_INET6, host, &system) == 1, "\(host)")
            let bytes = unsafe withUnsafeBytes(of: system) { unsafe Array($0) }
            for index in 0..<8 {
                #expect(UInt16(bytes[index * 2]) << 8 | UInt16(bytes[index * 2 + 1]) == address.group(index))
            }
        }
    }

    @Test func hasTheLayoutOfTheSystem() {
        #expect(MemoryLayout<SocketAddress>.size == 28)
        #expect(MemoryLayout<SocketAddress>.size == MemoryLayout<sockaddr_in6>.size)
        var storage = sockaddr_storage()
        let four = SocketAddress(ipv4: 0xC000_0201, port: 5062)
        unsafe withUnsafeMutableBytes(of: &storage) { target in
            unsafe withUnsafeBytes(of: four) { unsafe target.copyMemory(from: $0) }
        }
        #expect(SocketAddress(storage) == four)
        unsafe withUnsafeBytes(of: storage) { bytes in
            #expect(unsafe bytes.load(as: sockaddr_in.self).sin_port == (5062 as UInt16).bigEndian)
            #expect(
                unsafe bytes.load(as: sockaddr_in.self).sin_addr.s_addr == (0xC000_0201 as UInt32).bigEndian)
        }
        let six = SocketAddress(host: "2001:db8::7", port: 5061)!
        unsafe withUnsafeMutableBytes(of: &storage) { target in
            unsafe withUnsafeBytes(of: six) { unsafe target.copyMemory(from: $0) }
        }
        #expect(SocketAddress(storage) == six)
        #expect(SocketAddress(sockaddr_storage()).isNone)
    }

    @Test func comparesAndTellsApart() {
        let address = SocketAddress(ipv4: 0x7F00_0001, port: 5060)
        #expect(address != SocketAddress(ipv4: 0x7F00_0001, port: 5061))
        #expect(address != SocketAddress(ipv4: 0x7F00_0002, port: 5060))
        #expect(address.host == SocketAddress(ipv4: 0x7F00_0001, port: 0))
        #expect(address.port == 5060)
        #expect(address.ipv4 == 0x7F00_0001)
        #expect(address.isIPv4 && !address.isIPv6 && !address.isNone && !address.isWildcard)
        #expect(address.length == 16)
        #expect(SocketAddress(host: "::", port: 1)!.isWildcard)
        #expect(SocketAddress(host: "0.0.0.0", port: 1)!.isWildcard)
        #expect(!SocketAddress(host: "::1", port: 1)!.isWildcard)
        #expect(SocketAddress(host: "::1", port: 1)!.length == 28)
        #expect(SocketAddress().text == "none")
    }

    @Test(arguments: [
        ("255.255.255.255", true), ("224.0.0.1", true), ("239.255.255.255", true), ("223.255.255.255", false),
        ("240.0.0.1", false), ("255.255.255.254", false), ("ff02::1", true), ("fe80::1", false),
        ("::1", false),
    ])
    func broadcastAndGroups(text: String, isForMany: Bool) throws {
        #expect(try #require(SocketAddress(host: text, port: 5060)).isForMany == isForMany)
    }

    @Test(arguments: [
        ("::ffff:192.0.2.1", "192.0.2.1:5060"), ("::fffe:c000:201", "[::fffe:c000:201]:5060"),
        ("::192.0.2.1", "[::c000:201]:5060"), ("192.0.2.1", "192.0.2.1:5060"),
    ])
    func unmapped(text: String, expected: String) throws {
        #expect(try #require(SocketAddress(host: text, port: 5060)).unmapped.text == expected)
    }
}
