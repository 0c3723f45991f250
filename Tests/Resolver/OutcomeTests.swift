import Foundation
import Platform
import SharedState
import Testing

@testable import Resolver

@Suite("What is kept of answers, and for how long")
struct OutcomeTests {
    @Test("the least TTL of all records on the way, at least a second and at most a day")
    func timeToLive() {
        var zone = Zone()
        zone.rules("e", (1, 1, "s", "sip+d2u", "_sip._udp.e"), ttl: 500)
        zone.service("_sip._udp.e", (0, 0, 5060, "a.e"), ttl: 400)
        zone.add("a.e", "192.0.2.1", "2001:db8::1", ttl: 300)
        #expect(zone.resolve(.naptr, "e").ttl == 300)
        zone.rules("e", (1, 1, "s", "sip+d2u", "_sip._udp.e"), ttl: 20)
        #expect(zone.resolve(.naptr, "e").ttl == 20)
        zone.service("_sip._udp.e", (0, 0, 5060, "a.e"), ttl: 0)
        #expect(zone.resolve(.naptr, "e").ttl == 1)
        // That there is no AAAA holds for 900 seconds.
        zone.add("b.e", "192.0.2.1", ttl: 1_000_000)
        #expect(zone.resolve(.address, "b.e").ttl == 900)
        zone.reach.ipv6 = false
        #expect(zone.resolve(.address, "b.e").ttl == 86_400)
    }

    @Test("that there is nothing holds for a minute at most, a failure for five seconds")
    func negative() {
        var zone = Zone()
        let none = zone.resolve(.naptr, "e")
        #expect(none.answer.status == .none && none.ttl == 60)
        zone.replies["A e"] = .none(ttl: 7)
        #expect(zone.resolve(.address, "e").ttl == 7)
        zone.replies["A e"] = .failed
        let failed = zone.resolve(.address, "e")
        #expect(failed.answer.status == .failed && failed.ttl == 5)
    }

    @Test("a stage that a server cannot tell counts as empty, but not for long")
    func failures() {
        var zone = Zone()
        zone.add("e", "192.0.2.1")
        zone.replies["NAPTR e"] = .failed
        let outcome = zone.resolve(.naptr, "e")
        #expect(outcome.lines == ["0 0 0 udp 192.0.2.1:5060"] && outcome.ttl == 5)
        // Half of the addresses is better than none.
        zone.replies["AAAA e"] = .silent
        #expect(zone.resolve(.address, "e").lines == ["0 0 0 udp 192.0.2.1:0"])
        zone.replies["SRV _sip._udp.e"] = .failed
        zone.replies["A e"] = nil
        zone.replies["AAAA e"] = nil
        #expect(zone.resolve(.naptr, "e").answer.status == .failed)
    }

    @Test("a stage that nobody answers ends it")
    func silence() {
        var zone = Zone()
        zone.add("e", "192.0.2.1")
        zone.replies["NAPTR e"] = .silent
        let outcome = zone.resolve(.naptr, "e")
        #expect(outcome.answer.status == .failed && outcome.ttl == 5 && zone.asked == [["NAPTR e"]])
        zone.replies["SRV _sip._udp.e"] = .silent
        #expect(zone.resolve(.srvUDP, "e").answer.status == .failed)
        #expect(zone.asked == [["SRV _sip._udp.e"]])
        // One transport that is known is enough.
        zone.replies["NAPTR e"] = nil
        zone.service("_sip._tcp.e", (0, 0, 5060, "e"))
        #expect(zone.resolve(.naptr, "e").lines == ["0 0 0 tcp 192.0.2.1:5060"])
    }

    @Test("given up, it has what came by then")
    func givenUp() {
        var resolution = Resolution(.address, "e", reach: .init(), hosts: LocalHosts(path: "/nonexistent"))
        let asked = resolution.begin()
        #expect(asked.count == 2 && !resolution.isDone)
        let address = SocketAddress(host: "192.0.2.1", port: 0)!
        #expect(resolution.take(.found([.address(address)], ttl: 300), of: asked[1].number).isEmpty)
        resolution.giveUp()
        #expect(resolution.isDone)
        let outcome = resolution.outcome()
        #expect(outcome.lines == ["0 0 0 udp 192.0.2.1:0"] && outcome.ttl == 5)
        // Late.
        #expect(resolution.take(.none(ttl: 1), of: asked[0].number).isEmpty)
        #expect(resolution.outcome().ttl == 5)
    }

