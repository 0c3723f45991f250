import Glibc
import Platform
import SharedState
import Testing

@testable import Worker

/// Where requests go, and what becomes of those that can go nowhere.
@Suite struct TargetTests {
    /// The paper's rule for what is forwarded without state.
    @Test func anAckWithoutRouteGoesToTheNewestContact() throws {
        let world = try World()
        let (caller, old, new) = (Phone(), Phone(), Phone())
        world.register("bob@example.org", ["sip:bob@\(old.address.text)", "sip:bob@\(new.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("ACK", "sip:bob@example.org", from: caller, branch: "a", toTag: "b1"),
            from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(new.hear()).hasPrefix("ACK sip:bob@\(new.address.text) "))
        #expect(old.isSilent)
    }

    /// What is left out is the oldest, and a contact that cannot be reached harms none that can.
    @Test func ofTooManyContactsTheNewestAreTried() throws {
        let world = try World(workers: 1, maxBreadth: 2)
        let (caller, first, second) = (Phone(), Phone(), Phone())
        let long = String(repeating: "x", count: 400)
        world.register(
            "bob@example.org",
            [
                "sip:bob@host.invalid", "sip:bob@\(first.address.text)",
                "sip:bob@\(second.address.text);p=\(long)",
            ])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(first.hear() != nil)
        #expect(try #require(second.hear()).contains(long))
        #expect(caller.isSilent)
    }

    /// RFC 3261 §16.6 step 6 with a Request-URI that fits no Route: refused, not cut.
    @Test func aStrictRouterIsSentNoBrokenRoute() throws {
        let world = try World()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        for (length, passes) in [(100, true), (5000, false)] {
            let uri = "sip:bob@192.0.2.1;p=" + String(repeating: "x", count: length)
            let text = request(
                "MESSAGE", uri, from: caller, branch: "m\(length)", callID: "c\(length)",
                extra: "Route: <sip:\(callee.address.text)>\r\n")
            world.deliver(text, from: caller.address, to: 0)
            worker.run(turns: 1)
            if passes {
                #expect(try #require(callee.hear()).contains("Route: <\(uri)>\r\n"))
            } else {
                #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
            }
        }
        #expect(callee.isSilent)
        #expect(world.state.slots.inUse == 0)
    }

    /// Our Via and Record-Route make it longer than a datagram may be: said at once, not after 32 s.
    @Test func whatGrowsBeyondADatagramIsRefused() throws {
        let world = try World()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        let uri = "sip:bob@\(callee.address.text)"
        let head = request(
            "INVITE", uri, from: caller, branch: "i", body: String(repeating: "x", count: 10000)
        ).utf8.count
        let text = request(
            "INVITE", uri, from: caller, branch: "i",
            body: String(repeating: "x", count: 10000 + 65500 - head))
        world.deliver(text, from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 513 "))
        #expect(world.state.shard(0).table.pool.inUse == 1)
        #expect(world.state.shard(0).stored.inUse == 1)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// Another worker may be writing the targets anew while we read them: whatever comes out, it is no trap.
    @Test(arguments: [UInt8(0), 0x7F, 0xFF])
    func targetsThatAreNoneDoNoHarm(fill: UInt8) throws {
        let world = try World()
        let caller = Phone()
        let text = Array(request("INVITE", "sip:bob@192.0.2.1", from: caller, branch: "i").utf8)
        let stored = world.state.shard(1).stored
        var mail = Mail(.forkStart)
        mail.first = stored.store(text.span)!
        mail.second = stored.store([UInt8](repeating: fill, count: 70000 - 16 - 368).span)!.rawValue
        mail.transaction = TransactionReference(worker: 1, cell: 1, generation: 1)
        var worker = try world.worker(0)
        for fork in [UInt8(0), 1, 255] {
            mail.fork = fork
            world.deliver(mail, fromWorker: 1, to: 0)
        }
        worker.run(turns: 1)
        #expect(world.state.counters.total(.mailRepeated) == 0)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// §16.7 step 3: no Via below ours, nobody to send it to.
    @Test func aResponseWithoutAFurtherViaIsDropped() throws {
        let world = try World()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        let uri = "sip:bob@\(callee.address.text)"
        world.deliver(request("MESSAGE", uri, from: caller, branch: "m"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sent = try #require(callee.hear())
        let answer = response(200, to: sent)
        let vias = answer.split(separator: "\r\n").filter { $0.hasPrefix("Via:") }
        #expect(vias.count == 2)
        world.deliver(answer.replacing(vias[1] + "\r\n", with: ""), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(caller.isSilent)
        #expect(world.state.counters.total(.badResponses) == 1)
        world.deliver(answer, from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 200 "))
    }

    /// A fork's worker that has stood still for long: the fork counts as failed at once.
    @Test func aForkThatCannotBeHandedOverCountsAsFailed() throws {
        let world = try World(workers: 2)
        let (caller, callee) = (Phone(), Phone())
        world.register("bob@example.org", ["sip:bob@\(callee.address.text)", "sip:bob@127.0.0.1:9"])
        var worker = try world.worker(0)
        world.fill(.worker(1), by: &worker)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        world.deliver(response(486, to: try #require(callee.hear())), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 486 "))
        #expect(world.state.slots.inUse == 0)
    }

    /// §16.6 step 4: the URI in Record-Route leads here for whoever reads it. A caller
    /// of IPv4 can do nothing with an IPv6 address (RFC 5658: one Record-Route for each side).
    @Test func betweenFamiliesEachSideHasARouteOfItsOwn() throws {
        let number = socket(AF_INET6, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(number) }
        let ours = SocketAddress(ipv6: [0, 0, 0, 0, 0, 0, 0, 1], port: 5060)
        let world = try World(
            workers: 1,
            adjust: {
                $0.listeners[1] = ours
                $0.advertised[1] = ours
                $0.listenerCount = 2
            })
        world.secondListener = number
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@[::1]:9", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        // As it was sent: there is no fork but this.
        let sent = try #require(world.storedText(containing: "Record-Route"))
        #expect(sent.contains("Record-Route: <sip:\(world.listenerAddress.text);"))
    }

    /// §8.2.2.3: Unsupported lists all option tags that are not known, whatever the lines they came in.
    @Test func unsupportedListsTheTagsOfAllLines() throws {
        let world = try World(workers: 1)
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request(
                "INVITE", "sip:bob@example.org", from: caller, branch: "i",
                extra: "Proxy-Require: one\r\nProxy-Require: two\r\n"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let answer = try #require(caller.hear())
        #expect(answer.contains("one") && answer.contains("two"))
    }
}
