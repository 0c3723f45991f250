import Foundation
import Platform
import SharedState
import Testing

@testable import Resolver

@Suite("Questions against real name servers", .serialized)
struct ServiceTests {
    private static let zone = [
        "naptr-record=example.test,10,10,s,SIP+D2T,,_sip._tcp.example.test",
        "naptr-record=example.test,20,10,s,SIP+D2U,,_sip._udp.example.test",
        "srv-host=_sip._tcp.example.test,a.example.test,5070,1,10",
        "srv-host=_sip._udp.example.test,b.example.test,5071,1,10",
        "srv-host=_sip._udp.example.test,a.example.test,5072,2,10",
        "host-record=a.example.test,192.0.2.1,2001:db8::1", "host-record=b.example.test,192.0.2.2",
        "host-record=plain.test,192.0.2.3", "cname=alias.test,plain.test",
    ]

    private func server(_ address: String = "127.0.0.53", _ lines: [String] = zone) throws -> Dnsmasq {
        try Dnsmasq(address, port: 15_353, lines)
    }

    @Test("a question that has ended the resolver twice is refused, others are not")
    func quarantined() throws {
        let dnsmasq = try server()
        let fixture = try Fixture([dnsmasq])
        let text = [DNSQuestion.Kind.naptr.rawValue] + Array("example.test".utf8)
        let event = fixture.state.quarantine.hash(ofQuestion: text.span)
        for strike in 1...2 {
            fixture.ask(.naptr, "example.test")
            #expect(fixture.service.underWay == 1, "after \(strike - 1) strikes")
            #expect(fixture.state.processes.event(.resolver) == 0)
            let isDone = fixture.finish()
            #expect(isDone && fixture.answers().count == 1)
            fixture.state.quarantine.blame(event, .event, now: 1)
            try fixture.state.dns.initialize()
        }
        fixture.ask(.naptr, "example.test")
        #expect(fixture.service.underWay == 0 && fixture.answers().count == 1)
        #expect(fixture.cached(.naptr, "example.test") == ["failed"])
        #expect(fixture.state.counters.total(.quarantined) == 1)
        fixture.ask(.naptr, "plain.test")
        #expect(fixture.service.underWay == 1)
        let isDone = fixture.finish()
        #expect(isDone)
    }