    @Test("of thousands of records the best are kept: 32 candidates, and a share for each server")
    func thousands() {
        var zone = Zone()
        let records = (0..<5000).map { index in
            DNSRecord.service(
                priority: UInt16(5000 - index), weight: 0, port: 5060, target: "t\(index).e")
        }
        zone.replies["SRV _sip._udp.e"] = .found(records, ttl: 300)
        for index in 4900..<5000 {
            zone.add("t\(index).e", "192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1")
        }
        let outcome = zone.resolve(.srvUDP, "e")
        #expect(outcome.answer.count == 32)
        #expect(outcome.lines.prefix(2) == ["0 0 0 udp [2001:db8::1]:5060", "0 0 0 udp 192.0.2.1:5060"])
        #expect(outcome.lines.last == "15 0 15 udp 192.0.2.1:5060")
        zone.reach.ipv6 = false
        let single = zone.resolve(.srvUDP, "e")
        #expect(single.answer.count == 32 && single.lines.last == "31 0 31 udp 192.0.2.1:5060")
        #expect(zone.asked.last?.count == 32)
    }

    @Test("of thousands of rules 16 are followed, and of thousands of addresses 16 of each family are taken")
    func more() {
        var zone = Zone()
        zone.replies["NAPTR e"] = .found(
            (0..<3000).map {
                .rule(
                    order: 3000 - $0, preference: 0, flags: "s", services: "sip+d2u", replacement: "r\($0).e")
            }, ttl: 300)
        _ = zone.resolve(.naptr, "e")
        #expect(zone.asked[1].count == 16 && zone.asked[1].first == "SRV r2999.e")
        zone.replies["A f"] = .found(
            (0..<4000).map { .address(SocketAddress(ipv4: 0x0A00_0000 + $0, port: 0)) }, ttl: 300)
        #expect(zone.resolve(.address, "f").answer.count == 16)
        // The same again and again is one.
        zone.replies["A g"] = .found(
            (0..<40).map { _ in .address(SocketAddress(host: "192.0.2.1", port: 0)!) }, ttl: 300)
        #expect(zone.resolve(.address, "g").answer.count == 1)
    }

    @Test("a name whose services lead to itself ends")
    func circle() {
        var zone = Zone()
        zone.rules("e", (1, 1, "s", "sip+d2u", "e"))
        zone.service("e", (0, 0, 5060, "e"))
        #expect(zone.resolve(.naptr, "e").answer.status == .none)
        #expect(zone.asked == [["NAPTR e"], ["SRV e"], ["AAAA e", "A e"]])
    }
}

@Suite("Names that need no name server")
struct LocalHostsTests {
    @Test("localhost and addresses")
    func machine() {
        var zone = Zone()
        for name in ["localhost", "a.localhost", "localhost."] {
            #expect(zone.resolve(.naptr, name).lines == ["0 0 0 udp 127.0.0.1:5060"])
            #expect(zone.asked.isEmpty)
        }
        #expect(zone.resolve(.srvTCP, "[2001:db8::1]").lines == ["0 0 0 tcp [2001:db8::1]:5060"])
        #expect(zone.resolve(.address, "192.0.2.1").lines == ["0 0 0 udp 192.0.2.1:0"])
        #expect(zone.resolve(.address, "192.0.2.1").ttl == 86_400)
    }

    @Test("the hosts file, read again when it changes")
    func file() throws {
        let path = NSTemporaryDirectory() + "hosts-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "# none\n192.0.2.1\tGW gw.example # the gateway\n2001:db8::1 gw\nrubbish x\n192.0.2.9\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        var zone = Zone()
        zone.hosts = LocalHosts(path: path)
        let outcome = zone.resolve(.naptr, "gw")
        #expect(outcome.lines == ["0 0 0 udp [2001:db8::1]:5060", "0 0 0 udp 192.0.2.1:5060"])
        #expect(outcome.ttl == 60 && zone.asked.isEmpty)
        #expect(zone.resolve(.address, "gw.example").lines == ["0 0 0 udp 192.0.2.1:0"])
        // As the target of a server.
        zone.service("_sip._udp.e", (0, 0, 5070, "gw.example"))
        #expect(zone.resolve(.srvUDP, "e").lines == ["0 0 0 udp 192.0.2.1:5070"])
        try "192.0.2.77 gw\n".write(toFile: path, atomically: true, encoding: .utf8)
        zone.hosts.refresh()
        #expect(zone.resolve(.address, "gw").lines == ["0 0 0 udp 192.0.2.77:0"])
        #expect(zone.hosts.find("gw.example") == nil)
    }
}
