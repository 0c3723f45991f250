import CPlatform
import Glibc
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Transport

/// A turn in memory of its own, and sockets of loopback.
private struct Bench: ~Copyable {
    let arena: Arena
    var turn: Turn
    let bytes: Int

    init() throws {
        arena = try Arena(name: "transport", size: Turn.bytes + 8192)
        turn = Turn(memory: arena.memory, at: 0)
        bytes = Turn.bytes + 64
    }

    mutating func send(_ entry: OutboxEntry) throws {
        let isTaken = turn.send(entry)
        try #require(isTaken)
    }

    /// Puts text into the arena; where it lies.
    func place(_ text: String, at distance: Int) -> (offset: Int, count: Int) {
        var writer = arena.memory.writer(bytes + distance, capacity: text.utf8.count)
        writer.append(string: text)
        return (bytes + distance, writer.count)
    }
}

private final class Peer {
    let number: Int32
    let address: SocketAddress

    init(host: UInt32 = 0x7F00_0001) {
        number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        var wanted = SocketAddress(ipv4: host, port: 0)
        let descriptor = number
        _ = unsafe withUnsafeBytes(of: &wanted) {
            unsafe bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16)
        }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            _ = unsafe getsockname(
                descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        address = SocketAddress(storage)
    }

    deinit { close(number) }

    /// Where the next datagram came from.
    func source() -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        var byte: UInt8 = 0
        unsafe withUnsafeMutableBytes(of: &storage) {
            let address = unsafe $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            _ = unsafe recvfrom(number, &byte, 1, 0, address, &length)
        }
        return SocketAddress(storage)
    }

    /// All datagrams that have come: loopback delivers within the send call.
    func hear() -> [String] {
        var texts: [String] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            let count = unsafe recv(number, &buffer, buffer.count, 0)
            if count < 0 { return texts }
            texts.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }
}

@Suite struct DatagramSenderTests {
    private func sockets(_ first: Int32, _ second: Int32 = -1) -> InlineArray<16, Int32> {
        var sockets = InlineArray<16, Int32>(repeating: -1)
        sockets[0] = first
        sockets[1] = second
        return sockets
    }

    @Test func twoPartsLeaveAsOneDatagram() throws {
        var bench = try Bench()
        let (own, peer) = (Peer(), Peer())
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(own.number))
        let (first, second) = (bench.place("SIP/2.0 200 OK\r\n", at: 0), bench.place("To: x\r\n", at: 512))
        var entry = OutboxEntry(
            offset: first.offset, count: first.count, to: Endpoint(.udp, peer.address, listener: 0))
        entry.second = UInt64(second.offset)
        entry.secondCount = UInt32(second.count)
        try bench.send(entry)
        let result = sender.flush(bench.turn, count: bench.turn.entryCount)
        #expect(result.sent == 1 && result.failed == 0)
        #expect(peer.hear() == ["SIP/2.0 200 OK\r\nTo: x\r\n"])
    }

    /// More than one batch of the system call, in order.
    @Test func manyKeepTheirOrder() throws {
        var bench = try Bench()
        let (own, peer) = (Peer(), Peer())
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(own.number))
        var wanted: [String] = []
        for number in 0..<150 {
            let text = "\(1000 + number)"
            let place = bench.place(text, at: number * 8)
            try bench.send(
                OutboxEntry(
                    offset: place.offset, count: place.count, to: Endpoint(.udp, peer.address, listener: 0)))
            wanted.append(text)
        }
        let result = sender.flush(bench.turn, count: bench.turn.entryCount)
        #expect(result.sent == 150)
        #expect(peer.hear() == wanted)
    }

    @Test func eachLeavesFromItsListener() throws {
        var bench = try Bench()
        let (first, second, peer) = (Peer(), Peer(), Peer())
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(first.number, second.number))
        for (number, listener) in [0, 1, 1, 0].enumerated() {
            let place = bench.place("\(number)", at: number * 8)
            let entry = OutboxEntry(
                offset: place.offset, count: place.count,
                to: Endpoint(.udp, peer.address, listener: UInt16(listener)))
            try bench.send(entry)
        }
        #expect(sender.flush(bench.turn, count: 4).sent == 4)
        var ports: [UInt16] = []
        for _ in 0..<4 { ports.append(peer.source().port) }
        #expect(ports == [0, 1, 1, 0].map { $0 == 0 ? first.address.port : second.address.port })
    }

    /// From a wildcard socket, the address that was asked.
    @Test(arguments: ["127.0.0.5", "127.0.0.6", nil])
    func itLeavesFromTheAddressThatIsWanted(host: String?) throws {
        var bench = try Bench()
        let (own, peer) = (Peer(host: 0), Peer())
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(own.number))
        let place = bench.place("x", at: 0)
        var endpoint = Endpoint(.udp, peer.address, listener: 0)
        if let host { endpoint.local = SocketAddress(host: host, port: 5060)! }
        try bench.send(OutboxEntry(offset: place.offset, count: place.count, to: endpoint))
        #expect(sender.flush(bench.turn, count: 1).sent == 1)
        #expect(peer.source().host.text == "\(host ?? "127.0.0.1"):0")
    }

    /// Errors of earlier datagrams come with later ones, several of them: none is lost for that.
    @Test func errorsOfOthersCostNothing() throws {
        var bench = try Bench()
        let (own, peer) = (Peer(), Peer())
        #expect(cp_want_errors(own.number, AF_INET) == 0)
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(own.number))
        let closed = Peer()
        let nowhere = closed.address
        close(closed.number)
        let place = bench.place("x", at: 0)
        for number in 0..<60 {
            let target = number % 3 == 2 ? peer.address : nowhere
            let endpoint = Endpoint(.udp, target, listener: 0)
            try bench.send(OutboxEntry(offset: place.offset, count: place.count, to: endpoint))
        }
        let result = sender.flush(bench.turn, count: 60)
        #expect(result.failed == 0 && peer.hear().count == 20)
    }

    /// One that the kernel refuses is counted, and holds up none behind it.
    @Test func aRefusedOneIsCounted() throws {
        var bench = try Bench()
        let (own, peer) = (Peer(), Peer())
        let sender = DatagramSender(memory: bench.arena.memory, sockets: sockets(own.number))
        let place = bench.place("x", at: 0)
        let nowhere = SocketAddress(ipv4: 0x7F00_0001, port: 0)
        for target in [nowhere, peer.address, nowhere, peer.address] {
            try bench.send(
                OutboxEntry(offset: place.offset, count: place.count, to: Endpoint(.udp, target, listener: 0))
            )
        }
        let result = sender.flush(bench.turn, count: 4)
        #expect(result.sent == 2 && result.failed == 2)
        #expect(peer.hear() == ["x", "x"])
    }
}

extension DatagramSender {
    /// Where nobody asks what has become of the entries.
    fileprivate func flush(_ turn: Turn, count: Int) -> (sent: Int, failed: Int) {
        var (failures, ends) = (0, 0)
        return flush(
            turn, count: count, &failures, &ends, onFailure: { _, _, _ in }, onEnd: { _, _, _ in })
    }
}
