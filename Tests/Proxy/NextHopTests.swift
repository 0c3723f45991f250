import Platform
import SharedState
import Syntax
import Testing

@testable import Proxy

/// RFC 3263 §4: what a URI says itself of where it leads.
@Suite struct NextHopTests {
    private func hop(_ text: String) -> String {
        let bytes = Array(text.utf8)
        guard let uri = SIPURI.parse(bytes.span), let hop = NextHop(uri, bytes.span) else { return "none" }
        let name = String(decoding: bytes[hop.name.start..<hop.name.end], as: UTF8.self)
        #expect(hop.isName == hop.address.isNone && hop.isName == !name.isEmpty)
        let place = hop.isName ? "\(name):\(hop.port)" : hop.address.text
        return "\(hop.transport.name) \(place)" + (hop.statesTransport ? " as stated" : "")
    }

    @Test(arguments: [
        ("sip:bob@192.0.2.7", "udp 192.0.2.7:5060"),
        ("sip:192.0.2.7:5070", "udp 192.0.2.7:5070"),
        ("sip:bob@192.0.2.7;transport=tcp", "tcp 192.0.2.7:5060 as stated"),
        ("sip:bob@[2001:db8::7]:5062;transport=UDP", "udp [2001:db8::7]:5062 as stated"),
        ("sip:bob@[2001:db8::7];transport=TCP", "tcp [2001:db8::7]:5060 as stated"),
        ("sip:bob@[::ffff:192.0.2.7]", "udp 192.0.2.7:5060"),
        ("sip:bob@localhost", "udp 127.0.0.1:5060"),
        ("sip:bob@LocalHost:5070;transport=tcp", "tcp 127.0.0.1:5070 as stated"),
        ("sip:bob@gw.example.net", "udp gw.example.net:0"),
        ("sip:GW.example.net:5070", "udp GW.example.net:5070"),
        ("sip:gw.example.net;lr;transport=tcp", "tcp gw.example.net:0 as stated"),
        // RFC 3261 §16.6 step 7: maddr goes first, port and transport stay.
        ("sip:bob@gw.example.net;maddr=192.0.2.9", "udp 192.0.2.9:5060"),
        ("sip:bob@192.0.2.7:5070;maddr=gw.example.net;transport=tcp", "tcp gw.example.net:5070 as stated"),
        ("sip:bob@192.0.2.7;maddr=localhost", "udp 127.0.0.1:5060"),
    ])
    func leads(uri: String, expected: String) { #expect(hop(uri) == expected) }

    @Test(
        "what is not spoken, and what many would hear",
        arguments: [
            "sips:bob@192.0.2.7", "tel:+49", "mailto:a@b", "sip:bob@192.0.2.7;transport=tls",
            "sip:bob@gw.example.net;transport=ws", "sip:192.0.2.7;transport=sctp",
            "sip:192.0.2.7;transport=nonsense", "sip:bob@255.255.255.255", "sip:bob@224.0.1.75",
            "sip:bob@[ff02::1]", "sip:bob@192.0.2.7;maddr=224.0.1.75", "sip:gw;maddr=255.255.255.255",
        ])
    func leadsNowhere(uri: String) { #expect(hop(uri) == "none") }

    @Test func namesAreAsLongAsTheResolverTakesThem() {
        let longest = Array(repeating: "abcdefg", count: 32).joined(separator: ".").prefix(253)
        #expect(longest.utf8.count == DNSQuestion.longestHost)
        #expect(hop("sip:\(longest)") == "udp \(longest):0")
        #expect(hop("sip:\(longest)x") == "none")
    }

    /// RFC 3263 §4.1, §4.2: a port ends the search for a server, a transport that for the transport.
    @Test(
        arguments: [
            ("sip:gw.example.net", .naptr), ("sip:gw.example.net;transport=udp", .srvUDP),
            ("sip:gw.example.net;transport=tcp", .srvTCP), ("sip:gw.example.net:5060", .address),
            ("sip:gw.example.net:5070;transport=tcp", .address),
        ] as [(String, DNSQuestion.Kind)])
    func question(uri: String, expected: DNSQuestion.Kind) throws {
        let bytes = Array(uri.utf8)
        let hop = SIPURI.parse(bytes.span).flatMap { NextHop($0, bytes.span) }
        #expect(ForkTarget(try #require(hop)).question == expected)
    }
}
