import Platform
import SharedState
import Testing

@testable import Worker

@Suite struct WorkerTests {
    @Test func anInviteAndItsAnswersPass() throws {
        let world = try World()
        let caller = Phone()
        let callee = Phone()
        var worker = try world.worker(0)
        let uri = "sip:bob@\(callee.address.text)"
        world.deliver(request("INVITE", uri, from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let invite = try #require(callee.hear())
        #expect(
            invite.hasPrefix(
                "INVITE \(uri) SIP/2.0\r\nVia: SIP/2.0/UDP \(world.listenerAddress.text);branch=z9hG4bKs"))
        #expect(invite.contains("Record-Route: <sip:\(world.listenerAddress.text);lr;sf="))
        #expect(invite.contains("Max-Forwards: 69\r\nMax-Breadth: 60\r\n"))
        // A 200 that comes again passes, and is no second call.
        for status in [180, 200, 200] {
            world.deliver(response(status, to: invite), from: callee.address, to: 0)
            worker.run(turns: 1)
            let answer = try #require(caller.hear())
            #expect(
                answer.hasPrefix("SIP/2.0 \(status) Whatever\r\nVia: SIP/2.0/UDP \(caller.address.text);"))
            #expect(!answer.contains(world.listenerAddress.text + ";branch"))
        }
        #expect(caller.isSilent)
        #expect(world.state.slots.inUse == 0)
        #expect(world.state.shard(0).serverTransactions == 1)
        #expect(world.state.counters.total(.callsAnswered) == 1)
    }

    /// Design §5: a turn that was not committed leaves nothing, and its successor sends the very same bytes.
    @Test func anAbandonedTurnIsDoneAgainToTheByte() throws {
        var heard: [String] = []
        for isAbandoned in [false, true] {
            let world = try World()
            let caller = Phone()
            let callee = Phone()
            world.deliver(
                request("INVITE", "sip:bob@\(callee.address.text)", from: caller, branch: "i"),
                from: caller.address,
                to: 0)
            if isAbandoned {
                var first = try world.worker(0)
                first.receive()
                first.work()
                // It dies here: nothing has left.
                #expect(callee.isSilent)
                #expect(world.state.shard(0).undo.count > 0)
            }
            var worker = try world.worker(0)
            worker.run(turns: isAbandoned ? 0 : 1)
            let invite = try #require(callee.hear())
            #expect(callee.isSilent)
            #expect(world.state.shard(0).serverTransactions == 1)
            #expect(world.state.shard(0).table.pool.inUse == 2)
            #expect(world.state.slots.inUse == 0)
            // Keys, ports and thus branch checks differ between two worlds: compare the shape.
            heard.append(invite.split(separator: "\r\n").map { $0.prefix(while: { $0 != ":" }) }.joined())
        }
        #expect(heard[0] == heard[1])
    }

    /// A turn that was committed but not flushed is flushed by the successor.
    @Test func aCommittedTurnIsFlushedAgain() throws {
        let world = try World()
        let caller = Phone()
        let callee = Phone()
        world.deliver(
            request("INVITE", "sip:bob@\(callee.address.text)", from: caller, branch: "i"),
            from: caller.address, to: 0)
        var first = try world.worker(0)
        first.receive()
        first.work()
        first.turn.commit()
        #expect(callee.isSilent)
        var second = try world.worker(0)
        second.run(turns: 0)
        #expect(callee.hear() != nil)
        #expect(callee.isSilent)
        #expect(world.state.shard(0).serverTransactions == 1)
        #expect(world.state.slots.inUse == 0)
    }

    @Test func aRepeatedRequestIsAbsorbed() throws {
        let world = try World()
        let caller = Phone()
        let callee = Phone()
        var worker = try world.worker(0)
        let text = request("MESSAGE", "sip:bob@\(callee.address.text)", from: caller, branch: "m")
        for _ in 0..<3 { world.deliver(text, from: caller.address, to: 0) }
        worker.run(turns: 1)
        #expect(callee.hear() != nil)
        #expect(callee.isSilent)
        #expect(world.state.counters.total(.retransmissionsAbsorbed) == 2)
    }

    @Test func aFaultIsNamed() throws {
        let world = try World()
        let caller = Phone()
        var worker = try world.worker(0)
        let text = request("MESSAGE", "sip:bob@example.org", from: caller, branch: "m")
            .replacing("Max-Forwards: 70", with: "Max-Forwards: many")
        world.deliver(text, from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 400 Bad Max-Forwards\r\n"))
        let ack = request("ACK", "sip:bob@example.org", from: caller, branch: "a")
            .replacing("Max-Forwards: 70", with: "Max-Forwards: many")
        world.deliver(ack, from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(caller.isSilent)
        #expect(world.state.slots.inUse == 0)
    }

    @Test func aFullTableAnswers503() throws {
        let world = try World(workers: 1, maxTransactions: 3)
        let caller = Phone()
        let callee = Phone()
        var worker = try world.worker(0)
        for number in 0..<4 {
            let text = request(
                "INVITE", "sip:bob@\(callee.address.text)", from: caller, branch: "i\(number)",
                callID: "c\(number)")
            world.deliver(text, from: caller.address, to: 0)
        }
        worker.run(turns: 1)
        let refusal = try #require(caller.hear())
        #expect(refusal.hasPrefix("SIP/2.0 503 Service Unavailable\r\n"))
        #expect(refusal.contains("Retry-After: "))
        #expect(world.state.counters.total(.refusedFull) == 1)
        // The ACK to it ends here: its To tag is our mark.
        let tag = try #require(
            refusal.split(separator: "\r\n").first { $0.hasPrefix("To:") }?.split(separator: "=").last)
        let ack = request(
            "ACK", "sip:bob@\(callee.address.text)", from: caller, branch: "i3", callID: "c3",
            toTag: String(tag))
        for _ in 0..<3 { _ = callee.hear() }
        world.deliver(ack, from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(callee.isSilent)
    }

    @Test func unknownUsersAreUnavailable() throws {
        let world = try World()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 480 "))
        #expect(world.state.slots.inUse == 0)
    }
}
