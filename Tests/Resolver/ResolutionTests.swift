import Foundation
import Platform
import SharedState
import Testing

@testable import Resolver

@Suite("RFC 3263 §4.1: which transport")
struct TransportTests {
    @Test("the example of §4.1: what we do not speak is discarded, TCP comes before UDP")
    func example() {
        var zone = Zone()
        zone.rules(
            "example.com", (50, 50, "s", "sips+d2t", "_sips._tcp.example.com"),
            (90, 50, "s", "sip+d2t", "_sip._tcp.example.com"),
            (100, 50, "s", "sip+d2u", "_sip._udp.example.com"))
        zone.service(
            "_sip._tcp.example.com", (0, 1, 5060, "server1.example.com"), (0, 2, 5060, "server2.example.com"))
        zone.service("_sip._udp.example.com", (0, 0, 5061, "server1.example.com"))
        zone.add("server1.example.com", "192.0.2.1")
        zone.add("server2.example.com", "192.0.2.2", "2001:db8::2")
        let outcome = zone.resolve(.naptr, "example.com")
        #expect(
            outcome.lines == [
                "0 2 0 tcp [2001:db8::2]:5060", "0 2 0 tcp 192.0.2.2:5060", "0 1 1 tcp 192.0.2.1:5060",
                "1 0 2 udp 192.0.2.1:5061",
            ])
        #expect(
            zone.asked == [
                ["NAPTR example.com"], ["SRV _sip._tcp.example.com", "SRV _sip._udp.example.com"],
                [
                    "AAAA server2.example.com", "A server2.example.com", "AAAA server1.example.com",
                    "A server1.example.com",
                ],
            ])
    }

    @Test("a replacement may lead to another domain")
    func elsewhere() {
        var zone = Zone()
        zone.rules("example.com", (1, 1, "s", "sip+d2t", "_sip._tcp.school.edu"))
        zone.service("_sip._tcp.school.edu", (0, 0, 5070, "a.school.edu"))
        zone.add("a.school.edu", "192.0.2.1")
        #expect(zone.resolve(.naptr, "example.com").lines == ["0 0 0 tcp 192.0.2.1:5070"])
    }

    @Test("equal order and preference are of equal rank; preference decides within an order")
    func preference() {
        var zone = Zone()
        zone.rules(
            "e", (1, 2, "s", "sip+d2u", "u2.e"), (1, 1, "s", "sip+d2t", "t1.e"),
            (1, 1, "s", "sip+d2u", "u1.e"))
        for name in ["u1.e", "u2.e", "t1.e"] { zone.service(name, (0, 0, 5060, "a." + name)) }
        for name in ["u1.e", "u2.e", "t1.e"] { zone.add("a." + name, "192.0.2.1") }
        #expect(
            zone.resolve(.naptr, "e").lines == [
                "0 0 0 tcp 192.0.2.1:5060", "0 0 1 udp 192.0.2.1:5060", "1 0 2 udp 192.0.2.1:5060",
            ])
    }

    @Test(
        "rules for other services, with other flags, or without a replacement count as none",
        arguments: [
            (1, 1, "s", "sips+d2t", "x.e"), (1, 1, "s", "sip+d2s", "x.e"), (1, 1, "u", "sip+d2u", "x.e"),
            (1, 1, "a", "sip+d2u", "x.e"), (1, 1, "", "sip+d2u", "x.e"), (1, 1, "s", "e2u+sip", "x.e"),
            (1, 1, "s", "sip+d2u", ""),
        ] as [(UInt16, UInt16, String, String, String)])
    func otherRules(rule: (UInt16, UInt16, String, String, String)) {
        var zone = Zone()
        zone.rules("e", rule)
        zone.service("_sip._udp.e", (0, 0, 5060, "a.e"))
        zone.add("a.e", "192.0.2.1")
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 udp 192.0.2.1:5060"])
    }

    @Test("no NAPTR: SRV of each transport that we have, UDP first")
    func withoutRules() {
        var zone = Zone()
        zone.service("_sip._tcp.e", (0, 0, 5062, "b.e"))
        zone.service("_sip._udp.e", (5, 0, 5061, "a.e"))
        zone.add("a.e", "192.0.2.1")
        zone.add("b.e", "192.0.2.2")
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 udp 192.0.2.1:5061", "1 0 1 tcp 192.0.2.2:5062"])
        zone.reach.udp = false
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 tcp 192.0.2.2:5062"])
        #expect(zone.asked[1] == ["SRV _sip._tcp.e"])
        zone.reach.udp = true
        zone.reach.tcp = false
        zone.rules("e", (1, 1, "s", "sip+d2t", "_sip._tcp.e"))
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 udp 192.0.2.1:5061"])
    }

    @Test("no SRV either: the name itself, by UDP, port 5060")
    func withoutServices() {
        var zone = Zone()
        zone.add("e", "192.0.2.1", "2001:db8::1")
        #expect(
            zone.resolve(.naptr, "e").lines == ["0 0 0 udp [2001:db8::1]:5060", "0 0 0 udp 192.0.2.1:5060"])
        #expect(
            zone.asked == [["NAPTR e"], ["SRV _sip._udp.e", "SRV _sip._tcp.e"], ["AAAA e", "A e"]])
        zone.reach.udp = false
        #expect(zone.resolve(.naptr, "e").lines.first == "0 0 0 tcp [2001:db8::1]:5060")
    }

    @Test("NAPTR without the SRV records that it names: the name itself, by the transports it prefers")
    func emptyServices() {
        var zone = Zone()
        zone.rules("e", (1, 1, "s", "sip+d2t", "t.e"), (2, 1, "s", "sip+d2u", "u.e"))
        zone.add("e", "192.0.2.1")
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 tcp 192.0.2.1:5060", "1 0 1 udp 192.0.2.1:5060"])
    }
}

