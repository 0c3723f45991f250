import CPlatform
import Configuration
import Glibc
import Platform
import Proxy
import SharedState
import Testing
import Transport

@testable import Master

@Suite struct DatagramEdgeTests {
    private func listen(_ host: String) throws -> Socket {
        let listener = Listener(.udp, SocketAddress(host: host, port: 0)!)
        return Socket(owning: try ListeningSocket(listener).takeDescriptor())
    }

    /// Events of a socket as epoll has them.
    private func failed(_ socket: Socket, waiting: Int32 = 0) -> Bool {
        var entry = pollfd(fd: socket.number, events: 0, revents: 0)
        return unsafe poll(&entry, 1, waiting) == 1
    }

    @Test(arguments: [("0.0.0.0", "127.0.0.7"), ("::", "::1")])
    func aWildcardListenerSaysWhatWasAsked(wildcard: String, asked: String) throws {
        let bench = try EdgeBench()
        let listener = try listen(wildcard)
        let address = listener.address
        let target = SocketAddress(host: asked, port: address.port)!
        let peer = Socket(SOCK_DGRAM, at: asked == "::1" ? asked : "127.0.0.1")
        for number in 0..<3 { peer.send(options("\(number)"), to: target) }
        #expect(bench.reception.receive(from: listener.number, listener: 1, address: address) == 3)
        let handed = bench.handed()
        #expect(handed.count == 3 && handed.allSatisfy { $0.header.endpoint.local == target })
        #expect(
            handed.allSatisfy { $0.header.endpoint.peer == peer.address && $0.header.endpoint.listener == 1 })
    }

    /// With few slots left a receive does not empty the socket, and the loop must know.
    @Test(arguments: [(2, true), (20, false)])
    func aShortHandLeavesSome(slots: Int, leavesSome: Bool) throws {
        let bench = try EdgeBench()
        for index in 0..<bench.state.slots.smallCount - slots { _ = bench.state.slots.take(index) }
        let listener = try listen("127.0.0.7")
        let peer = Socket(SOCK_DGRAM, at: "127.0.0.1")
        for number in 0..<3 { peer.send(options("\(number)"), to: listener.address) }
        let count = bench.reception.receive(from: listener.number, listener: 1, address: listener.address)
        #expect(count == min(slots, 3) && bench.reception.mayHoldMore == leavesSome)
    }

    @Test func anyOtherListenerSaysEnough() throws {
        let bench = try EdgeBench()
        let listener = try listen("127.0.0.7")
        Socket(SOCK_DGRAM, at: "127.0.0.1").send(options(), to: listener.address)
        let count = bench.reception.receive(from: listener.number, listener: 1, address: listener.address)
        #expect(count == 1 && bench.handed().first?.header.endpoint.local.isNone == true)
    }

    /// Killed right after the kernel gave it a batch, sent to an address that only the kernel knows.
    @Test(arguments: [0, 5000]) func theNextMasterHasWhatAKilledOneReceived(padding: Int) throws {
        let bench = try EdgeBench()
        let listener = try listen("0.0.0.0")
        let target = SocketAddress(host: "127.0.0.7", port: listener.address.port)!
        let source = DatagramReceiver.Source(listener: 1, address: listener.address, isLeaving: false)
        let peer = Socket(SOCK_DGRAM, at: "127.0.0.1")
        for number in 0..<3 { peer.send(options("\(number)"), to: target) }
        #expect(bench.reception.receive(from: listener.number, listener: 1, address: listener.address) == 3)
        #expect(bench.handed().count == 3)
        let long = String(repeating: "x", count: padding)
        for number in 3..<5 { peer.send(options("\(number)\(long)"), to: target) }
        #expect(bench.reception.fetch(from: listener.number, source) == 2)

        bench.reception = Reception(state: bench.state, keys: bench.keys)
        bench.reception.dispatchReceived(except: [])
        bench.state.slots.reclaim(except: [])
        let handed = bench.handed().sorted { $0.text < $1.text }
        #expect(handed.count == 2)
        for (number, one) in zip(3..<5, handed) {
            #expect(one.text == options("\(number)\(long)"))
            #expect(one.header.endpoint.peer == peer.address && one.header.endpoint.local == target)
            #expect(one.header.endpoint.listener == 1)
        }

        // And nothing twice: neither by the same master, nor by another.
        peer.send(options("5"), to: target)
        #expect(bench.reception.receive(from: listener.number, listener: 1, address: listener.address) == 1)
        #expect(bench.handed().count == 1)
        bench.reception = Reception(state: bench.state, keys: bench.keys)
        bench.reception.dispatchReceived(except: [])
        #expect(bench.handed().isEmpty)
    }

    private func request(_ bench: EdgeBench, _ method: String = "INVITE", fork: UInt8 = 3) -> String {
        let transaction = TransactionReference(worker: 1, cell: 77, generation: 5)
        let branch = Branch(transaction, fork: fork, attempt: 2, keys: bench.keys)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 128, alignment: 1)
        defer { unsafe memory.deallocate() }
        var writer = unsafe ByteWriter(memory)
        branch.write(to: &writer)
        let text = unsafe String(decoding: memory.prefix(writer.count), as: UTF8.self)
        return "\(method) sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=\(text)\r\nVia: SIP/2.0/UDP x\r\n\r\n"
    }

    @Test(arguments: ["127.0.0.1", "::1"])
    func aClosedPortIsTold(host: String) throws {
        let bench = try EdgeBench()
        var errors = DatagramErrors()
        let listener = try listen(host)
        let closed = Socket(SOCK_DGRAM, at: host)
        let nowhere = closed.address
        closed.close()
        listener.send(request(bench), to: nowhere)
        #expect(failed(listener, waiting: 5000))
        errors.drain(listener.number, bench.reception)
        let told = bench.handed()
        // Fork 3 of worker 1, of two.
        #expect(told.map(\.kind) == [.sendFailed] && told.first?.worker == 0)
        #expect(told.first?.mail.status == UInt16(ECONNREFUSED) && told.first?.mail.flags == 0)
        #expect(told.first?.mail.transaction == TransactionReference(worker: 1, cell: 77, generation: 5))
        #expect(told.first?.mail.fork == 3 && told.first?.mail.attempt == 2)
        #expect(!failed(listener))
    }

    @Test func onlyWhatAForkHasSentIsTold() throws {
        let bench = try EdgeBench()
        var errors = DatagramErrors()
        let listener = try listen("127.0.0.1")
        let closed = Socket(SOCK_DGRAM, at: "127.0.0.1")
        let nowhere = closed.address
        closed.close()
        let foreign = request(bench).replacing("branch=z9hG4bKs0", with: "branch=z9hG4bKs1")
        for text in [
            foreign, request(bench, "ACK"), options(), "SIP/2.0 200 OK\r\n" + request(bench), "x",
            request(bench, "CANCEL", fork: 2), String(request(bench).prefix(90)),
        ] {
            listener.send(text, to: nowhere)
            listener.send(text, to: nowhere)
            _ = failed(listener, waiting: 5000)
        }
        errors.drain(listener.number, bench.reception)
        let told = bench.handed()
        #expect(
            !told.isEmpty && told.allSatisfy { $0.mail.flags == 1 && $0.mail.fork == 2 && $0.worker == 1 })
        #expect(!failed(listener))
    }
}
