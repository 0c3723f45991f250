import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax
import Testing

@testable import Master

/// Which messages a filter means, and what the master writes of them.
struct TraceTests {
    private let line = unsafe ByteWriter(
        unsafe: UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8), capacity: 4096)

    private static func request(
        uri: String = "sip:bob@example.org", from: String = "<sip:alice@example.org>;tag=1",
        to: String = "<sip:bob@example.org>", callID: String = "a84b4c@pc33"
    ) -> [UInt8] {
        Array(
            """
            INVITE \(uri) SIP/2.0\r
            Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bK1\r
            From: \(from)\r
            To: \(to)\r
            Call-ID: \(callID)\r
            CSeq: 1 INVITE\r
            \r\n
            """.utf8)
    }

    private func matches(
        _ filter: String, _ bytes: [UInt8] = TraceTests.request(), peer: String = "192.0.2.4"
    ) throws -> Bool {
        var index = MessageIndex()
        _ = Scanner.scan(bytes.span, into: &index)
        return try TraceFilter(Array(filter.utf8)).matches(
            Message(bytes.span, index), from: SocketAddress(host: peer, port: 5070)!, line)
    }

    @Test(arguments: [
        "call-id=a84b4c@pc33", "a84b4c@pc33", "CALL-ID=a84b4c@pc33", "user=alice", "user=bob", "alice", "bob",
        "User=%61lice", "user=alice@example.org", "alice@example.org", "bob@EXAMPLE.org",
        "sip:bob@example.org",
        "user=sip:bob@example.org", "source=192.0.2.4", "192.0.2.4", "source=192.0.2.0/24", "192.0.2.0/24",
        "0.0.0.0/0",
    ])
    func finds(filter: String) throws { #expect(try matches(filter), "\(filter)") }

    @Test(arguments: [
        "call-id=a84b4c", "call-id=A84B4C@pc33", "a84b4c", "user=Alice", "user=a84b4c@pc33", "carol",
        "alice@example.com", "user=bob@example", "source=192.0.2.5", "192.0.3.0/24", "2001:db8::4",
        "z9hG4bK1",
        "call-id=192.0.2.4", "user=192.0.2.4",
    ])
    func passesOver(filter: String) throws { #expect(try !matches(filter), "\(filter)") }

    @Test func knowsUsersWhereverTheyStand() throws {
        let other = "<sip:x@h>"
        for bytes in [
            TraceTests.request(uri: "sip:carol@192.0.2.9:5070;ob", from: other, to: other),
            TraceTests.request(uri: "sips:carol@h", from: other, to: other),
            TraceTests.request(uri: "tel:carol", from: other, to: other),
            TraceTests.request(from: "\"C, <x>\" <sip:carol:secret@h;x=y>;tag=1", to: other),
            TraceTests.request(from: other, to: "sip:car%6Fl@h;tag=2"),
        ] { #expect(try matches("carol", bytes)) }
        for bytes in [
            TraceTests.request(uri: "sip:h;user=carol", from: other, to: other),
            TraceTests.request(from: "\"carol\" <sip:x@h>", to: other),
            TraceTests.request(from: "carol", to: other),
        ] { #expect(try !matches("carol", bytes)) }
        #expect(try matches("+49-30", TraceTests.request(uri: "sip:+49-30@h")))
        #expect(try matches("+4930", TraceTests.request(uri: "tel:+49-30")))
        #expect(try matches("tel:+49-30", TraceTests.request(uri: "tel:+4930")))
        #expect(try matches("a@[2001:DB8::1]", TraceTests.request(uri: "sip:a@[2001:db8:0::1]:5070")))
    }

    @Test func knowsSources() throws {
        #expect(try matches("2001:db8::4", peer: "2001:db8::4"))
        #expect(try matches("[2001:db8::4]", peer: "2001:db8::4"))
        #expect(try matches("source=2001:db8::/32", peer: "2001:db8:7::4"))
        #expect(try matches("192.0.2.4", peer: "::ffff:192.0.2.4"))
    }

    @Test(
        arguments: [
            ("", .empty), ("call-id=", .empty), ("user=", .badUser), ("user=@h", .badUser),
            ("user=a<b", .badUser), ("source=", .badSource), ("source=alice", .badSource),
            ("source=192.0.2.1/24", .badSource), ("source=192.0.2.0/33", .badSource), ("a b", .badCharacter),
            ("1.2.3.4/99", .badSource), ("192.0.2.4/", .badSource), ("@@x", .badUser), ("a@b@c", .badUser),
            ("a\u{7}", .badCharacter), (String(repeating: "x", count: 257), .tooLong),
        ] as [(String, TraceFilter.Fault)])
    func refuses(filter: String, fault: TraceFilter.Fault) {
        #expect(throws: fault) { _ = try TraceFilter(Array(filter.utf8)) }
    }

    /// Any text is a Call-ID, whatever else it is not, unless it is clearly a mistake.
    @Test func takesAnyCallID() throws {
        for callID in ["a<b>", "\"x\"@[", "@", "a/b", "call", "%zz@y"] {
            #expect(try matches(callID, TraceTests.request(callID: callID)), "\(callID)")
        }
    }

    // MARK: entries

    /// The fields of the entries in the master's ring.
    private func entries(_ state: SharedState) -> [[LogField: String]] {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        defer { unsafe memory.deallocate() }
        let ring = state.log(.master)
        var found: [[LogField: String]] = []
        while !ring.isEmpty {
            var writer = unsafe ByteWriter(memory)
            _ = ring.peek(into: &writer)
            ring.drop()
            let bytes = writer.written
            guard bytes[0] == LogEvent.messageTraced.rawValue else { continue }
            var fields: [LogField: String] = [:]
            var at = 10
            while at < bytes.count {
                let count = Int(bytes[at + 1]) | Int(bytes[at + 2]) << 8 | Int(bytes[at + 3]) << 16
                fields[LogField(rawValue: bytes[at])!] = String(
                    decoding: (at + 4..<at + 4 + count).map { bytes[$0] }, as: UTF8.self)
                at += 4 + count
            }
            found.append(fields)
        }
        return found
    }

    @Test func writesWhatComesAndGoesByConnections() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options("before"))
        bench.settle()
        bench.reception.trace.begin(try TraceFilter(Array("wanted".utf8)))
        peer.send(options("other") + options("wanted"))
        let handed = bench.handed(3)
        try #require(handed.count == 3)
        let worker = handed.first { $0.text.contains("wanted") }!.worker
        for callID in ["other", "wanted"] {
            bench.trace(
                "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h.example.com;branch=z9hG4bK1\r\nCall-ID: \(callID)\r\n"
                    + "From: <sip:a@h>\r\nTo: <sip:b@h>\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
                to: bench.endpoint(peer.address))
        }
        let entries = entries(bench.state)
        try #require(entries.count == 2)
        let name = "tcp:\(peer.address.text)"
        #expect(
            entries[0] == [
                .message: "in OPTIONS sip:bob@biloxi.com from \(name) to worker \(worker)", .callID: "wanted",
                .method: "OPTIONS", .from: "<sip:alice@atlanta.com>;tag=1", .to: "<sip:bob@biloxi.com>",
                .branch: "z9hG4bK1", .peer: name, .direction: "in", .handler: "worker \(worker)",
                .rawMessage: options("wanted"),
            ])
        #expect(entries[1][.message] == "out 200 OK to \(name) by worker 1")
        #expect(entries[1][.status] == "200" && entries[1][.method] == "OPTIONS")
        #expect(entries[1][.handler] == "worker 1" && entries[1][.error] == nil)
        #expect(bench.state.trace.calls == 1)
    }

    @Test func saysWhatCouldNotBeSent() throws {
        let bench = try EdgeBench()
        bench.reception.trace.begin(try TraceFilter(Array("call-id=1".utf8)))
        bench.state.trace.note(Array("1".utf8).span)
        let nowhere = SocketAddress(host: "2001:db8::1", port: 5060)!
        bench.trace(options("1"), to: bench.endpoint(nowhere))
        let entry = try #require(entries(bench.state).first)
        #expect(entry[.error] == "97" && entry[.direction] == "out")
        #expect(
            entry[.message]!.hasSuffix(" by worker 1: not sent: Address family not supported by protocol"))
    }

    @Test func costsNothingWhileItIsOff() throws {
        let bench = try EdgeBench()
        let peer = Socket(to: bench.listener.address)
        peer.send(options("1"))
        _ = bench.handed(1)
        bench.trace(options("1"), to: bench.endpoint(peer.address))
        #expect(entries(bench.state).isEmpty && bench.state.trace.calls == 0)
    }
}

extension EdgeBench {
    /// As the master sends a message of worker 1.
    func trace(_ text: String, to endpoint: Endpoint) {
        let bytes = Array(text.utf8)
        let sent = connections.send(bytes.span, to: endpoint, nil, now)
        if reception.trace.isOn { reception.trace.noteSent(bytes.span, endpoint, by: .worker(1), sent) }
    }
}
