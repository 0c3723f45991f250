import Glibc
import Mailbox
import Platform
import Proxy
import SharedState
import Testing

@testable import Worker

/// What goes by TCP: the worker writes it into an outgoing slot, the master sends it (design §5).
@Suite struct StreamTests {
    /// A world whose proxy listens on the same address by TCP too, as its listener 1.
    static func world(
        workers: Int = 1, maxTransactions: Int = 1000,
        adjust: (inout ConfigurationSnapshot) -> Void = { _ in }
    ) throws -> World {
        try World(workers: workers, maxTransactions: maxTransactions) { snapshot in
            snapshot.listeners[1] = snapshot.listeners[0]
            snapshot.advertised[1] = snapshot.advertised[0]
            snapshot.transports[1] = .tcp
            snapshot.listenerCount = 2
            adjust(&snapshot)
        }
    }

    static let peer = SocketAddress(ipv4: 0x7F00_0002, port: 5070)
    static let uri = "sip:bob@127.0.0.2:5070;transport=tcp"

    /// The branch of our Via, the first.
    static func branch(_ text: String) -> Branch? {
        guard let start = text.firstRange(of: ";branch=")?.upperBound else { return nil }
        return Branch(Array(text[start...].prefix { $0 != ";" && $0 != "\r\n" }.utf8).span)
    }

    /// Its mailbox has a token of its own in the worker's poller: process number 0 is the master's.
    @Test func mailToTheMasterGoesOnOnceItReadsAgain() throws {
        let world = try StreamTests.world()
        var worker = try world.worker(0)
        world.fill(.master, by: &worker)
        let ring = world.state.shard(0).ring(to: .master)
        var inbox = PlainReceiver(mailbox: world.mailbox(of: .master))
        var received: UInt64 = 0
        for _ in 0..<1000 where ring.sent < ring.tail {
            while inbox.next() != nil { received += 1 }
            worker.run(turns: 1)
        }
        while inbox.next() != nil { received += 1 }
        #expect(ring.sent == ring.tail && received == ring.tail)
    }

    @Test func aRequestByTCPGoesToTheMaster() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let mail = world.sent(to: .master)
        try #require(mail.map(\.kind) == [.send])
        #expect(world.state.slots.isHeld(mail[0].slot, by: .master))
        #expect(world.state.slots.outgoing(of: 0).contains(mail[0].slot.index))
        let endpoint = world.state.slots.header(mail[0].slot.index).endpoint
        #expect(endpoint.transport == .tcp && endpoint.peer == StreamTests.peer && endpoint.listener == 1)
        #expect(endpoint.connection.isNone)
        let text = world.text(in: mail[0].slot)
        let us = world.listenerAddress.text
        #expect(text.hasPrefix("INVITE \(StreamTests.uri) SIP/2.0\r\nVia: SIP/2.0/TCP \(us);branch=z9hG4bKs"))
        #expect(text.hasSuffix("\r\n\r\n"))
        // Two ways to us, the one that leaves in front (RFC 5658).
        let routes = text.split(separator: "\r\n").filter { $0.hasPrefix("Record-Route:") }
        try #require(routes.count == 2)
        #expect(routes[0].hasPrefix("Record-Route: <sip:\(us);transport=tcp;lr;sf="))
        #expect(routes[1].hasPrefix("Record-Route: <sip:\(us);lr;sf="))
        let branch = try #require(StreamTests.branch(text))
        #expect(branch.transaction == mail[0].transaction && !mail[0].transaction.isNone)
        #expect(branch.fork == mail[0].fork && branch.attempt == mail[0].attempt && mail[0].attempt == 0)
        #expect(mail[0].flags == 0)
        // The answer comes as any other.
        world.deliver(response(180, to: text), from: StreamTests.peer, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 180 Whatever\r\nVia: SIP/2.0/UDP "))
    }

