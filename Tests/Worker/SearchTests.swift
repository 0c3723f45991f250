import Glibc
import Platform
import Proxy
import SharedState
import Syntax
import Testing

@testable import Worker

/// Redirections, loops, and searches that would not end.
@Suite struct SearchTests {
    /// A 3xx whose first contacts are of no use (tel:), and whose others are long: as many values are looked
    /// at as room was made for.
    @Test func aRedirectionWithManyUselessContactsDoesNotTrap() async {
        await #expect(processExitsWith: .success) {
            let world = try World(workers: 1, adjust: { $0.recurse = 1 })
            let (caller, callee) = (Phone(), Phone())
            world.register("bob@example.org", ["sip:bob@\(callee.address.text)"])
            var worker = try world.worker(0)
            world.deliver(
                request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address,
                to: 0)
            worker.run(turns: 1)
            let sent = callee.hear() ?? ""
            var contacts = (0..<63).map { "<tel:\($0)>" }
            let padding = String(repeating: "x", count: 300)
            contacts += (0..<63).map { "<sip:u\($0)@127.0.0.1:9;p=\(padding)>" }
            let answer = response(302, to: sent).replacing(
                "Content-Length", with: "Contact: \(contacts.joined(separator: ","))\r\nContent-Length")
            world.deliver(answer, from: callee.address, to: 0)
            worker.run(turns: 1)
        }
    }

    /// A failover search goes on only after a failure: a 302 of a route's hop must not end as 408.
    @Test func aRedirectionByAHopOfARouteIsNotLost() throws {
        let (caller, gateway, other) = (Phone(), Phone(), Phone())
        var route = RouteDraft()
        route.user = "+*"
        route.hops = [RouteDraft.Hop(uri: "sip:gw", address: gateway.address)]
        let world = try World(workers: 1, routes: [route], adjust: { $0.recurse = 1 })
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:+49@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let answer = response(302, to: try #require(gateway.hear())).replacing(
            "Content-Length", with: "Contact: <sip:x@\(other.address.text)>\r\nContent-Length")
        world.deliver(answer, from: gateway.address, to: 0)
        worker.run(turns: 1)
        // Either is right: passed upstream, or followed.
        if let heard = caller.hear() {
            #expect(heard.hasPrefix("SIP/2.0 302 "))
        } else {
            #expect(other.hear() != nil)
        }
    }

    /// §21.3.4: the Contact of a 305 is a proxy to send the request through, no target in place of the user.
    @Test func useProxyIsNotFollowedAsATarget() throws {
        let world = try World(workers: 1, adjust: { $0.recurse = 1 })
        let (caller, callee, proxy) = (Phone(), Phone(), Phone())
        world.register("bob@example.org", ["sip:bob@\(callee.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let answer = response(305, to: try #require(callee.hear())).replacing(
            "Content-Length", with: "Contact: <sip:\(proxy.address.text)>\r\nContent-Length")
        world.deliver(answer, from: callee.address, to: 0)
        worker.run(turns: 1)
        if let sent = proxy.hear() { #expect(!sent.hasPrefix("INVITE sip:\(proxy.address.text) ")) }
    }

    /// A route may look at the source, so that what comes back with the same Request-URI from its hop goes
    /// another way: no loop.
    @Test func whatComesBackFromARoutesHopIsNoLoop() throws {
        let (caller, server, callee) = (Phone(), Phone(), Phone())
        var route = RouteDraft()
        route.sources = [(SocketAddress(ipv4: 0xCB00_7100, port: 0), 24)]
        route.hops = [RouteDraft.Hop(uri: "sip:app", address: server.address)]
        let world = try World(workers: 1, routes: [route])
        world.register("bob@example.org", ["sip:bob@\(callee.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: TrustTests.stranger,
            to: 0)
        worker.run(turns: 1)
        var sent = try #require(server.hear())
        sent = sent.replacing(
            "Via: SIP/2.0/UDP \(world.listenerAddress.text)",
            with: "Via: SIP/2.0/UDP \(server.address.text);branch=z9hG4bKapp\r\nVia: SIP/2.0/UDP "
                + world.listenerAddress.text)
        world.deliver(sent, from: server.address, to: 0)
        worker.run(turns: 1)
        if let answer = server.hear() { #expect(!answer.hasPrefix("SIP/2.0 482 ")) }
        #expect(try #require(callee.hear()).hasPrefix("INVITE "))
    }

    /// §16.3 step 4 speaks of every request; an ACK that loops goes round until Max-Forwards, 255 at most.
    @Test func anAckThatLoopsEnds() throws {
        let world = try World(workers: 1)
        let (caller, next) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(
            request("ACK", "sip:bob@\(next.address.text)", from: caller, branch: "a", toTag: "b1"),
            from: caller.address, to: 0)
        worker.run(turns: 1)
        let sent = try #require(next.hear())
        world.deliver(sent, from: next.address, to: 0)
        worker.run(turns: 1)
        #expect(next.isSilent)
    }

    /// Five users with four contacts each in the next one, every Request-URI another, so that nothing loops.
    /// In parallel Max-Breadth ends that; in the order of q each level multiplies: 1364 forks of one INVITE
    /// here, millions with ten contacts and six users. (RFC 5393 does not count what is tried one by one:
    /// the bound is ours to choose.)
    @Test func aTangleTriedInOrderIsBounded() throws {
        let world = try World(workers: 1, maxTransactions: 10000, adjust: { $0.orderByQ = 1 })
        let caller = Phone()
        for user in 0..<5 {
            world.register("u\(user)@example.org", (0..<4).map { "sip:u\(user + 1)@example.org;x=\($0)" })
        }
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:u0@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        var count = 0
        while let text = world.hearOurselves() {
            count += 1
            world.deliver(text, from: world.listenerAddress, to: 0)
            worker.run(turns: 1)
        }
        #expect(count > 0 && world.state.counters.total(.forksStarted) < 1000)
    }
}
