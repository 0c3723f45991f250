import Glibc
import Platform
import SharedState
import Syntax
import Testing

@testable import Master

@Suite struct ConnectionTests {
    @Test func messagesAreHandedOnInOrder() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        let messages = (1...3).map { options(body: String(repeating: "x", count: $0 * 10), cseq: $0) }
        peer.send(messages.joined())
        let handed = bench.handed(3)
        #expect(handed.map(\.text) == messages)
        #expect(handed.allSatisfy { $0.kind == .request && $0.header.fault == 0 })
        let endpoint = handed[0].header.endpoint
        #expect(endpoint.transport == .tcp && endpoint.listener == 3 && endpoint.peer == peer.address)
        #expect(endpoint.local.isNone && !endpoint.connection.isNone)
        #expect(bench.count(.connectionsAccepted) == 1 && bench.count(.messagesReceived) == 3)
        #expect(bench.count(.requestsReceived) == 3 && bench.state.counters.value(.connections) == 1)
        #expect(bench.connections.buffered == 0)
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func answersGoBack(host: String) throws {
        let bench = try EdgeBench(host: host)
        let peer = Socket(to: bench.listener.address)
        peer.send(options())
        let endpoint = try #require(bench.handed(1).first).header.endpoint
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: endpoint)
        #expect(peer.hear() == "SIP/2.0 200 OK\r\n\r\n")
        // Also a request to the same peer.
        bench.send("NOTIFY\r\n\r\n", to: bench.endpoint(peer.address), transaction: 7)
        #expect(peer.hear() == "NOTIFY\r\n\r\n")
        #expect(bench.count(.messagesSent) == 2 && bench.count(.connectionsOpened) == 0)
    }

    @Test(arguments: [1, 10, 33, 100, 300])
    func piecesAreJoined(size: Int) throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        let texts = [options(body: "0123456789"), options("2", body: String(repeating: "b", count: 5000))]
        let text = texts.joined(separator: "\r\n\r\n")
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            peer.send(String(decoding: bytes[start..<min(start + size, bytes.count)], as: UTF8.self))
            if start < 2000 { bench.settle() }
        }
        let handed = bench.handed(2)
        #expect(Set(handed.map(\.text)) == Set(texts))
        #expect(bench.connections.buffered == 0)
        #expect(peer.hear() == "\r\n")
    }

    /// RFC 5626 §4.4.1.
    @Test func keepAlivesAreAnsweredAndNothingIsKept() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send("\r\n\r\n")
        bench.settle()
        #expect(peer.hear() == "\r\n")
        peer.send("\r\n")
        bench.settle()
        #expect(peer.hear() == "" && bench.connections.buffered == 0)
        peer.send(options())
        #expect(bench.handed(1).first?.text == options())
    }

    // MARK: faults

    @Test(arguments: [
        ("", Fault.missingContentLength, 400), ("l: x\r\n", .badContentLength, 400),
        ("l: 1\r\nl: 2\r\n", .duplicateContentLength, 400), ("l: 70000\r\n", .messageTooLarge, 513),
        ("X: \(String(repeating: "a", count: 17_000))\r\n", .headerTooLarge, 513),
    ])
    func faultsAreAnsweredOnce(line: String, fault: Fault, status: Int) throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options("good") + options("bad", length: line) + options("behind"))
        let handed = bench.handed(2)
        #expect(handed.filter { $0.header.fault == 0 }.map(\.text) == [options("good")])
        let bad = try #require(handed.first { $0.header.fault != 0 })
        #expect(bad.header.fault == fault.rawValue + 1 && bad.text.contains("Call-ID: bad"))
        // Not the answer that is waited for.
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: bad.header.endpoint)
        peer.send(options("more"))
        bench.settle()
        #expect(peer.hear() == "SIP/2.0 200 OK\r\n\r\n")
        bench.send("SIP/2.0 \(status) No\r\n\r\n", to: bad.header.endpoint)
        #expect(peer.hear() == "SIP/2.0 \(status) No\r\n\r\n")
        #expect(peer.hear() == nil)
        peer.close()
        #expect(bench.wait { bench.connections.table.count == 0 })
        #expect(bench.handed().isEmpty)
    }

    @Test func aFaultThatNobodyAnswersEnds() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options(length: ""))
        _ = bench.handed(1)
        bench.now += 1999
        bench.settle()
        #expect(bench.connections.table.count == 1)
        bench.now += 1
        bench.settle()
        #expect(bench.connections.table.count == 0 && peer.hear() == nil)
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "\u{1}\u{2}", "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=1\r\n\r\n",
        "SIP/2.0 200 OK\r\nl: x\r\n\r\n",
    ])
    func whatCannotBeAnsweredIsClosed(garbage: String) throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options() + garbage)
        #expect(bench.handed(1).map(\.text) == [options()])
        #expect(bench.wait { bench.connections.table.count == 0 })
        #expect(bench.handed().isEmpty && bench.count(.connectionsFailed) == 1)
        #expect(bench.count(.droppedNotSip) + bench.count(.badResponses) == 1)
        #expect(bench.logged() == [.malformedMessage])
    }

    // MARK: limits

    @Test func tooManyAreClosedAndToldOnce() throws {
        let bench = try EdgeBench { $0.connections = 20 }
        let all = (1...25).map { Socket(to: bench.listener.address, from: "127.0.0.\($0)") }
        #expect(bench.wait { bench.count(.connectionsRefused) == 5 })
        #expect(bench.connections.table.count == 20 && bench.logged() == [.limitReached])
        #expect(all[24].hear() == nil && all[0].hear() == "")
        // One less is no new episode; a tenth less is.
        all[0].close()
        #expect(bench.wait { bench.connections.table.count == 19 })
        let next = [Socket(to: bench.listener.address), Socket(to: bench.listener.address)]
        #expect(bench.wait { bench.count(.connectionsRefused) == 6 })
        #expect(bench.logged().isEmpty)
        for socket in all[1..<4] { socket.close() }
        #expect(bench.wait { bench.connections.table.count == 17 })
        let more = (0..<4).map { _ in Socket(to: bench.listener.address) }
        #expect(bench.wait { bench.count(.connectionsRefused) == 7 })
        #expect(bench.logged() == [.limitReached])
        _ = (next, more)
    }

    @Test func oneHostTakesOnlyItsShare() throws {
        let bench = try EdgeBench { $0.perPeer = 3 }
        let greedy = (0..<5).map { _ in Socket(to: bench.listener.address, from: "127.0.0.2") }
        #expect(bench.wait { bench.count(.connectionsRefused) == 2 })
        let other = Socket(to: bench.listener.address, from: "127.0.0.3")
        other.send(options())
        #expect(bench.handed(1).count == 1)
        #expect(bench.connections.table.count == 4 && bench.logged() == [.limitReached])
        greedy[0].close()
        #expect(bench.wait { bench.connections.table.count == 3 })
        let again = Socket(to: bench.listener.address, from: "127.0.0.2")
        #expect(bench.wait { bench.connections.table.count == 4 })
        #expect(again.hear() == "")
    }

    @Test func manyIdleOnesHoldNothing() throws {
        let bench = try EdgeBench()
        var all: [Socket] = []
        for _ in 0..<500 {
            all.append(Socket(to: bench.listener.address))
            bench.turn()
        }
        #expect(bench.wait { bench.connections.table.count == 500 })
        for socket in all { socket.send("\r\n\r\n" + options()) }
        #expect(bench.handed(500).count == 500)
        #expect(bench.connections.buffered == 0)
        // A close with something unread would be a reset.
        #expect(all.allSatisfy { $0.hear() == "\r\n" })
        all.removeAll()
        #expect(bench.wait { bench.connections.table.count == 0 })
        #expect(bench.count(.connectionsFailed) == 0)
    }

    /// Of what all may hold, one host has an eighth; who holds next to nothing is left alone.
    @Test func memoryIsBoundedForAHost() throws {
        let bench = try EdgeBench { $0.memory = 160_000 }
        let small = Socket(to: bench.listener.address, from: "127.0.0.2")
        small.send("OPTIONS sip:")
        let greedy = Socket(to: bench.listener.address, from: "127.0.0.2")
        let other = Socket(to: bench.listener.address, from: "127.0.0.3")
        let text = options(body: String(repeating: "x", count: 30_000))
        for socket in [greedy, other] { socket.send(String(text.prefix(2000))) }
        bench.settle()
        #expect(bench.connections.table.count == 3)
        for start in stride(from: 2000, to: 28_000, by: 2000) where greedy.hear() != nil {
            greedy.send(String(text.dropFirst(start).prefix(2000)))
            bench.settle()
        }
        #expect(greedy.hear() == nil && small.hear() == "" && other.hear() == "")
        #expect(bench.count(.connectionsFailed) == 1 && bench.connections.buffered <= 8192)
        #expect(bench.connections.table.buffered(small.address) == 2048)
    }

    @Test func memoryIsBoundedForAll() throws {
        let bench = try EdgeBench { $0.memory = 160_000 }
        let text = options(body: String(repeating: "x", count: 30_000))
        var all: [Socket] = []
        for number in 2..<22 {
            all.append(Socket(to: bench.listener.address, from: "127.0.0.\(number)"))
            all.last?.send(String(text.prefix(15_000)))
            bench.settle()
        }
        #expect(bench.connections.buffered <= 160_000 && bench.count(.connectionsFailed) > 0)
        let small = Socket(to: bench.listener.address)
        small.send("OPTIONS sip:")
        bench.settle()
        #expect(small.hear() == "")
    }

    @Test func aShortageIsToldOnceASecond() throws {
        let bench = try EdgeBench()
        for _ in 0..<2 { bench.connections.logShortage(bench.listener.address, EMFILE) }
        #expect(bench.logged() == [.limitReached])
    }

    /// Many hosts at their limits are no reason for as many entries.
    @Test func limitsAreToldSeldom() throws {
        let bench = try EdgeBench()
        for _ in 0..<100 { bench.connections.logLimit(bench.listener.address, "max-connections-per-peer", 1) }
        #expect((1..<50).contains(bench.logged().count))
    }

    // MARK: time

    @Test func idleOnesAreClosed() throws {
        let bench = try EdgeBench { $0.idle = 60_000 }
        let (idle, busy) = (Socket(to: bench.listener.address), Socket(to: bench.listener.address))
        #expect(bench.wait { bench.connections.table.count == 2 })
        for _ in 0..<3 {
            bench.now += 29_000
            busy.send("\r\n\r\n")
            bench.settle()
        }
        #expect(bench.connections.table.count == 1 && idle.hear() == nil && busy.hear() == "\r\n\r\n\r\n")
    }

    /// Each byte keeps it from being idle, and does not help.
    @Test func slowMessagesEnd() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options() + "\r\n\r\nOPT")
        _ = bench.handed(1)
        for _ in 0..<29 {
            bench.now += 1000
            peer.send("I")
            bench.settle()
        }
        #expect(bench.connections.table.count == 1)
        bench.now += 1000
        bench.settle()
        #expect(bench.connections.table.count == 0 && bench.count(.connectionsFailed) == 1)
        #expect(bench.connections.buffered == 0)
    }

    /// What was said in time starts the time anew.
    @Test func eachMessageHasItsTime() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        let text = options()
        for _ in 0..<3 {
            peer.send(String(text.prefix(50)))
            bench.settle()
            bench.now += 20_000
            peer.send(String(text.dropFirst(50)))
            #expect(bench.handed(1).map(\.text) == [text])
        }
        #expect(bench.connections.table.count == 1)
    }

    // MARK: no room

    /// Nothing is lost where the ring of a worker is full, and nobody else is held up.
    @Test func aFullRingHoldsUpThePeer() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        for worker in 0..<2 {
            while bench.state.masterRing(to: .worker(worker)).append(Mail(.logged)) {}
        }
        let texts = (0..<20).map { options("\($0)", body: "b") }
        peer.send(texts.joined())
        bench.settle()
        #expect(bench.connections.stalled.count == 1 && bench.connections.buffered > 0)
        #expect(bench.connections.nextDeadline(bench.now) == bench.now + 5)
        peer.send(options("last"))
        bench.settle()
        #expect(bench.count(.requestsReceived) == 0)
        // Tried again every five milliseconds, not in each turn.
        var handed = bench.handed().filter { $0.kind == .request }
        bench.settle()
        #expect(bench.connections.stalled.count == 1 && bench.handed().isEmpty)
        bench.wait {
            bench.now += 5
            handed += bench.handed().filter { $0.kind == .request }
            return handed.count == 21
        }
        #expect(Set(handed.map(\.text)) == Set(texts + [options("last")]) && handed.count == 21)
        #expect(bench.connections.stalled.isEmpty && bench.connections.buffered == 0)
        #expect(bench.count(.mailDropped) == 0 && bench.count(.requestsReceived) == 21)
    }
}
