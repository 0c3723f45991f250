import Glibc
import Platform
import SharedState
import Testing

@testable import Master

@Suite struct OutgoingConnectionTests {
    private func failures(_ handed: [Handed]) -> [Handed] { handed.filter { $0.kind == .sendFailed } }

    @Test(arguments: ["127.0.0.1", "0.0.0.0", "::1"])
    func requestsOpenOne(host: String) throws {
        let bench = try EdgeBench(host: host)
        let peer = Socket(SOCK_STREAM, at: host == "::1" ? host : "127.0.0.9")
        for number in 1...3 {
            bench.send("INVITE \(number)\r\n\r\n", to: bench.endpoint(peer.address), transaction: 7)
        }
        #expect(bench.wait { bench.count(.connectionsOpened) == 1 })
        let accepted = peer.accept()
        #expect(accepted.hear() == "INVITE 1\r\n\r\nINVITE 2\r\n\r\nINVITE 3\r\n\r\n")
        #expect(bench.connections.buffered == 0 && bench.connections.table.count == 1)
        // What comes back on it is read.
        accepted.send(options())
        let handed = bench.handed(1)
        #expect(handed.first?.text == options() && handed.first?.header.endpoint.peer == peer.address)
        #expect(handed.first?.header.endpoint.listener == 3)
        if host == "127.0.0.1" { #expect(accepted.peerHost == "127.0.0.1:0") }
        if host == "0.0.0.0" { #expect(handed.first?.header.endpoint.local.isNone == false) }
    }

    @Test func itLeavesFromTheAddressThatIsWanted() throws {
        let bench = try EdgeBench(host: "0.0.0.0")
        let peer = Socket(SOCK_STREAM, at: "127.0.0.9")
        var endpoint = bench.endpoint(peer.address)
        endpoint.local = SocketAddress(host: "127.0.0.5", port: 5060)!
        bench.send("INVITE\r\n\r\n", to: endpoint)
        #expect(bench.wait { bench.count(.connectionsOpened) == 1 })
        #expect(peer.accept().peerHost == "127.0.0.5:0")
    }

    @Test func aRefusalIsTold() throws {
        let bench = try EdgeBench()
        let closed = Socket(SOCK_STREAM, at: "127.0.0.9")
        let address = closed.address
        closed.close()
        bench.send("CANCEL\r\n\r\n", to: bench.endpoint(address), transaction: 7, flags: 1)
        bench.send("INVITE\r\n\r\n", to: bench.endpoint(address), transaction: 8)
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: bench.endpoint(address))
        let told = bench.handed(2)
        #expect(told.map(\.kind) == [.sendFailed, .sendFailed] && told.allSatisfy { $0.worker == 1 })
        #expect(told.map(\.mail.transaction.rawValue) == [7, 8] && told.map(\.mail.flags) == [1, 0])
        #expect(
            told.allSatisfy {
                $0.mail.status == UInt16(ECONNREFUSED) && $0.mail.fork == 5 && $0.mail.attempt == 6
            })
        #expect(bench.connections.table.count == 0 && bench.count(.connectionsFailed) >= 1)
        #expect(bench.logged().contains(.connectionFailed))
    }

