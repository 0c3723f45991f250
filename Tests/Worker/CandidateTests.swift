import Glibc
import Platform
import Proxy
import SharedState
import Testing

@testable import Worker

/// The addresses of one next hop, one after the other (RFC 3263 §4.3). What needs no resolver for that: a long
/// request, which has TCP and UDP to choose from (RFC 3261 §18.1.1).
@Suite struct CandidateTests {
    private let long = String(repeating: "x", count: 1400)

    private func invite(
        _ callee: Phone, from caller: Phone, _ method: String = "INVITE", branch: String = "i",
        callID: String = "c", parameters: String = "", body: String? = nil
    ) -> String {
        request(
            method, "sip:bob@\(callee.address.text)\(parameters)", from: caller, branch: branch,
            callID: callID,
            body: body ?? long)
    }

    /// Sends it, and has the master tell that TCP fails.
    private func failTCP(_ world: World, _ worker: inout WorkerProcess) throws -> String {
        let sending = try #require(world.sent(to: .master).last)
        let text = world.text(in: sending.slot)
        world.fail(sending)
        worker.run(turns: 1)
        return text
    }

    @Test(arguments: ["INVITE", "MESSAGE"]) func aLongRequestGoesByTCPThenByUDP(method: String) throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller, method), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(callee.isSilent)
        let first = try failTCP(world, &worker)
        let second = try #require(callee.hear())
        #expect(first.contains("Via: SIP/2.0/TCP ") && second.contains("Via: SIP/2.0/UDP "))
        #expect(first.hasSuffix(long) && second.hasSuffix(long))
        let branches = (try #require(StreamTests.branch(first)), try #require(StreamTests.branch(second)))
        #expect(branches.0.transaction == branches.1.transaction && branches.0.fork == branches.1.fork)
        #expect(branches.0.attempt == 0 && branches.1.attempt == 1 && branches.0.check != branches.1.check)
        #expect(world.state.counters.total(.candidatesFailed) == 1)
        #expect(world.state.counters.total(.forksStarted) == 2)
        #expect(caller.isSilent || method == "INVITE")
        world.deliver(response(200, to: second), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 200 "))
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// The limit is that of what leaves, our own lines included.
    @Test func thirteenHundredBytesGoByUDP() throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        func send(_ length: Int, _ number: Int) {
            let text = invite(
                callee, from: caller, "MESSAGE", branch: "m\(number)", callID: "c\(number)",
                body: String(repeating: "x", count: length))
            world.deliver(text, from: caller.address, to: 0)
            worker.run(turns: 1)
        }
        send(500, 1)
        let rest = 1300 - (try #require(callee.hear())).utf8.count
        send(500 + rest, 2)
        #expect(try #require(callee.hear()).utf8.count == 1300)
        #expect(world.sent(to: .master).isEmpty)
        send(501 + rest, 3)
        #expect(callee.isSilent && world.sent(to: .master).count == 1)
    }

    @Test(arguments: [(";transport=udp", 0), (";transport=tcp", 1)])
    func aStatedTransportIsKept(parameters: String, byTCP: Int) throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller, parameters: parameters), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(world.sent(to: .master).count == byTCP)
        if byTCP == 0 {
            #expect(callee.hear() != nil)
        } else {
            _ = try failTCP(world, &worker)
            #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
            #expect(callee.isSilent)
        }
    }

    @Test func whenAllFailTheLastOneCounts() throws {
        let world = try StreamTests.world()
        let caller = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@240.0.0.1", from: caller, branch: "i", body: long),
            from: caller.address,
            to: 0)
        worker.run(turns: 1)
        _ = try failTCP(world, &worker)
        // The kernel has refused the datagram, which the next turn learns.
        worker.run(turns: 1)
        #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        #expect(world.state.shard(0).table.pool.inUse == 1)
        #expect(world.state.shard(0).stored.isConsistent)
    }

    /// `resolver.dead-time`: what failed is not the first again, until it has answered.
    @Test(arguments: [(UInt32(30), "UDP"), (0, "TCP")])
    func whatFailedIsTriedLast(deadTime: UInt32, second: String) throws {
        let world = try StreamTests.world { $0.candidateDeadTime = deadTime }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        _ = try failTCP(world, &worker)
        #expect(callee.hear() != nil)
        world.deliver(invite(callee, from: caller, branch: "j", callID: "d"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(world.sent(to: .master).count == (second == "TCP" ? 2 : 1))
        #expect((callee.hear() != nil) == (second == "UDP"))
    }

    /// RFC 3263 §4.3: 503 is a reason to ask the next one, every other answer is none.
    @Test(arguments: [(503, true), (500, false), (404, false), (486, false), (603, false)])
    func onlyA503GoesOn(status: Int, goesOn: Bool) throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        let first = world.text(in: try #require(world.sent(to: .master).last).slot)
        world.deliver(response(status, to: first), from: callee.address, to: 0)
        worker.run(turns: 1)
        // The ACK to it goes where the INVITE went (§17.1.1.3).
        let ack = try #require(world.sent(to: .master).last)
        #expect(world.text(in: ack.slot).hasPrefix("ACK "))
        if goesOn {
            let second = try #require(callee.hear())
            #expect(second.hasPrefix("INVITE ") && caller.isSilent)
            // Of the last one it is told on, as 500.
            world.deliver(response(503, to: second), from: callee.address, to: 0)
            worker.run(turns: 1)
            #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 500 "))
        } else {
            #expect(callee.isSilent)
            #expect(try #require(caller.hear()).hasPrefix("SIP/2.0 \(status) "))
        }
    }

    /// Runs the worker until the callee hears something.
    private func wait(for callee: Phone, _ worker: inout WorkerProcess) -> String? {
        for _ in 0..<50 where callee.isSilent { worker.run(turns: 1) }
        return callee.isSilent ? nil : callee.hear()
    }

    /// Answers that the caller has heard, without 100.
    private func heard(by caller: Phone) -> [String] {
        var found: [String] = []
        while !caller.isSilent, let text = caller.hear() {
            let status = String(text.prefix(11).suffix(3))
            if status != "100" { found.append(status) }
        }
        return found
    }

    /// `resolver.candidate-timeout`; who answers late after all gets the call, and the other one is cancelled:
    /// §16.7 step 10 is about all client transactions that are pending.
    @Test func aSilentCandidateIsLeftBehind() throws {
        let world = try StreamTests.world { $0.candidateTimeout = 100 }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        let first = world.text(in: try #require(world.sent(to: .master).last).slot)
        let second = try #require(wait(for: callee, &worker))
        #expect(second.hasPrefix("INVITE ") && second.contains("Via: SIP/2.0/UDP "))
        world.deliver(response(180, to: second), from: callee.address, to: 0)
        world.deliver(response(200, to: first), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == ["180", "200"])
        #expect(try #require(callee.hear()).hasPrefix("CANCEL "))
    }

    /// Other requests likewise, whose transactions have no CANCEL: its 2xx is the answer, a failure of it is nobody's.
    @Test(arguments: [200, 404]) func aSilentCandidateMayAnswerAMessage(status: Int) throws {
        let world = try StreamTests.world { $0.candidateTimeout = 100 }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller, "MESSAGE"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let first = world.text(in: try #require(world.sent(to: .master).last).slot)
        let second = try #require(wait(for: callee, &worker))
        world.deliver(response(status, to: first), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == (status == 200 ? ["200"] : []))
        world.deliver(response(486, to: second), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == (status == 200 ? [] : ["486"]))
    }

    /// It rings after the next one was asked: it shall stop, and nobody hears of it.
    @Test func aLateRingIsCancelled() throws {
        let world = try StreamTests.world { $0.candidateTimeout = 100 }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        let first = world.text(in: try #require(world.sent(to: .master).last).slot)
        let second = try #require(wait(for: callee, &worker))
        world.deliver(response(180, to: first), from: callee.address, to: 0)
        worker.run(turns: 1)
        let cancel = world.text(in: try #require(world.sent(to: .master).last).slot)
        #expect(cancel.hasPrefix("CANCEL ") && StreamTests.branch(cancel) == StreamTests.branch(first))
        world.deliver(response(487, to: first), from: callee.address, to: 0)
        world.deliver(response(486, to: second), from: callee.address, to: 0)
        worker.run(turns: 1)
        #expect(heard(by: caller) == ["486"])
    }

    /// Who has said anything is waited for.
    @Test func whoAnswersIsNotLeftBehind() throws {
        let world = try StreamTests.world { $0.candidateTimeout = 100 }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        let first = world.text(in: try #require(world.sent(to: .master).last).slot)
        world.deliver(response(100, to: first), from: callee.address, to: 0)
        worker.run(turns: 1)
        // Beyond the candidate's time by the worker's own clock, which fires what is due.
        let end = Clock.milliseconds() + 250
        while Clock.milliseconds() < end {
            worker.receive()
            worker.work()
            worker.turn.commit()
            worker.turn.finish()
        }
        #expect(callee.isSilent)
        #expect(world.state.counters.total(.candidatesFailed) == 0)
    }

    // MARK: cancelled calls

    /// What happens to a candidate after the caller has hung up.
    enum End: CaseIterable { case sendFailed, unavailable }

    /// Nobody wants the call any more: the next address must not ring (§9.2, §16.10).
    @Test(arguments: End.allCases) func aCancelledCallTriesNoOther(end: End) throws {
        let world = try StreamTests.world()
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        let sending = try #require(world.sent(to: .master).last)
        let first = world.text(in: sending.slot)
        if end == .unavailable {
            world.deliver(response(180, to: first), from: callee.address, to: 0)
            worker.run(turns: 1)
        }
        world.deliver(invite(callee, from: caller, "CANCEL", body: ""), from: caller.address, to: 0)
        worker.run(turns: 1)
        switch end {
        case .sendFailed: world.fail(sending)
        case .unavailable: world.deliver(response(503, to: first), from: callee.address, to: 0)
        }
        worker.run(turns: 1)
        #expect(callee.isSilent, "another address is asked for a call that was cancelled")
        #expect(world.state.counters.total(.candidatesFailed) == 0)
        let answers = heard(by: caller)
        #expect(answers.contains("200") && answers.count >= 2, "\(answers)")
    }

    /// The same where it was silent for the whole of its transaction.
    @Test func aCancelledCallTriesNoOtherAfterATimeout() throws {
        let world = try StreamTests.world {
            $0.t1 = 5
            $0.candidateTimeout = 60_000
        }
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(invite(callee, from: caller), from: caller.address, to: 0)
        worker.run(turns: 1)
        world.deliver(invite(callee, from: caller, "CANCEL", body: ""), from: caller.address, to: 0)
        // 64·T1 is 320 ms.
        var answers: [String] = []
        for _ in 0..<40 where !answers.contains("487") && callee.isSilent {
            worker.run(turns: 1)
            answers += heard(by: caller)
        }
        #expect(answers.contains("487"))
        #expect(callee.isSilent, "another address is asked for a call that was cancelled")
    }
}
