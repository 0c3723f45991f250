import Glibc
import Platform
import SharedState
import Testing

@testable import Master

/// What the master does with messages for a worker that has too much before it.
@Suite struct OverloadTests {
    /// A master with one UDP listener and one peer; nobody is behind its mail rings.
    private final class Scene {
        let bench: EdgeBench
        let listener: Socket
        let peer = Socket(SOCK_DGRAM, at: "127.0.0.1")
        var reception: Reception

        init() throws {
            bench = try EdgeBench(maxDelay: 400)
            listener = Socket(
                owning: try ListeningSocket(.init(.udp, SocketAddress(host: "127.0.0.1", port: 0)!))
                    .takeDescriptor())
            reception = Reception(state: bench.state, keys: bench.keys, sockets: [listener.number])
            reception.overload.measure(bench.now)
        }

        /// Sends to the master, and gives what was handed to workers and what came back.
        func send(_ text: String) -> (handed: [Handed], answer: String) {
            peer.send(text, to: listener.address)
            let count = reception.receive(from: listener.number, listener: 0, address: listener.address)
            precondition(count == 1)
            return (bench.handed(), peer.hear() ?? "")
        }

        /// Lets something wait for every worker for so long.
        func wait(_ milliseconds: UInt64) {
            for worker in 0..<2 { _ = bench.state.masterRing(to: .worker(worker)).append(Mail(.response)) }
            bench.now += 10
            reception.overload.measure(bench.now)
            bench.now += milliseconds
            reception.overload.measure(bench.now)
        }

        /// The workers handle all that they have.
        func work() {
            for worker in 0..<2 {
                var last = Mail(.response)
                last.sequence = bench.state.masterRing(to: .worker(worker)).tail
                _ = bench.state.shard(worker).seen.isNew(last)
            }
            bench.now += 20
            reception.overload.measure(bench.now)
        }

        func count(_ counter: Counter) -> Int { bench.count(counter) }
    }

    private func request(
        _ method: String, _ call: String, toTag: String = "", cseq: Int = 1, via: String = "UDP"
    ) -> String {
        """
        \(method) sip:bob@biloxi.com SIP/2.0\r
        Via: SIP/2.0/\(via) 127.0.0.1;rport;branch=z9hG4bK\(call)\(cseq)\r
        From: <sip:alice@atlanta.com>;tag=1\r
        To: <sip:bob@biloxi.com>\(toTag.isEmpty ? "" : ";tag=\(toTag)")\r
        Call-ID: \(call)\r
        CSeq: \(cseq) \(method)\r
        Content-Length: 0\r
        \r

        """
    }

    private func line(_ name: String, of message: String) -> String {
        message.split(separator: "\r\n").first { $0.hasPrefix(name + ": ") }.map(String.init) ?? ""
    }

    private func tag(_ answer: String) -> String {
        String(line("To", of: answer).split(separator: "tag=").last ?? "")
    }

