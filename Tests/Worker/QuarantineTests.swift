import Platform
import SharedState
import Testing

@testable import Worker

/// Design §5.3. A death is a worker object that is forgotten in the middle of a turn.
@Suite struct QuarantineTests {
    /// A successor as the master starts it, with the turn of its predecessor taken over.
    private func successor(_ world: World) throws -> WorkerProcess {
        world.state.processes.setEvent(0, .worker(0))
        var worker = try world.worker(0)
        worker.recoverTurn()
        return worker
    }

    private func strikes(_ world: World, _ event: UInt64, _ count: Int) {
        for _ in 0..<count { world.state.quarantine.blame(event, .event, now: Clock.milliseconds()) }
    }

    private func quarantined(_ world: World) -> UInt64 { world.state.counters.total(.quarantined) }

    @Test func aRequestIsDroppedTheThirdTime() throws {
        let world = try World(workers: 1)
        let (caller, poisoner) = (Phone(), Phone())
        let poison = request("OPTIONS", "sip:example.org", from: poisoner, branch: "p", callID: "p")
        var worker = try world.worker(0)
        world.deliver(
            request("OPTIONS", "sip:example.org", from: caller, branch: "a"), from: caller.address, to: 0)
        world.deliver(poison, from: poisoner.address, to: 0)
        worker.receive()
        worker.work()
        // Each datagram has places of its own.
        let word = world.state.processes.event(.worker(0))
        #expect(CurrentEvent(rawValue: word) == .mail(place: Mail.batch))
        let event = try #require(world.state.blamedEvent(of: .worker(0)))
        strikes(world, event, 1)
        worker = try successor(world)
        worker.work()
        #expect(world.state.blamedEvent(of: .worker(0)) == event && quarantined(world) == 0)
        strikes(world, event, 1)
        worker = try successor(world)
        worker.handleTurn()
        #expect(quarantined(world) == 1)
        #expect(world.state.processes.event(.worker(0)) == 0 && world.state.slots.inUse == 0)
        #expect(caller.hear()?.hasPrefix("SIP/2.0 200 ") == true)
        #expect(poisoner.isSilent)
        // Sent again it is the same; with another branch it is not.
        world.deliver(poison, from: poisoner.address, to: 0)
        let other = request("OPTIONS", "sip:example.org", from: poisoner, branch: "q", callID: "p")
        world.deliver(other, from: poisoner.address, to: 0)
        worker.receive()
        worker.handleTurn()
        #expect(quarantined(world) == 2 && world.state.slots.inUse == 0)
        #expect(poisoner.hear()?.contains("branch=z9hG4bKq") == true)
        #expect(poisoner.isSilent)
    }

    /// A response is another event than its request, and each status of its own.
    @Test func whatAMessageIsKnownBy() throws {
        let world = try World(workers: 1)
        let phone = Phone()
        func event(_ text: String) throws -> UInt64 {
            var worker = try world.worker(0)
            world.deliver(text, from: phone.address, to: 0)
            worker.receive()
            worker.work()
            let event = try #require(world.state.blamedEvent(of: .worker(0)))
            worker.commit()
            worker.turn.clearInFlight()
            return event
        }
        let invite = request("INVITE", "sip:nobody@example.org", from: phone, branch: "i")
        let events = try [
            invite, request("ACK", "sip:nobody@example.org", from: phone, branch: "i"),
            request("INVITE", "sip:nobody@example.org", from: phone, branch: "j"),
            request("INVITE", "sip:nobody@example.org", from: phone, branch: "i", cseq: 2),
            request("INVITE", "sip:nobody@example.org", from: phone, branch: "i", callID: "other"),
            response(180, to: invite), response(200, to: invite),
        ].map { try event($0) }
        #expect(Set(events).count == events.count)
        #expect(try event(invite) == events[0])
        #expect(world.state.blamedEvent(of: .worker(0)) == nil, "nothing is under way")
    }

    @Test func aTimerStaysOutOfTheWheel() throws {
        let world = try World(workers: 1)
        let (caller, callee) = (Phone(), Phone())
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@\(callee.address.text)", from: caller, branch: "i"),
            from: caller.address, to: 0)
        let start = Clock.milliseconds()
        worker.receive()
        worker.handleTurn()
        #expect(callee.hear()?.hasPrefix("INVITE ") == true)
        // Timer A.
        worker.virtualTime = start + 700
        worker.work()
        let word = world.state.processes.event(.worker(0))
        guard case .timer = CurrentEvent(rawValue: word) else {
            Issue.record("no timer was due")
            return
        }
        strikes(world, try #require(world.state.blamedEvent(of: .worker(0))), 2)
        worker = try successor(world)
        for time in [700, 2000, 8000] {
            worker.virtualTime = start + UInt64(time)
            worker.handleTurn()
        }
        #expect(quarantined(world) == 1 && callee.isSilent)
    }

    /// Mail without a message in a slot.
    @Test func mailOfAnotherWorkerIsDropped() throws {
        let world = try World(workers: 2)
        var worker = try world.worker(0)
        var mail = Mail(.forkCancel)
        mail.transaction = TransactionReference(worker: 1, cell: 3, generation: 4)
        for round in 0..<3 {
            world.deliver(mail, fromWorker: 1, to: 0)
            worker.receive()
            worker.work()
            if round < 2 { strikes(world, try #require(world.state.blamedEvent(of: .worker(0))), 1) }
            worker.commit()
            worker.turn.clearInFlight()
        }
        #expect(quarantined(world) == 1)
    }
}
