import Platform
import SharedState
import Syntax
import Testing

@testable import Proxy

@Suite struct RequestRoutingTests {
    struct Row: Sendable, CustomTestStringConvertible {
        let uri: String
        var routes: [String] = []
        let result: String
        var testDescription: String { ([uri] + routes).joined(separator: " | ") }
    }

    /// RFC 3261 §16.4 and §16.5: what the Request-URI alone says.
    @Test(arguments: [
        Row(uri: "sip:bob@example.org", result: "look up"),
        Row(uri: "sip:bob@EXAMPLE.Org", result: "look up"),
        Row(uri: "sip:bob@xn--bro-hoa.example", result: "look up"),
        Row(uri: "sip:bob@example.org:5070", result: "look up"),
        Row(uri: "sip:bob@example.org:5061", result: "forward to example.org"),
        Row(uri: "sip:bob@example.org.", result: "forward to example.org."),
        Row(uri: "sip:bob@sub.example.org", result: "forward to sub.example.org"),
        Row(uri: "sip:example.org", result: "ours"),
        Row(uri: "sip:192.0.2.1", result: "ours"),
        Row(uri: "sip:192.0.2.1:5060", result: "ours"),
        Row(uri: "sip:bob@192.0.2.1", result: "look up"),
        Row(uri: "sip:bob@203.0.113.5:5070", result: "look up"),
        Row(uri: "sip:bob@[2001:DB8:0::1]", result: "look up"),
        Row(uri: "sip:bob@192.0.2.1:5080", result: "forward to 192.0.2.1 = 192.0.2.1:5080"),
        Row(uri: "sip:bob@198.51.100.7", result: "forward to 198.51.100.7 = 198.51.100.7:5060"),
        Row(uri: "sip:bob@198.51.100.7:65535", result: "forward to 198.51.100.7 = 198.51.100.7:65535"),
        Row(uri: "sip:bob@198.51.100.7;transport=UDP", result: "forward to 198.51.100.7 = 198.51.100.7:5060"),
        Row(uri: "sip:bob@198.51.100.7;transport=tcp", result: "forward to 198.51.100.7 = 198.51.100.7:5060"),
        Row(uri: "sip:bob@localhost:5080", result: "forward to localhost = 127.0.0.1:5080"),
        Row(uri: "sip:bob@LocalHost", result: "forward to LocalHost = 127.0.0.1:5060"),
        Row(uri: "sips:bob@example.org", result: "416"),
        Row(uri: "tel:+49-30-123456", result: "look up"),
        Row(uri: "tel:7042;phone-context=Example.org", result: "look up, in Example.org"),
        Row(uri: "tel:7042;phone-context=+1914555", result: "404"),
        Row(uri: "tel:+7042;phone-context=+1914555", result: "look up"),
        Row(uri: "tel:70(42)*#a", result: "look up"),
        Row(uri: "tel:7042;phone-context=", result: "404"),
        Row(uri: "tel:bob", result: "400"),
        Row(uri: "tel:+", result: "400"),
        Row(uri: "tel:-.", result: "400"),
        Row(uri: "tel:++1", result: "400"),
        Row(uri: "tel:+12a", result: "400"),
        Row(uri: "tel:12@example.org", result: "400"),
        Row(uri: "tel:7042;phone-context=elsewhere.example", result: "404"),
        Row(uri: "mailto:bob@example.org", result: "416"),
    ])
    func requestURI(_ row: Row) { #expect(routing(row.uri) == row.result) }

    /// §16.4, the paragraph on maddr: one that is us has arrived.
    @Test(arguments: [
        Row(
            uri: "sip:bob@example.org;maddr=198.51.100.7",
            result: "forward to example.org = 198.51.100.7:5060"),
        Row(uri: "sip:bob@example.org;maddr=192.0.2.1", result: "look up, without maddr"),
        Row(uri: "sip:bob@example.org:5070;maddr=203.0.113.5", result: "look up, without maddr"),
        Row(uri: "sip:example.org;maddr=192.0.2.1", result: "ours, without maddr"),
        Row(uri: "sip:example.org;maddr=192.0.2.1;transport=udp", result: "ours, without maddr"),
        Row(
            uri: "sip:bob@198.51.100.7;maddr=192.0.2.1;transport=tcp",
            result: "forward to 198.51.100.7 = 192.0.2.1:5060"),
        Row(
            uri: "sip:bob@198.51.100.7;maddr=192.0.2.1",
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, without maddr"),
        Row(
            uri: "sip:bob@198.51.100.7:5070;maddr=203.0.113.5",
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, without maddr"),
        Row(
            uri: "sip:bob@198.51.100.7:5070;maddr=192.0.2.1",
            result: "forward to 198.51.100.7 = 192.0.2.1:5070"),
        Row(uri: "sip:bob@example.org;maddr=gateway.example", result: "forward to example.org"),
    ])
    func maddr(_ row: Row) { #expect(routing(row.uri) == row.result) }

    /// §16.4 and §16.6 step 6.
    @Test(arguments: [
        Row(uri: "sip:bob@example.org", routes: ["<sip:192.0.2.1;lr>"], result: "look up, 1 dropped"),
        Row(
            uri: "sip:bob@198.51.100.7", routes: ["<sip:example.org;lr>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, 1 dropped"),
        Row(
            uri: "sip:bob@h.example",
            routes: ["<sip:192.0.2.1;lr>, \"Next, hop\" <sip:198.51.100.8:5080;lr>"],
            result: "forward to 198.51.100.8 = 198.51.100.8:5080, 1 dropped"),
        Row(
            uri: "sip:bob@h.example", routes: ["<sip:192.0.2.1;lr>", "<sip:198.51.100.8>"],
            result: "forward to 198.51.100.8 = 198.51.100.8:5060, 1 dropped, strict"),
        Row(
            uri: "sip:bob@example.org", routes: ["<sip:198.51.100.8;lr>"],
            result: "forward to 198.51.100.8 = 198.51.100.8:5060"),
        // A strict router has put us into the Request-URI, and the callee's URI last.
        Row(
            uri: "sip:192.0.2.1;lr", routes: ["<sip:bob@198.51.100.7>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, last dropped, as sip:bob@198.51.100.7"),
        Row(
            uri: "sip:192.0.2.1;lr", routes: ["<sip:bob@example.org>"],
            result: "look up, last dropped, as sip:bob@example.org"),
        Row(
            uri: "sip:192.0.2.1;lr", routes: ["<sip:198.51.100.7;lr>, <sip:b@198.51.100.8>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, last dropped, as sip:b@198.51.100.8"),
        Row(
            uri: "sip:192.0.2.1;lr", routes: ["<sip:192.0.2.1;lr>", "<sip:198.51.100.7>", "<sip:b@h>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, 1 dropped, last dropped, strict, as sip:b@h"
        ),
        Row(uri: "sip:192.0.2.1;lr", routes: ["<tel:+49>"], result: "look up, last dropped, as tel:+49"),
        Row(uri: "sip:192.0.2.1;lr", routes: ["<mailto:a@b>"], result: "416"),
        Row(uri: "sip:192.0.2.1;lr", routes: ["<sip:>"], result: "400"),
        Row(
            uri: "tel:+49", routes: ["<sip:198.51.100.7;lr>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060"),
        Row(uri: "sip:192.0.2.1;lr", result: "ours"),
        // Both sides of ours, as we recorded them between IPv4 and IPv6; any other Route of ours stays.
        Row(
            uri: "sip:bob@198.51.100.7",
            routes: ["<sip:[2001:db8::1]:5060;lr;sf=1>", "<sip:192.0.2.1:5060;lr;sf=1>"],
            result: "forward to 198.51.100.7 = 198.51.100.7:5060, 2 dropped"),
        Row(
            uri: "sip:bob@198.51.100.7", routes: ["<sip:[2001:db8::1]:5060;lr>", "<sip:192.0.2.1:5060;lr>"],
            result: "forward to 192.0.2.1 = 192.0.2.1:5060, 1 dropped"),
        Row(
            uri: "sip:bob@198.51.100.7",
            routes: ["<sip:192.0.2.1:5060;lr;sf=1>", "<sip:203.0.113.5:5070;lr;sf=1>"],
            result: "forward to 203.0.113.5 = 203.0.113.5:5070, 1 dropped"),
        Row(uri: "sip:bob@example.org", routes: ["<sip:192.0.2.1"], result: "400"),
        Row(uri: "sip:bob@example.org", routes: ["<sip:192.0.2.1;lr>, rubbish"], result: "400"),
        Row(uri: "sip:bob@example.org", routes: [""], result: "look up"),
        Row(uri: "sip:bob@example.org", routes: [" , ,"], result: "look up"),
    ])
    func route(_ row: Row) { #expect(routing(row.uri, routes: row.routes) == row.result) }

    /// §16.3 step 3 is for what would be passed on.
    @Test func maxForwards() {
        #expect(routing("sip:bob@example.org", maxForwards: 0) == "483")
        #expect(routing("sip:bob@198.51.100.7", maxForwards: 0) == "483")
        #expect(routing("sip:example.org", method: "OPTIONS", maxForwards: 0) == "ours")
        #expect(routing("sip:example.org", method: "REGISTER", maxForwards: 0) == "ours")
        #expect(routing("sip:bob@example.org", method: "REGISTER", maxForwards: 0) == "look up")
        #expect(routing("sip:bob@example.org", maxForwards: 1) == "look up")
    }

    /// RFC 5393 §5.3: a number, and one.
    @Test func maxBreadth() {
        for value in ["x", "", "-1", "1 2", "1,2", "+1", "0x1"] {
            #expect(routing("sip:bob@example.org", extra: ["Max-Breadth: \(value)"]) == "400")
        }
        #expect(routing("sip:bob@example.org", extra: ["Max-Breadth: 1", "Max-Breadth: 1"]) == "400")
        for value in ["0", "60", "99999999999999999999"] {
            #expect(routing("sip:bob@example.org", extra: ["Max-Breadth: \(value)"]) == "look up")
        }
    }

    @Test func proxyRequire() {
        #expect(routing("sip:bob@example.org", extra: ["Proxy-Require: foo"]) == "420")
        #expect(routing("sip:bob@example.org", extra: ["Require: foo"]) == "look up")
    }
}
