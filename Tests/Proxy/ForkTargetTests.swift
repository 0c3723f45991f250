import Platform
import Testing

@testable import Proxy

@Suite struct ForkTargetTests {
    private static let uris = ["sip:a@h", "", "sip:a-longer-one@h;p=1"]

    // Spans cannot go through the macros of the tests.
    private func read(_ fork: UInt8, _ bytes: [UInt8]) -> (target: ForkTarget, uri: Range<Int>)? {
        ForkTarget.read(fork, in: bytes.span)
    }

    private static func written() -> [UInt8] {
        Proxy.text { writer in
            for (index, uri) in uris.enumerated() {
                var target = ForkTarget()
                target.peer = SocketAddress(ipv4: 0xC000_0201, port: UInt16(5060 + index))
                target.source = SocketAddress(host: "2001:db8::7", port: 4711)!
                target.listener = UInt16(index)
                target.flags = index == 1 ? [.strictNextHop, .replacesURI] : .recordRoute
                target.routesToDrop = UInt16(index)
                target.write(uri: Array(uri.utf8).span, to: &writer)
            }
        }
    }

    @Test func eachIsFound() throws {
        let bytes = Self.written()
        for (index, uri) in Self.uris.enumerated() {
            let (target, range) = try #require(read(UInt8(index), bytes))
            #expect(String(decoding: bytes[range], as: UTF8.self) == uri)
            #expect(target.peer.port == UInt16(5060 + index) && target.source.text == "[2001:db8::7]:4711")
            #expect(Int(target.listener) == index && Int(target.routesToDrop) == index)
            #expect(target.flags == (index == 1 ? [.strictNextHop, .replacesURI] : .recordRoute))
        }
        for fork in [UInt8(3), 63, 255] { #expect(read(fork, bytes) == nil) }
    }

    /// Bytes that another worker is writing anew: nil or a target inside, never a trap.
    @Test func cutOrForeignBytesAreHarmless() {
        let bytes = Self.written()
        for count in bytes.indices {
            let part = Array(bytes[..<count])
            for fork in [UInt8(0), 1, 2, 255] {
                if let (_, range) = ForkTarget.read(fork, in: part.span) {
                    #expect(range.upperBound <= count)
                }
            }
        }
        for fill in [UInt8(0), 0x80, 0xFF] {
            let part = [UInt8](repeating: fill, count: 70000)
            for fork in [UInt8(0), 1, 255] {
                if let (_, range) = ForkTarget.read(fork, in: part.span) {
                    #expect(range.upperBound <= 70000)
                }
            }
        }
    }
}
