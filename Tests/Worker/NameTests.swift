import Glibc
import Platform
import Proxy
import SharedState
import Testing

@testable import Worker

/// Next hops that are names: the question to the resolver, and the waiting for its answer.
@Suite struct NameTests {
    /// The question that a mail carries: its kind, and the host.
    private func question(_ mail: Mail, _ world: World) -> (kind: UInt8?, host: String) {
        let bytes = world.state.shard(0).stored.bytes(mail.first)
        let all = bytes.indices.map { bytes[$0] }
        return (all.first, String(decoding: all.dropFirst(), as: UTF8.self))
    }

    @Test(arguments: [
        ("sip:bob@GW.Example.NET", DNSQuestion.Kind.naptr), ("sip:bob@gw.example.net;transport=udp", .srvUDP),
        ("sip:bob@gw.example.net;transport=TCP", .srvTCP), ("sip:bob@Gw.example.net:5070", .address),
        ("sip:bob@192.0.2.1;maddr=gw.example.net", .naptr),
    ])
    func anUnknownNameIsAskedFor(uri: String, kind: DNSQuestion.Kind) throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(request("INVITE", uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let mail = world.sent(to: .resolver)
        try #require(mail.map(\.kind) == [.resolve])
        let asked = question(mail[0], world)
        #expect(asked.kind == kind.rawValue && asked.host == "gw.example.net")
        #expect(mail[0].fork == 0 && mail[0].third == 0)
        // Nothing has left, and the caller waits.
        #expect(world.sent(to: .master).isEmpty && caller.isSilent)
        #expect(world.state.shard(0).table.pool.inUse == 2)
        #expect(world.state.slots.inUse == 0)
    }

    /// The resolver may have died with the question: it is asked again, with the same.
    @Test func theQuestionIsAskedAgain() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@gw.example.net", from: caller, branch: "i"), from: caller.address,
            to: 0)
        for _ in 0..<20 where world.sent(to: .resolver).count < 3 { worker.run(turns: 1) }
        let mail = world.sent(to: .resolver)
        try #require(mail.count == 3)
        #expect(Set(mail.map(\.transaction.rawValue)).count == 1)
        #expect(Set(mail.map(\.first.rawValue)).count == 1)
        #expect(question(mail[2], world).host == "gw.example.net")
        #expect(world.state.shard(0).table.pool.inUse == 2)
    }

    /// A resolver that never answers does not hold the call for ever.
    @Test(arguments: ["INVITE", "MESSAGE"]) func theWaitingEnds(method: String) throws {
        let world = try StreamTests.world { $0.resolverTimeout = 0 }
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request(method, "sip:bob@gw.example.net", from: caller, branch: "i"), from: caller.address, to: 0)
        var answer: String?
        for _ in 0..<30 where answer?.contains("SIP/2.0 500 ") != true {
            worker.run(turns: 1)
            if !caller.isSilent { answer = caller.hear() }
        }
        #expect(try #require(answer).hasPrefix("SIP/2.0 500 Next hop cannot be resolved\r\n"))
        #expect(world.state.shard(0).table.pool.inUse == 1)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// Nor does one that says that it has answered, where the cache has nothing (it was too full to keep it).
    @Test func anAnswerThatIsNotThereEndsToo() throws {
        let world = try StreamTests.world { $0.resolverTimeout = 0 }
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@gw.example.net", from: caller, branch: "i"), from: caller.address,
            to: 0)
        worker.run(turns: 1)
        // Its time is 2 s; `hear` waits for 300 ms each time.
        var statuses: [String] = []
        for _ in 0..<20 where statuses.last != "500" {
            world.resolve(try #require(world.sent(to: .resolver).last))
            worker.run(turns: 1)
            if let text = caller.hear() { statuses.append(String(text.prefix(11).suffix(3))) }
        }
        #expect(statuses == ["100", "500"])
    }

    /// §9.2, §16.10: there is nobody to be told but the caller.
    @Test func aCallThatWaitsCanBeCancelled() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        let uri = "sip:bob@gw.example.net"
        world.deliver(request("INVITE", uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        world.deliver(request("CANCEL", uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        var statuses: Set<String> = []
        while !caller.isSilent, let text = caller.hear() {
            let method = text.contains("CSeq: 1 CANCEL") ? "CANCEL" : "INVITE"
            statuses.insert("\(text.prefix(11).suffix(3)) \(method)")
        }
        #expect(statuses == ["200 CANCEL", "487 INVITE"])
        #expect(world.sent(to: .master).isEmpty)
        // An answer that comes now is for nobody.
        world.resolve(try #require(world.sent(to: .resolver).last))
        worker.run(turns: 1)
        #expect(caller.isSilent && world.sent(to: .resolver).count == 1)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// A call with a contact that is an address goes on while another waits for its name.
    @Test func onlyTheForkOfTheNameWaits() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        world.register("bob@example.org", ["sip:bob@gw.example.net", "sip:bob@\(callee.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sent = try #require(callee.hear())
        #expect(world.sent(to: .resolver).count == 1)
        world.deliver(response(200, to: sent), from: callee.address, to: 0)
        worker.run(turns: 1)
        var last = ""
        while !caller.isSilent, let text = caller.hear() { last = text }
        #expect(last.hasPrefix("SIP/2.0 200 "))
        // The other fork has ended with the call: nothing of it is left but the answered one.
        #expect(world.state.shard(0).table.pool.inUse == 2)
    }

    /// What has no transaction is kept while its name is looked up, and asks under a mark of its own.
    @Test func anAckWaitsForItsName() throws {
        let world = try StreamTests.world { $0.resolverTimeout = 0 }
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("ACK", "sip:bob@gw.example.net:5070", from: caller, branch: "a", toTag: "b1"),
            from: caller.address, to: 0)
        worker.run(turns: 1)
        let mail = world.sent(to: .resolver)
        try #require(mail.map(\.kind) == [.resolve])
        #expect(question(mail[0], world) == (DNSQuestion.Kind.address.rawValue, "gw.example.net"))
        #expect(mail[0].third == 1 && mail[0].transaction.worker == 0)
        #expect(world.state.shard(0).table.pool.inUse == 1)
        // No answer comes: it is asked for again, and in the end forgotten. Nobody is told, for it is an ACK.
        for _ in 0..<30 where world.state.shard(0).table.pool.inUse > 0 { worker.run(turns: 1) }
        #expect(world.state.shard(0).table.pool.inUse == 0 && world.state.shard(0).stored.inUse == 0)
        #expect(world.sent(to: .resolver).count > 1)
        #expect(caller.isSilent)
    }

    /// A CANCEL for nothing that is known, to a name that nobody tells: 481 (§9.2).
    @Test func aCancelThatWaitedInVainIsAnswered() throws {
        let world = try StreamTests.world { $0.resolverTimeout = 0 }
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("CANCEL", "sip:bob@gw.example.net", from: caller, branch: "c"), from: caller.address,
            to: 0)
        worker.run(turns: 1)
        #expect(world.sent(to: .resolver).count == 1)
        for _ in 0..<30 where caller.isSilent { worker.run(turns: 1) }
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 481 "))
        #expect(world.state.shard(0).stored.inUse == 0)
    }
}