    @Test("NAPTR, SRV and addresses; all who asked are told, and the answer is in the cache")
    func whole() throws {
        let dnsmasq = try server()
        let fixture = try Fixture([dnsmasq])
        let first = fixture.ask(.naptr, "example.test", third: 11)
        let second = fixture.ask(.naptr, "example.test", third: 12)
        #expect(fixture.service.underWay == 1)
        let isDone = fixture.finish()
        #expect(isDone)
        let answers = fixture.answers()
        #expect(answers.map(\.third) == [11, 12])
        #expect(answers.map(\.transaction) == [first.transaction, second.transaction])
        #expect(answers.allSatisfy { $0.kind == .resolved && $0.sender == .resolver })
        #expect(answers.allSatisfy { $0.fork == 3 && $0.attempt == 4 })
        #expect(
            fixture.cached(.naptr, "example.test") == [
                "found", "0 10 0 tcp [2001:db8::1]:5070", "0 10 0 tcp 192.0.2.1:5070",
                "1 10 1 udp 192.0.2.2:5071",
                "2 10 2 udp [2001:db8::1]:5072", "2 10 2 udp 192.0.2.1:5072",
            ])
        // Known now: told at once.
        fixture.ask(.naptr, "example.test", third: 13)
        let again = fixture.answers()
        #expect(again.map(\.third) == [13] && fixture.state.counters.total(.dnsQuestions) == 1)
    }

    @Test("aliases, names without SRV, names that are not there")
    func others() throws {
        let dnsmasq = try server()
        let fixture = try Fixture([dnsmasq])
        fixture.ask(.naptr, "alias.test")
        fixture.ask(.srvTCP, "plain.test")
        fixture.ask(.address, "nowhere.test")
        fixture.ask(.address, "a..b")
        fixture.ask(.address, "a\u{0}b")
        fixture.ask(.address, "x.onion")
        let isDone = fixture.finish()
        #expect(isDone && fixture.answers().count == 6)
        #expect(fixture.cached(.naptr, "alias.test") == ["found", "0 0 0 udp 192.0.2.3:5060"])
        #expect(fixture.cached(.srvTCP, "plain.test") == ["found", "0 0 0 tcp 192.0.2.3:5060"])
        for name in ["nowhere.test", "a..b", "a\u{0}b", "x.onion"] {
            #expect(fixture.cached(.address, name) == ["none"], "\(name)")
        }
    }

    @Test("an answer too large for UDP is fetched by TCP, and the best of it kept")
    func large() throws {
        let records = (0..<400).map {
            "srv-host=_sip._udp.many.test,b.example.test,\(6000 + $0),\(400 - $0),1"
        }
        let dnsmasq = try server("127.0.0.53", ServiceTests.zone + records)
        let fixture = try Fixture([dnsmasq])
        fixture.ask(.srvUDP, "many.test")
        let isDone = fixture.finish()
        #expect(isDone)
        let found = fixture.cached(.srvUDP, "many.test")
        #expect(found?.count == 17 && found?.dropFirst().first == "0 1 0 udp 192.0.2.2:6399")
    }

    @Test("no name server: told as failed, in the journal once, and once more when it is back")
    func dead() throws {
        let dnsmasq = try server()
        let fixture = try Fixture([dnsmasq])
        dnsmasq.stop()
        for name in ["one.test", "two.test", "three.test"] { fixture.ask(.naptr, name) }
        let isDone = fixture.finish()
        #expect(isDone && fixture.answers().count == 3)
        #expect(fixture.cached(.naptr, "two.test") == ["failed"])
        #expect(fixture.state.counters.total(.dnsFailures) == 3)
        let entries = fixture.entries()
        #expect(entries.count == 1)
        #expect(
            entries.first?.hasPrefix("name server 127.0.0.53:15353 does not answer; it was asked for ")
                == true)
        let back = try server()
        fixture.ask(.address, "plain.test")
        let isBack = fixture.finish()
        #expect(isBack && fixture.cached(.address, "plain.test") == ["found", "0 0 0 udp 192.0.2.3:0"])
        #expect(fixture.entries() == ["name server 127.0.0.53:15353 answers again"])
        // Once a minute at most.
        back.stop()
        for name in ["four.test", "five.test", "six.test"] { fixture.ask(.naptr, name) }
        let isDoneAgain = fixture.finish()
        #expect(isDoneAgain && fixture.cached(.naptr, "six.test") == ["failed"] && fixture.entries() == [])
    }

    @Test("a silent server delays what it was asked; then the other one is asked first")
    func failover() throws {
        let silent = SilentServer("127.0.0.54", port: 15_353)
        let dnsmasq = try server()
        let fixture = try Fixture([silent, dnsmasq])
        fixture.ask(.address, "plain.test")
        let isDone = fixture.finish()
        #expect(isDone && fixture.cached(.address, "plain.test") == ["found", "0 0 0 udp 192.0.2.3:0"])
        #expect(silent.received == 2)
        fixture.ask(.naptr, "example.test")
        let isDoneAgain = fixture.finish()
        #expect(isDoneAgain && fixture.cached(.naptr, "example.test")?.count == 6)
        #expect(silent.received == 0)
    }

    @Test("a server that refuses is not asked again; the other one tells")
    func refusing() throws {
        // Knows nothing of other names, and says so.
        let other = try Dnsmasq(
            "127.0.0.54", port: 15_353, ["host-record=x.example,192.0.2.9"], isForTest: false)
        let dnsmasq = try server()
        let fixture = try Fixture([other, dnsmasq])
        fixture.ask(.address, "plain.test")
        let isDone = fixture.finish()
        #expect(isDone && fixture.cached(.address, "plain.test") == ["found", "0 0 0 udp 192.0.2.3:0"])
        #expect(fixture.entries() == ["name server 127.0.0.54:15353 cannot tell about plain.test"])
    }

    @Test("sockets are told of in the order of events: a number closed by one server is opened by another")
    func sockets() {
        let changes = NameServer.SocketChanges()
        let address = SocketAddress(host: "127.0.0.54", port: 15_353)!
        let first = NameServer(address, timeout: 1000, changes: changes)!
        let second = NameServer(address, timeout: 1000, changes: changes)!
        defer { first.close() }
        second.ask(.a, "b.test", number: 1)
        _ = changes.take()
        // The lowest free number is taken: the one that has just been closed.
        second.close()
        first.ask(.a, "a.test", number: 2)
        let taken = changes.take()
        #expect(taken.map { $0.isReadable } == [false, true])
    }

    @Test("silence ends in an answer, within four tries and a second")
    func bounded() throws {
        let silent = SilentServer("127.0.0.54", port: 15_353)
        let fixture = try Fixture([silent], timeout: 100)
        let start = Clock.milliseconds()
        fixture.ask(.naptr, "a.test")
        let deadline = try #require(fixture.service.nextDeadline)
        #expect(deadline >= start + 1400 && deadline <= Clock.milliseconds() + 1400)
        let isDone = fixture.finish()
        #expect(isDone && fixture.cached(.naptr, "a.test") == ["failed"])
        #expect(silent.received == 2)
        // By its own deadline, whatever the name servers do.
        fixture.ask(.naptr, "b.test")
        fixture.service.advance(now: Clock.milliseconds() + 1500)
        #expect(fixture.service.underWay == 0 && fixture.cached(.naptr, "b.test") == ["failed"])
    }

    @Test("beyond the bounds the oldest name or the new waiter fails at once, and is counted")
    func bounds() throws {
        let silent = SilentServer("127.0.0.54", port: 15_353)
        let fixture = try Fixture([silent], timeout: 60_000)
        for index in 0..<ResolverService.maximumQuestions {
            fixture.ask(.address, "n\(index).test", third: UInt64(index) + 7)
        }
        #expect(fixture.answers().isEmpty)
        fixture.ask(.address, "more.test", third: 5)
        #expect(fixture.answers().map(\.third) == [7] && fixture.cached(.address, "n0.test") == ["failed"])
        #expect(fixture.service.underWay == ResolverService.maximumQuestions)
        #expect(fixture.state.counters.total(.dnsRefused) == 1)
        // Who asks for what is under way may still wait, but not without end.
        var mail = fixture.question(DNSQuestion.Kind.address.rawValue, "n1.test")
        let room = ResolverService.maximumWaiters - ResolverService.maximumQuestions
        for index in 0..<room {
            mail.third = UInt64(index)
            // Who asks again waits once.
            for _ in 0..<2 { fixture.service.take(mail, now: Clock.milliseconds()) }
        }
        #expect(fixture.answers().isEmpty)
        mail.third = UInt64(room)
        fixture.service.take(mail, now: Clock.milliseconds())
        #expect(fixture.answers().count == 1 && fixture.state.counters.total(.dnsRefused) == 2)
        fixture.service.advance(now: Clock.milliseconds() + 300_000)
        // The ring holds half of them; who was not told asks again.
        #expect(fixture.service.underWay == 0 && !fixture.answers().isEmpty)
        fixture.ask(.address, "free.test")
        #expect(fixture.service.underWay == 1)
    }

    @Test("a question that is gone, or is none, is passed over")
    func rubbish() throws {
        let fixture = try Fixture([Nobody()])
        let gone = fixture.question(0, "a.test")
        fixture.state.shard(0).stored.free(gone.first)
        let unknown = fixture.question(9, "a.test")
        let empty = fixture.question(0, "")
        let long = fixture.question(0, String(repeating: "a", count: 254))
        for mail in [gone, unknown, empty, long] { fixture.service.take(mail, now: 1) }
        #expect(fixture.service.underWay == 0)
    }

    @Test("the master asks with a slot of its own")
    func master() throws {
        let fixture = try Fixture([Nobody()])
        let slots = fixture.state.slots
        let slot = slots.take(0)
        let text = [DNSQuestion.Kind.srvTCP.rawValue] + Array("localhost".utf8)
        var writer = fixture.state.memory.writer(slots.bytesOffset(0), capacity: slots.capacity(0))
        writer.append(text.span)
        var header = SlotHeader()
        header.length = UInt32(text.count)
        slots.setHeader(header, 0)
        var mail = Mail(.resolve)
        mail.second = slot.rawValue
        mail.third = 77
        fixture.service.take(mail, now: Clock.milliseconds())
        #expect(fixture.answers(to: .master).map(\.third) == [77])
        #expect(fixture.cached(.srvTCP, "localhost") == ["found", "0 0 0 tcp 127.0.0.1:5060"])
    }
}

@Suite("The system's name servers")
struct SystemServersTests {
    @Test("are read from the file, and again when it changes")
    func file() throws {
        let path = NSTemporaryDirectory() + "resolv-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n"
            .write(toFile: path, atomically: true, encoding: .utf8)
        var names = NameServers([], timeout: 100, systemFile: path)
        #expect(names.servers.map(\.address.text) == ["192.0.2.1:53", "[2001:db8::1]:53"])
        try "# changed\nnameserver 192.0.2.2\n".write(toFile: path, atomically: true, encoding: .utf8)
        names.ask(.a, "x.test", number: 1)
        #expect(names.takeReplies(now: 0).isEmpty)
        names.refresh()
        #expect(names.servers.map(\.address.text) == ["192.0.2.2:53"])
        // What was under way is asked of the new one, not lost.
        #expect(names.takeReplies(now: 0).isEmpty)
        #expect(names.patience != nil)
        names.close()
        #expect(names.takeReplies(now: 0).map(\.reply) == [.silent])
    }
}