@Suite("RFC 3263 §4.2: which port and address")
struct PortTests {
    @Test("a transport and no port: SRV of that transport")
    func transport() {
        var zone = Zone()
        zone.service("_sip._tcp.e", (0, 0, 5062, "b.e"))
        zone.add("b.e", "192.0.2.2")
        zone.add("e", "192.0.2.1")
        #expect(zone.resolve(.srvTCP, "e").lines == ["0 0 0 tcp 192.0.2.2:5062"])
        #expect(zone.asked.first == ["SRV _sip._tcp.e"])
        #expect(zone.resolve(.srvUDP, "e").lines == ["0 0 0 udp 192.0.2.1:5060"])
        #expect(zone.asked == [["SRV _sip._udp.e"], ["AAAA e", "A e"]])
        zone.replies["SRV _sip._tcp.e"] = nil
        #expect(zone.resolve(.srvTCP, "e").lines == ["0 0 0 tcp 192.0.2.1:5060"])
    }

    @Test("a port: addresses alone, and the port is left to who asked")
    func port() {
        var zone = Zone()
        zone.service("_sip._udp.e", (0, 0, 5062, "b.e"))
        zone.add("e", "192.0.2.1", "192.0.2.2")
        #expect(zone.resolve(.address, "e").lines == ["0 0 0 udp 192.0.2.1:0", "0 0 0 udp 192.0.2.2:0"])
        #expect(zone.asked == [["AAAA e", "A e"]])
    }

    @Test("priorities are ranks, weights are told, in an order that is always the same")
    func priorities() {
        var zone = Zone()
        let names = ["a.e", "b.e", "c.e", "d.e"]
        for (index, name) in names.enumerated() { zone.add(name, "192.0.2.\(index + 1)") }
        zone.service(
            "_sip._udp.e", (20, 0, 1, "a.e"), (10, 5, 2, "b.e"), (10, 60, 3, "c.e"), (10, 5, 4, "d.e"))
        let expected = [
            "0 60 0 udp 192.0.2.3:3", "0 5 1 udp 192.0.2.2:2", "0 5 2 udp 192.0.2.4:4",
            "1 0 3 udp 192.0.2.1:1",
        ]
        #expect(zone.resolve(.srvUDP, "e").lines == expected)
        zone.service(
            "_sip._udp.e", (10, 5, 4, "d.e"), (10, 60, 3, "c.e"), (20, 0, 1, "a.e"), (10, 5, 2, "b.e"))
        #expect(zone.resolve(.srvUDP, "e").lines == expected)
    }

    @Test("the target \".\" says that the service is not offered: the name itself is not tried")
    func notOffered() {
        var zone = Zone()
        zone.add("e", "192.0.2.1")
        zone.service("_sip._udp.e", (0, 0, 0, ""))
        let outcome = zone.resolve(.srvUDP, "e")
        #expect(outcome.answer.status == .none)
        #expect(zone.asked == [["SRV _sip._udp.e"]])
        #expect(zone.resolve(.naptr, "e").answer.status == .none)
        zone.service("_sip._tcp.e", (0, 0, 5060, "e"))
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 tcp 192.0.2.1:5060"])
    }

    @Test("servers without addresses are passed over; without any there is none")
    func withoutAddresses() {
        var zone = Zone()
        zone.add("e", "192.0.2.1")
        zone.add("b.e", "192.0.2.2")
        zone.service("_sip._udp.e", (1, 0, 5060, "a.e"), (2, 0, 5060, "b.e"))
        #expect(zone.resolve(.srvUDP, "e").lines == ["1 0 1 udp 192.0.2.2:5060"])
        zone.service("_sip._udp.e", (1, 0, 5060, "a.e"))
        #expect(zone.resolve(.srvUDP, "e").answer.status == .none)
    }

    @Test("families that we have no listener of are not asked for")
    func families() {
        var zone = Zone()
        zone.add("e", "192.0.2.1", "2001:db8::1")
        zone.reach.ipv6 = false
        #expect(zone.resolve(.address, "e").lines == ["0 0 0 udp 192.0.2.1:0"])
        #expect(zone.asked == [["A e"]])
        // What an AAAA record of IPv4 gives.
        zone.reach = Resolution.Reach(ipv4: false)
        zone.replies["AAAA e"] = .found([.address(SocketAddress(host: "192.0.2.1", port: 0)!)], ttl: 1)
        #expect(zone.resolve(.address, "e").answer.status == .none)
    }

    @Test("a name may end with a dot, and may be too long for a service in front of it")
    func names() {
        var zone = Zone()
        zone.add("e.example", "192.0.2.1")
        #expect(zone.resolve(.naptr, "e.example.").lines == ["0 0 0 udp 192.0.2.1:5060"])
        let long = Array(repeating: "abcdefg", count: 31).joined(separator: ".")
        zone.add(long, "192.0.2.2")
        #expect(zone.resolve(.srvUDP, long).lines == ["0 0 0 udp 192.0.2.2:5060"])
        #expect(zone.asked == [["AAAA \(long)", "A \(long)"]])
        #expect(zone.resolve(.address, long + ".abcdefg.x").answer.status == .none)
    }
}
