import Platform
import SharedMemory
import SharedState
import Testing

@testable import Proxy

@Suite struct ForkTargetTests {
    private static let uris = ["sip:a@h", "", "sip:a-longer-one@h;p=1"]
    private static let names = ["", "GW.Example.NET", "a.b"]
    private static let routes = ["", "<sip:r1;lr>, <sip:r2>", "<sip:r3;lr>"]

    // Spans cannot go through the macros of the tests.
    private func read(_ fork: UInt8, _ bytes: [UInt8]) -> PlacedTarget? {
        TargetSet(bytes.span)?.target(fork)
    }

    /// The forks 5, 6 and 7 of a request.
    private static func written() -> [UInt8] {
        var head = TargetSet.Head()
        head.source.peer = SocketAddress(host: "2001:db8::7", port: 4711)!
        head.previous = StoredReference(rawValue: 99)
        head.firstFork = 5
        head.count = 3
        head.source.listener = 9
        var bytes = unsafe withUnsafeBytes(of: head) { unsafe Array($0) }
        bytes += Proxy.text { writer in
            for (index, uri) in uris.enumerated() {
                var target = ForkTarget()
                target.peer = SocketAddress(ipv4: 0xC000_0201, port: UInt16(5060 + index))
                target.transport = index == 1 ? .tcp : .udp
                target.flags = index == 1 ? [.strictNextHop, .replacesURI] : .recordRoute
                target.routesToDrop = UInt16(index)
                target.q = UInt16(100 * index)
                target.hop = UInt16(7 * index)
                target.write(
                    uri: Array(uri.utf8).span, route: Array(routes[index].utf8).span,
                    name: Array(names[index].utf8).span, to: &writer)
            }
        }
        return bytes
    }

    @Test func eachIsFound() throws {
        let bytes = Self.written()
        #expect(TargetSet(bytes.span)?.head.source.peer.text == "[2001:db8::7]:4711")
        #expect(TargetSet(bytes.span)?.head.previous.rawValue == 99)
        #expect(TargetSet(bytes.span)?.head.source.listener == 9)
        for (index, uri) in Self.uris.enumerated() {
            let placed = try #require(read(UInt8(index + 5), bytes))
            let target = placed.target
            #expect(String(decoding: bytes[placed.uri], as: UTF8.self) == uri)
            #expect(String(decoding: bytes[placed.route], as: UTF8.self) == Self.routes[index])
            #expect(String(decoding: bytes[placed.name], as: UTF8.self) == Self.names[index].lowercased())
            #expect(target.peer.port == UInt16(5060 + index))
            #expect(target.transport == (index == 1 ? .tcp : .udp))
            #expect(Int(target.routesToDrop) == index && target.q == 100 * index && target.hop == 7 * index)
            #expect(target.flags == (index == 1 ? [.strictNextHop, .replacesURI] : .recordRoute))
        }
        for fork in [UInt8(0), 4, 8, 63, 255] { #expect(read(fork, bytes) == nil) }
    }

    /// Bytes that another worker is writing anew: nil or a target inside, never a trap.
    @Test func cutOrForeignBytesAreHarmless() {
        let bytes = Self.written()
        for count in bytes.indices {
            let part = Array(bytes[..<count])
            for fork in [UInt8(0), 5, 6, 7, 255] {
                if let placed = read(fork, part) { #expect(placed.name.upperBound <= count) }
            }
        }
        for fill in [UInt8(0), 0x80, 0xFF] {
            let part = [UInt8](repeating: fill, count: 70000)
            for fork in [UInt8(0), 1, 255] {
                if let placed = read(fork, part) { #expect(placed.name.upperBound <= 70000) }
            }
        }
    }

    @Test func headsHaveTheSizesThatAreReserved() {
        #expect(MemoryLayout<TargetSet.Head>.size == TargetSet.headBytes)
        #expect(MemoryLayout<ForkTarget>.size == ForkTarget.headBytes)
        #expect(MemoryLayout<ServerRecord>.size <= TransactionTable.recordBytes)
        #expect(MemoryLayout<ForkRecord>.size <= TransactionTable.recordBytes)
        #expect(MemoryLayout<WaitingRecord>.size <= TransactionTable.recordBytes)
        #expect(MemoryLayout<Endpoint>.size == 72 && MemoryLayout<Candidate>.size == Candidate.bytes)
        #expect(MemoryLayout<OutboxEntry>.size == OutboxEntry.bytes)
    }
}