    /// Nothing is waited for.
    @Test func whatCannotBeBegunIsToldAtOnce() throws {
        let bench = try EdgeBench()
        for (address, code) in [
            (SocketAddress(host: "::1", port: 5060)!, EAFNOSUPPORT),
            (SocketAddress(host: "255.255.255.255", port: 5060)!, ENETUNREACH),
            (SocketAddress(host: "127.0.0.1", port: 0)!, EAFNOSUPPORT),
        ] {
            bench.send("INVITE\r\n\r\n", to: bench.endpoint(address), transaction: 7)
            let told = bench.handed()
            #expect(told.map(\.kind) == [.sendFailed])
            if code != ENETUNREACH { #expect(told.first?.mail.status == UInt16(code)) }
        }
        #expect(bench.connections.table.count == 0 && bench.count(.sendErrors) == 3)
    }

    @Test func aSilentHostIsGivenUp() throws {
        let bench = try EdgeBench()
        let peer = Socket(SOCK_STREAM, at: "127.0.0.9", backlog: 0)
        // The kernel answers no further one.
        let fillers = (0..<3).map { _ in Socket(to: peer.address, waits: false) }
        bench.send("INVITE\r\n\r\n", to: bench.endpoint(peer.address), transaction: 7)
        bench.now += 3999
        bench.settle()
        #expect(bench.handed().isEmpty && bench.connections.table.count == 1)
        bench.now += 101
        bench.settle()
        #expect(bench.handed().map(\.mail.status) == [UInt16(ETIMEDOUT)])
        #expect(bench.connections.table.count == 0 && bench.connections.buffered == 0)
        _ = fillers
    }

    @Test func limitsHoldForThemToo() throws {
        let bench = try EdgeBench { $0.connections = 1 }
        let (first, second) = (Socket(SOCK_STREAM, at: "127.0.0.9"), Socket(SOCK_STREAM, at: "127.0.0.9"))
        bench.send("INVITE\r\n\r\n", to: bench.endpoint(first.address), transaction: 7)
        bench.send("INVITE\r\n\r\n", to: bench.endpoint(second.address), transaction: 8)
        #expect(bench.handed().map(\.mail.transaction.rawValue) == [8])
        #expect(bench.count(.connectionsRefused) == 1)
    }

    // MARK: breaks

    /// Of those written, those that may still be answered; a response is nobody's loss.
    @Test(arguments: [true, false])
    func aBreakIsTold(isReset: Bool) throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options())
        let endpoint = try #require(bench.handed(1).first).header.endpoint
        bench.send("INVITE 1\r\n\r\n", to: endpoint, transaction: 1)
        bench.now += 32_001
        bench.send("INVITE 2\r\n\r\n", to: endpoint, transaction: 2)
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: endpoint)
        if isReset { peer.reset() } else { peer.close() }
        let told = bench.handed(1)
        #expect(told.map(\.mail.transaction.rawValue) == [2])
        #expect(told.first?.mail.status == UInt16(ECONNRESET))
        #expect(bench.connections.table.count == 0)
    }

    /// RFC 3261 §18.2.2.
    @Test func aResponseFindsAnotherWay() throws {
        let bench = try EdgeBench()
        let own = Socket(SOCK_STREAM, at: "127.0.0.9")
        let peer = Socket(to: bench.listener.address, from: "127.0.0.9")
        peer.send(options())
        var endpoint = try #require(bench.handed(1).first).header.endpoint
        endpoint.fallbackPort = own.address.port
        peer.close()
        #expect(bench.wait { bench.connections.table.count == 0 })
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: endpoint)
        #expect(bench.wait { bench.count(.connectionsOpened) == 1 })
        #expect(own.accept().hear() == "SIP/2.0 200 OK\r\n\r\n")
    }

    /// The next one goes over a new connection.
    @Test func aBrokenOneIsReplaced() throws {
        let bench = try EdgeBench()
        let peer = Socket(SOCK_STREAM, at: "127.0.0.9")
        bench.send("INVITE 1\r\n\r\n", to: bench.endpoint(peer.address))
        #expect(bench.wait { bench.count(.connectionsOpened) == 1 })
        peer.accept().close()
        bench.send("INVITE 2\r\n\r\n", to: bench.endpoint(peer.address), transaction: 7)
        bench.send("INVITE 3\r\n\r\n", to: bench.endpoint(peer.address), transaction: 8)
        let isReplaced = bench.wait {
            bench.count(.connectionsOpened) == 2 || bench.count(.connectionsFailed) > 0
        }
        #expect(isReplaced)
        bench.send("INVITE 4\r\n\r\n", to: bench.endpoint(peer.address), transaction: 9)
        #expect(bench.wait { bench.count(.connectionsOpened) == 2 })
        let text = peer.accept().hear()
        #expect(text?.hasSuffix("INVITE 4\r\n\r\n") == true)
    }

    /// What the peer wrote before is worth more than that it is gone.
    @Test func answersInFrontOfABreakAreRead() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options())
        let endpoint = try #require(bench.handed(1).first).header.endpoint
        bench.send("INVITE 1\r\n\r\n", to: endpoint, transaction: 1)
        // With that unread, a close is a reset.
        peer.send(options("answer"))
        peer.close()
        bench.send("INVITE 2\r\n\r\n", to: endpoint, transaction: 2)
        bench.send("INVITE 3\r\n\r\n", to: endpoint, transaction: 3)
        let handed = bench.handed(4)
        #expect(handed.filter { $0.kind == .request }.map(\.text) == [options("answer")])
        #expect(Set(failures(handed).map(\.mail.transaction.rawValue)) == [1, 2, 3])
        #expect(bench.wait { bench.connections.table.count == 0 })
        #expect(bench.connections.buffered == 0)
    }

    /// A close that nobody has read yet.
    @Test func aRequestDoesNotGoWhereNobodyListens() throws {
        let bench = try EdgeBench()
        let peer = Socket(SOCK_STREAM, at: "127.0.0.9")
        bench.send("INVITE 1\r\n\r\n", to: bench.endpoint(peer.address))
        #expect(bench.wait { bench.count(.connectionsOpened) == 1 })
        let first = peer.accept()
        #expect(first.hear() == "INVITE 1\r\n\r\n")
        first.close()
        bench.now += 1001
        bench.send("INVITE 2\r\n\r\n", to: bench.endpoint(peer.address), transaction: 7)
        #expect(bench.wait { bench.count(.connectionsOpened) == 2 })
        #expect(peer.accept().hear() == "INVITE 2\r\n\r\n" && failures(bench.handed()).isEmpty)
    }

    // MARK: a peer that does not read

    @Test func aDeafPeerHoldsUpNobody() throws {
        let bench = try EdgeBench { $0.queue = 100_000 }
        let (deaf, other) = (Socket(to: bench.listener.address), Socket(to: bench.listener.address))
        deaf.send(options())
        let endpoint = try #require(bench.handed(1).first).header.endpoint
        other.send(options())
        let second = try #require(bench.handed(1).first).header.endpoint
        let message = String(repeating: "x", count: 10_000)
        var number: UInt64 = 0
        // The kernel takes some megabytes at most.
        while failures(bench.handed()).isEmpty && number < 5000 {
            number += 1
            bench.send(message, to: endpoint, transaction: number)
        }
        try #require(number < 5000)
        #expect(bench.connections.buffered >= 90_000 && bench.connections.buffered < 300_000)
        bench.send("SIP/2.0 200 OK\r\n\r\n", to: second)
        #expect(other.hear() == "SIP/2.0 200 OK\r\n\r\n")
        #expect(bench.count(.sendErrors) == 1 && bench.connections.table.count == 2)
        bench.now += 30_000
        bench.settle()
        #expect(bench.connections.table.count == 1 && bench.connections.buffered == 0)
        // The last ones of those that were taken, and each of those that waited.
        let told = failures(bench.handed()).map(\.mail.transaction.rawValue)
        #expect(told.last == number - 1 && told.count >= 9 && told == told.sorted())
    }

    /// All of it arrives, in order, once the peer reads.
    @Test func whatWaitsIsWritten() throws {
        let bench = try EdgeBench { $0.queue = 4 << 20 }
        let peer = Socket(to: bench.listener.address)
        peer.send(options())
        let endpoint = try #require(bench.handed(1).first).header.endpoint
        var wanted = ""
        for number in 0..<300 {
            let text = "\(number) " + String(repeating: "y", count: 20_000) + "\r\n"
            wanted += text
            bench.send(text, to: endpoint)
        }
        #expect(bench.connections.buffered > 0)
        var heard = ""
        #expect(
            bench.wait {
                while let text = peer.hear(), !text.isEmpty { heard += text }
                return heard.utf8.count == wanted.utf8.count
            })
        #expect(heard == wanted && bench.connections.buffered == 0 && bench.count(.messagesSent) == 300)
    }
}

extension Socket {
    /// Host of the other end.
    fileprivate var peerHost: String {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            _ = unsafe getpeername(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        return SocketAddress(storage).host.text
    }
}