    @Test(arguments: ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "FROBNICATE"])
    func newRequestsAreRefused(method: String) throws {
        let scene = try Scene()
        scene.wait(401)
        let (handed, answer) = scene.send(request(method, "new"))
        #expect(handed.allSatisfy { $0.kind == .response })
        #expect(answer.hasPrefix("SIP/2.0 503 Service Unavailable\r\n"))
        #expect(line("CSeq", of: answer) == "CSeq: 1 \(method)")
        #expect(line("Call-ID", of: answer) == "Call-ID: new")
        let after = Int(line("Retry-After", of: answer).dropFirst(13))
        #expect(after.map { (2...5).contains($0) } == true, "\(answer)")
        #expect(scene.count(.refusedOverload) == 1 && scene.count(.messagesSent) == 1)
        // The same for each copy: nothing is kept.
        #expect(scene.send(request(method, "new")).answer == answer)
        #expect(scene.reception.overload.refused == 2)
    }

    @Test func theyComeBackAtDifferentTimes() throws {
        let scene = try Scene()
        scene.wait(401)
        let times = (0..<50).map { line("Retry-After", of: scene.send(request("INVITE", "c\($0)")).answer) }
        #expect(Set(times).count == 4)
    }

    @Test func whatBelongsToAcceptedWorkPasses() throws {
        let scene = try Scene()
        #expect(scene.send(request("INVITE", "old")).handed.count == 1)
        scene.wait(401)
        _ = scene.bench.handed()
        for text in [
            request("INVITE", "old"), request("CANCEL", "old"), request("ACK", "old", toTag: "b"),
            request("BYE", "old", toTag: "b", cseq: 2), request("INVITE", "old", toTag: "b", cseq: 3),
            request("CANCEL", "unknown"),
        ] {
            let (handed, answer) = scene.send(text)
            #expect(handed.map(\.text) == [text] && answer.isEmpty)
        }
        // A new request of the same call is new.
        #expect(scene.send(request("INVITE", "old", cseq: 2)).answer.hasPrefix("SIP/2.0 503 "))
        #expect(scene.count(.refusedOverload) == 1)
    }

    @Test func theAckToARefusalEndsHere() throws {
        let scene = try Scene()
        scene.wait(401)
        let answer = scene.send(request("INVITE", "new")).answer
        scene.work()
        _ = scene.bench.handed()
        let ack = scene.send(request("ACK", "new", toTag: tag(answer)))
        #expect(ack.handed.isEmpty && ack.answer.isEmpty && scene.count(.answersAcknowledged) == 1)
        // That of another request has another mark.
        #expect(scene.send(request("ACK", "other", toTag: tag(answer))).handed.count == 1)
        #expect(scene.send(request("ACK", "new", toTag: tag(answer), cseq: 2)).handed.count == 1)
        #expect(scene.count(.answersAcknowledged) == 1)
    }

    @Test func whenTheWorkerHasCaughtUpAllAreWelcome() throws {
        let scene = try Scene()
        scene.wait(400)
        _ = scene.bench.handed()
        #expect(scene.send(request("INVITE", "1")).handed.count == 1, "not more than may be")
        scene.wait(1)
        #expect(scene.send(request("INVITE", "2")).answer.hasPrefix("SIP/2.0 503 "))
        scene.work()
        _ = scene.bench.handed()
        #expect(scene.send(request("INVITE", "3")).handed.count == 1)
        #expect(scene.bench.state.processes.delay(.worker(0)) == 0)
    }

    @Test func aFaultyRequestIsRefusedLikeOthers() throws {
        let scene = try Scene()
        scene.wait(401)
        _ = scene.bench.handed()
        let faulty = request("INVITE", "bad").replacing("CSeq: 1 INVITE\r\n", with: "CSeq: x\r\n")
        #expect(scene.send(faulty).answer.hasPrefix("SIP/2.0 503 "))
        let (handed, answer) = scene.send("INVITE sip:bob@biloxi.com SIP/2.0\r\nCall-ID: x\r\n\r\n")
        #expect(handed.isEmpty && answer.isEmpty && scene.count(.refusedOverload) == 2)
    }

    /// 3,072 of 8,192 slots: what belongs to the calls that wait is to find slots, too.
    @Test func onlyTheOneWithTheMostIsSparedWhenSlotsRunOut() throws {
        let scene = try Scene()
        let ring = scene.bench.state.masterRing(to: .worker(0))
        for _ in 0..<2000 { _ = ring.append(Mail(.response)) }
        scene.bench.now += 10
        scene.reception.overload.measure(scene.bench.now)
        _ = scene.bench.handed()
        let texts = (0..<40).map { request("INVITE", "c\($0)") }
        for text in texts { #expect(scene.send(text).handed.count == 1) }
        for _ in 0..<900 { _ = ring.append(Mail(.response)) }
        for _ in 0..<200 { _ = scene.bench.state.masterRing(to: .worker(1)).append(Mail(.response)) }
        scene.bench.now += 1
        scene.reception.overload.measure(scene.bench.now)
        _ = scene.bench.handed()
        let more = (0..<40).map { scene.send(request("INVITE", "d\($0)")) }
        #expect(more.allSatisfy { $0.handed.isEmpty != $0.answer.isEmpty })
        let workers = Set(more.flatMap { $0.handed.map(\.worker) })
        #expect(workers == [1] && scene.count(.refusedOverload) > 5)
    }

    @Test func aFullRingIsAnsweredAsWell() throws {
        let scene = try Scene()
        for worker in 0..<2 {
            let ring = scene.bench.state.masterRing(to: .worker(worker))
            while ring.append(Mail(.response)) {}
            var last = Mail(.response)
            last.sequence = ring.tail
            _ = scene.bench.state.shard(worker).seen.isNew(last)
        }
        scene.reception.overload.measure(scene.bench.now)
        scene.peer.send(request("INVITE", "new"), to: scene.listener.address)
        scene.peer.send(request("BYE", "old", toTag: "x"), to: scene.listener.address)
        let address = scene.listener.address
        #expect(scene.reception.receive(from: scene.listener.number, listener: 0, address: address) == 2)
        #expect(scene.peer.hear()?.hasPrefix("SIP/2.0 503 ") == true && scene.peer.hear() == "")
        #expect(scene.count(.refusedOverload) == 1 && scene.count(.mailDropped) == 1)
    }

    /// It reads what has waited in the sockets before it first looks at the queues.
    @Test func aMasterThatTakesOverKnowsWhatIsHandled() throws {
        let scene = try Scene()
        #expect(scene.send(request("INVITE", "old")).handed.count == 1)
        for _ in 0..<3000 {
            for worker in 0..<2 {
                _ = scene.bench.state.masterRing(to: .worker(worker)).append(Mail(.response))
            }
        }
        _ = scene.bench.handed()
        scene.work()
        scene.reception = Reception(
            state: scene.bench.state, keys: scene.bench.keys, sockets: [scene.listener.number])
        #expect(scene.send(request("INVITE", "new")).handed.count == 1)
        scene.wait(1001)
        _ = scene.bench.handed()
        // Nor has it forgotten what its predecessor accepted.
        #expect(scene.send(request("INVITE", "old")).handed.count == 1)
        #expect(scene.send(request("INVITE", "newer")).handed.isEmpty)
    }

    @Test func registrationsWaitForTheLocatorToo() throws {
        let scene = try Scene()
        let shard = scene.bench.state.shard(1)
        #expect(shard.ring(to: .locator).append(Mail(.register), undo: shard.undo))
        scene.bench.now += 10
        scene.reception.overload.measure(scene.bench.now)
        scene.bench.now += 401
        scene.reception.overload.measure(scene.bench.now)
        #expect(scene.send(request("REGISTER", "r")).answer.hasPrefix("SIP/2.0 503 "))
        #expect(scene.send(request("INVITE", "i")).handed.count == 1)
        #expect(scene.reception.overload.culprit == .locator)
        #expect(scene.bench.state.processes.delay(.locator) == 401)
    }

    /// Who floods a connection fills the queue for nobody else: new work waits there with half of what has it refused.
    @Test func newWorkOfAStreamWaitsThere() throws {
        let bench = try EdgeBench(maxDelay: 200)
        for _ in 0..<1000 {
            for worker in 0..<2 { _ = bench.state.masterRing(to: .worker(worker)).append(Mail(.response)) }
        }
        bench.reception.overload.measure(bench.now)
        let endpoint = Endpoint(.tcp, SocketAddress(ipv4: 0x7F00_0003, port: 40_000), listener: 1)
        let receive = { (text: String) in
            bench.reception.receive(Array(text.utf8).span, from: endpoint, fault: nil)
        }
        #expect(receive(request("INVITE", "new", via: "TCP")) == .noMail)
        #expect(receive(request("BYE", "old", toTag: "x", via: "TCP")) == .handed)
        #expect(bench.count(.refusedOverload) == 0)
        for worker in 0..<2 {
            var last = Mail(.response)
            last.sequence = bench.state.masterRing(to: .worker(worker)).tail
            _ = bench.state.shard(worker).seen.isNew(last)
        }
        bench.reception.overload.measure(bench.now + 10)
        #expect(receive(request("INVITE", "new", via: "TCP")) == .handed)
    }

    @Test func onAConnectionItIsAnsweredThere() throws {
        let bench = try EdgeBench(maxDelay: 400)
        for worker in 0..<2 { _ = bench.state.masterRing(to: .worker(worker)).append(Mail(.response)) }
        bench.reception.overload.measure(bench.now)
        bench.reception.overload.measure(bench.now + 401)
        let peer = Socket(to: bench.listener.address)
        peer.send(request("INVITE", "new", via: "TCP"))
        #expect(bench.wait { bench.count(.refusedOverload) == 1 })
        bench.reception.stateless.output.drain { bytes, endpoint in
            bench.connections.send(bytes, to: endpoint, nil, bench.now)
        }
        var answer = ""
        #expect(
            bench.wait {
                answer += peer.hear() ?? ""
                return answer.hasSuffix("\r\n\r\n")
            })
        #expect(answer.hasPrefix("SIP/2.0 503 ") && bench.count(.connectionsOpened) == 0)
        #expect(bench.count(.requestsReceived) == 1 && bench.count(.messagesReceived) == 1)
        // The connection goes on.
        peer.send(request("BYE", "old", toTag: "x", via: "TCP"))
        #expect(bench.handed(3).contains { $0.text.hasPrefix("BYE ") })
    }
}
