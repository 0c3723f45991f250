import Glibc
import Platform
import Proxy
import SharedState
import Testing

@testable import Worker

/// Next hops that are names, once the cache knows them: RFC 3263 §4.3.
@Suite struct NameAnswerTests {
    private static let uri = "sip:bob@gw.example.net"
    /// The kernel refuses to send there from loopback.
    private static let unreachable = SocketAddress(ipv4: 0xF000_0001, port: 5060)

    private func heard(by caller: Phone) -> [String] {
        var found: [String] = []
        while !caller.isSilent, let text = caller.hear() {
            let status = String(text.prefix(11).suffix(3))
            if status != "100" { found.append(status) }
        }
        return found
    }

    @Test func aKnownNameIsNotAskedFor() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        world.know("gw.example.net", [(.udp, callee.address)])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@GW.example.NET", from: caller, branch: "i"), from: caller.address,
            to: 0)
        worker.run(turns: 1)
        #expect(
            try #require(callee.hear()).hasPrefix(
                "INVITE sip:bob@GW.example.NET SIP/2.0\r\nVia: SIP/2.0/UDP "))
        #expect(world.sent(to: .resolver).isEmpty)
        #expect(world.state.shard(0).table.pool.inUse == 2)
    }

    @Test(arguments: ["INVITE", "MESSAGE"]) func theForkGoesOnWhenItIsTold(method: String) throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(request(method, Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let question = try #require(world.sent(to: .resolver).last)
        #expect(callee.isSilent)
        world.know("gw.example.net", [(.udp, callee.address)])
        world.resolve(question)
        worker.run(turns: 1)
        let sent = try #require(callee.hear())
        let branch = try #require(StreamTests.branch(sent))
        #expect(branch.transaction == question.transaction && branch.attempt == 0)
        // Told twice, it is sent once.
        world.resolve(question)
        worker.run(turns: 1)
        #expect(callee.isSilent)
        world.deliver(response(200, to: sent), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == ["200"])
        #expect(world.state.shard(0).stored.isConsistent)
    }

    @Test(arguments: [DNSAnswer.Status.none, .failed]) func whatCannotBeFoundIs500(status: DNSAnswer.Status)
        throws
    {
        let world = try StreamTests.world()
        let caller = Phone()
        world.know("gw.example.net", [], status: status)
        var worker = try world.worker(0)
        world.deliver(request("INVITE", Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 Next hop cannot be resolved\r\n"))
        #expect(world.sent(to: .resolver).isEmpty)
    }

    /// An address that we have no listener for is none.
    @Test func aFamilyWithoutListenerIsNone() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        world.know("gw.example.net", [(.udp, SocketAddress(host: "2001:db8::1", port: 5060)!)])
        var worker = try world.worker(0)
        world.deliver(request("INVITE", Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 Next hop cannot be resolved\r\n"))
    }

    @Test func anAnswerThatIsOldIsAskedForAgain() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        world.know("gw.example.net", [(.udp, callee.address)], for: 0)
        var worker = try world.worker(0)
        world.deliver(request("INVITE", Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(world.sent(to: .resolver).count == 1 && callee.isSilent)
    }

    /// The answer to another question about the same name is another answer.
    @Test func thePortOfTheURIHolds() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        world.know("gw.example.net", [(.udp, Self.unreachable)])
        world.know("gw.example.net", [(.udp, SocketAddress(ipv4: 0x7F00_0001, port: 0))], kind: .address)
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "\(Self.uri):\(callee.address.port)", from: caller, branch: "i"),
            from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(callee.hear() != nil)
    }

    /// Each failure goes on to the next, with another branch; the last one's is told.
    @Test func failuresGoOnInTheOrderOfTheAnswer() throws {
        let world = try StreamTests.world()
        let (caller, second, third) = (Phone(), Phone(), Phone())
        world.know(
            "gw.example.net",
            [
                (.tcp, StreamTests.peer), (.udp, Self.unreachable), (.udp, second.address),
                (.udp, third.address),
            ])
        var worker = try world.worker(0)
        world.deliver(request("INVITE", Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sending = try #require(world.sent(to: .master).last)
        #expect(world.state.slots.header(sending.slot.index).endpoint.peer == StreamTests.peer)
        world.fail(sending)
        // The kernel refuses the next one, of which the turn after that hears.
        worker.run(turns: 2)
        let asked = try #require(second.hear())
        #expect(third.isSilent && heard(by: caller).isEmpty)
        world.deliver(response(503, to: asked), from: second.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(second.hear()).hasPrefix("ACK "))
        let last = try #require(third.hear())
        #expect([asked, last].compactMap { StreamTests.branch($0)?.attempt } == [2, 3])
        #expect(world.state.counters.total(.candidatesFailed) == 3)
        world.deliver(response(486, to: last), from: third.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == ["486"])
        // The failed ones are remembered: the next call begins with who has answered.
        world.deliver(
            request("INVITE", Self.uri, from: caller, branch: "j", callID: "d"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(third.hear() != nil && second.isSilent)
    }

    @Test func aSilentServerIsLeftForTheNext() throws {
        let world = try StreamTests.world { $0.candidateTimeout = 100 }
        let (caller, silent, callee) = (Phone(), Phone(), Phone())
        world.know("gw.example.net", [(.udp, silent.address), (.udp, callee.address)])
        var worker = try world.worker(0)
        world.deliver(request("INVITE", Self.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        for _ in 0..<30 where callee.isSilent { worker.run(turns: 1) }
        let first = try #require(silent.hear())
        let sent = try #require(callee.hear())
        #expect(StreamTests.branch(first)?.attempt == 0 && StreamTests.branch(sent)?.attempt == 1)
        world.deliver(response(200, to: sent), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == ["200"])
    }

    /// RFC 3261 §18.1.1, where the records say UDP and the request is long.
    @Test func aLongRequestTriesTCPAtEachAddress() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        world.know("gw.example.net", [(.udp, callee.address)])
        var worker = try world.worker(0)
        let body = String(repeating: "x", count: 1400)
        world.deliver(
            request("MESSAGE", Self.uri, from: caller, branch: "m", body: body), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sending = try #require(world.sent(to: .master).last)
        #expect(
            world.state.slots.header(sending.slot.index).endpoint.peer == callee.address && callee.isSilent)
        world.fail(sending)
        worker.run(turns: 1)
        #expect(callee.hear() != nil)
    }

    /// It lies in its worker until then, and leaves without a transaction.
    @Test func anAckGoesOnWhenItIsTold() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(
            request("ACK", Self.uri, from: caller, branch: "a", toTag: "b1"), from: caller.address, to: 0)
        worker.run(turns: 1)
        world.know("gw.example.net", [(.udp, callee.address)])
        world.resolve(try #require(world.sent(to: .resolver).last))
        worker.run(turns: 1)
        #expect(try #require(callee.hear()).hasPrefix("ACK \(Self.uri) SIP/2.0\r\n"))
        #expect(world.state.shard(0).table.pool.inUse == 0 && world.state.shard(0).stored.inUse == 0)
    }

    /// Whoever may not use a route reaches its next hop by no name that he has registered.
    @Test func aStrangersNameLeadsToNoHop() throws {
        let (caller, gateway, other) = (Phone(), Phone(), Phone())
        var route = RouteDraft()
        route.user = "+*"
        route.hops = [RouteDraft.Hop(uri: "sip:\(gateway.address.text)", address: gateway.address)]
        let world = try World(workers: 1, routes: [route])
        world.register("mallory@example.org", ["sip:m@evil.example.net"])
        world.know("evil.example.net", [(.udp, gateway.address), (.udp, other.address)])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:mallory@example.org", from: caller, branch: "i"),
            from: TrustTests.stranger,
            to: 0)
        worker.run(turns: 1)
        #expect(gateway.isSilent && other.hear() != nil)
    }

    /// A name in `route.to` is looked up as any other, and all of it is one hop.
    @Test func aRouteLeadsToAName() throws {
        let (caller, first, second) = (Phone(), Phone(), Phone())
        var route = RouteDraft()
        route.user = "+*"
        route.hops = [
            RouteDraft.Hop(uri: "sip:gw.example.net", address: SocketAddress()),
            RouteDraft.Hop(uri: "sip:\(second.address.text)", address: second.address),
        ]
        let world = try World(workers: 1, routes: [route])
        world.know("gw.example.net", [(.udp, Self.unreachable), (.udp, first.address)])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:+49@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 2)
        let sent = try #require(first.hear())
        #expect(second.isSilent)
        world.deliver(response(503, to: sent), from: first.address, to: 0)
        worker.run(turns: 1)
        #expect(second.hear() != nil)
    }
}