    @Test func aResponseGoesBackOnItsConnection() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        var source = Endpoint(.tcp, SocketAddress(ipv4: 0x7F00_0003, port: 40000), listener: 1)
        source.connection = ConnectionReference(index: 4, generation: 9)
        let text = request("MESSAGE", "sip:bob@\(callee.address.text)", from: caller, branch: "m")
            .replacing("SIP/2.0/UDP \(caller.address.text)", with: "SIP/2.0/TCP 127.0.0.3:5099")
        world.deliver(text, from: source, to: 0)
        worker.run(turns: 1)
        let sent = try #require(callee.hear())
        #expect(sent.contains("\r\nVia: SIP/2.0/TCP 127.0.0.3:5099;branch=z9hG4bKm\r\n"))
        // By UDP it may have come without Content-Length; the stream needs one.
        let answer = response(200, to: sent).replacing("Content-Length: 0\r\n", with: "")
        world.deliver(answer, from: callee.address, to: 0)
        worker.run(turns: 1)
        let mail = world.sent(to: .master)
        try #require(mail.map(\.kind) == [.send])
        #expect(mail[0].transaction.isNone, "nobody asks what becomes of a response")
        let endpoint = world.state.slots.header(mail[0].slot.index).endpoint
        #expect(endpoint.connection == source.connection && endpoint.peer == source.peer)
        #expect(endpoint.transport == .tcp && endpoint.listener == 1 && endpoint.fallbackPort == 5099)
        let heard = world.text(in: mail[0].slot)
        #expect(heard.hasPrefix("SIP/2.0 200 Whatever\r\nVia: SIP/2.0/TCP 127.0.0.3:5099;"))
        #expect(heard.hasSuffix("\r\nContent-Length: 0\r\n\r\n"))
    }

    /// Design §5: an outgoing slot is taken in a turn, and given back with it.
    @Test func anAbandonedTurnGivesItsOutgoingSlotBack() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        var first = try world.worker(0)
        first.receive()
        first.work()
        #expect(world.state.slots.inUse == 2)
        var second = try world.worker(0)
        second.run(turns: 0)
        let mail = world.sent(to: .master)
        #expect(mail.count == 1 && world.state.slots.inUse == 1)
        #expect(world.state.slots.isHeld(try #require(mail.first).slot, by: .master))
    }

    /// §17.1.4, §16.9: nothing else to try, so 503, which is told on as 500 (§16.7 step 6).
    @Test(arguments: ["INVITE", "MESSAGE"]) func aFailureOfTheTransportEndsTheFork(method: String) throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request(method, StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sending = try #require(world.sent(to: .master).first)
        world.fail(sending)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        #expect(world.state.counters.total(.candidatesFailed) == 0)
        // Told again, it is no news.
        world.fail(sending)
        worker.run(turns: 1)
        #expect(caller.isSilent)
        #expect(world.state.shard(0).table.pool.inUse == 1)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// A connection that breaks after the callee has said something says nothing of him.
    @Test func whoHasAnsweredWasReached() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sending = try #require(world.sent(to: .master).first)
        let text = world.text(in: sending.slot)
        world.deliver(response(180, to: text), from: StreamTests.peer, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 180 "))
        world.fail(sending)
        worker.run(turns: 1)
        #expect(caller.isSilent)
        world.deliver(response(200, to: text), from: StreamTests.peer, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 200 "))
    }

    /// The master has so many messages in hand that there is no slot: as a failure of the transport.
    @Test func withoutAnOutgoingSlotTheForkFails() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        for index in world.state.slots.outgoing(of: 0) { _ = world.state.slots.take(index) }
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        #expect(world.state.counters.total(.sendErrors) == 1)
        #expect(world.sent(to: .master).isEmpty)
    }

    /// What the kernel refuses at once: a bound socket of loopback reaches no such address.
    @Test func aDatagramThatTheKernelRefusesEndsTheFork() throws {
        let world = try World(workers: 1)
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@240.0.0.1", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 2)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        #expect(world.state.counters.total(.sendErrors) == 1)
    }

    /// Without a listener of that transport there is no way back for the answer.
    @Test func whatIsNotSpokenDoesNotLeave() throws {
        let world = try World(workers: 1)
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        #expect(world.sent(to: .master).isEmpty)
    }

    /// §9.1: by the way of its INVITE, and a failure of it is told as its own.
    @Test func aCancelTakesTheWayOfItsInvite() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let invite = world.text(in: try #require(world.sent(to: .master).first).slot)
        world.deliver(response(180, to: invite), from: StreamTests.peer, to: 0)
        world.deliver(
            request("CANCEL", StreamTests.uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let mail = world.sent(to: .master)
        try #require(mail.count == 2)
        let cancel = world.text(in: mail[1].slot)
        #expect(cancel.hasPrefix("CANCEL ") && StreamTests.branch(cancel) == StreamTests.branch(invite))
        let endpoint = world.state.slots.header(mail[1].slot.index).endpoint
        #expect(endpoint.transport == .tcp && endpoint.peer == StreamTests.peer)
        if !mail[1].transaction.isNone { #expect(mail[1].flags & 1 == 1) }
    }
}
