import Testing

@testable import Syntax

private func request(_ body: String = "", _ header: String = "", length: String? = nil) -> String {
    "OPTIONS sip:bob@biloxi.com SIP/2.0\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\n"
        + "To: <sip:c@d>\nCall-ID: 1@h\nCSeq: 1 OPTIONS\n\(header)Content-Length: \(length ?? "\(wire(body).count)")\n\n"
        + body
}

private func request(without line: String, _ body: String = "") -> String {
    request(body).replacing(line, with: "")
}

private let limits = StreamFramer.Limits(header: 4096, message: 8192)

/// What a stream gives, however it is cut: messages as text, "ping" for each keep-alive, and what ends it.
private func frame(_ bytes: [UInt8], cuts: [Int] = [], _ limits: StreamFramer.Limits = limits) -> [String] {
    var framer = StreamFramer()
    var found: [String] = []
    var from = 0
    for cut in cuts + [bytes.count] {
        while true {
            let step = framer.next(bytes.span.extracting(from..<cut), limits)
            var again = framer
            let repeated = again.next(bytes.span.extracting(from..<cut), limits)
            #expect(repeated == step || step.isBlank)
            switch step {
            case .more: break
            case .blank(let count, let pings):
                #expect(count > 0)
                found += Array(repeating: "ping", count: pings)
                from += count
                continue
            case .message(let count):
                found.append(String(decoding: bytes[from..<from + count], as: UTF8.self))
                framer.begin()
                from += count
                continue
            case .faulty(let fault, let readable):
                #expect(readable <= cut - from)
                return found + ["\(fault) \(readable)"]
            case .notSIP: return found + ["notSIP"]
            }
            break
        }
    }
    return from == bytes.count ? found : found + ["+\(bytes.count - from)"]
}

extension StreamFramer.Found {
    /// It counts what it has seen, so it is not told twice.
    fileprivate var isBlank: Bool { if case .blank = self { true } else { false } }
}

private func text(_ message: String) -> String { String(decoding: wire(message), as: UTF8.self) }

@Suite struct StreamFramerTests {
    @Test func findsMessagesBehindOneAnother() {
        let first = request("v=0\r\n")
        let second = request()
        #expect(frame(wire(first + second + first)) == [text(first), text(second), text(first)])
        #expect(frame(wire(first + "OPTIONS")) == [text(first), "+7"])
    }

    /// A stream with everything in it, cut at each place and at each two.
    @Test func findsTheSameHoweverItIsCut() {
        let parts = [
            "\n", request("body"), "\n\n", request("", "X: a\n b\n"), "\n\n\n\n\n",
            request("\n\nv=0\nOPTIONS x SIP/2.0\n\n"),
        ]
        let bytes = wire(parts.joined())
        let whole = frame(bytes)
        #expect(whole == [text(parts[1]), "ping", text(parts[3]), "ping", "ping", text(parts[5])])
        #expect(frame(bytes, cuts: Array(1..<bytes.count)) == whole)
        for cut in 0...bytes.count { #expect(frame(bytes, cuts: [cut]) == whole) }
        for cut in stride(from: 0, to: bytes.count, by: 7) {
            for second in stride(from: cut, to: bytes.count, by: 11) {
                #expect(frame(bytes, cuts: [cut, second]) == whole)
            }
        }
    }

    @Test(arguments: [
        "Content-Length: 3\n", "l: 3\n", "L:3\n", "CONTENT-LENGTH \t:  3  \n", "content-length:\n 3\n",
        "l: 003\n", "X: a\n\tl: 9\nl: 3\n", "l: 3\nContent-Length: 3\n", "X: \"\nl: 3\n",
    ])
    func readsTheLengthInEveryForm(line: String) {
        let message = request(without: "Content-Length: 3\n", "abc").replacing(
            "CSeq: 1 OPTIONS\n", with: "CSeq: 1 OPTIONS\n" + line)
        #expect(frame(wire(message + request())) == [text(message), text(request())])
    }

    @Test(arguments: [
        (request(without: "Content-Length: 0\n"), Fault.missingContentLength),
        (
            request(without: "Content-Length: 0\n").replacing(
                "Call-ID", with: "X: a\n Content-Length: 0\nCall-ID"),
            .missingContentLength
        ),
        (request("", "l: 1\n"), .duplicateContentLength),
        (request("", length: "five"), .badContentLength), (request("", length: "-1"), .badContentLength),
        (request("", length: ""), .badContentLength), (request("", length: "1 2"), .badContentLength),
        (request("", length: "1, 1"), .badContentLength),
        (request("", length: "18446744073709551616"), .badContentLength),
        (request("", length: "8192"), .messageTooLarge),
        (request("", length: "18446744073709551615"), .messageTooLarge),
        (request("", length: "9223372036854775808"), .messageTooLarge),
    ])
    func tellsWhatMakesTheEndUnknown(message: String, fault: Fault) {
        let bytes = wire(message)
        for cuts in [[], Array(1..<bytes.count)] {
            #expect(frame(bytes + wire(request()), cuts: cuts) == ["\(fault) \(bytes.count)"])
        }
    }

    /// A message of just the most bytes passes, one byte more does not.
    @Test func keepsTheLimits() {
        let head = wire(request("", length: "1234")).count
        let body = String(repeating: "a", count: 1234)
        let message = request(body)
        let exact = StreamFramer.Limits(header: head, message: head + 1234)
        #expect(frame(wire(message), exact) == [text(message)])
        let tight = StreamFramer.Limits(header: head, message: head + 1233)
        #expect(frame(wire(message), tight) == ["messageTooLarge \(head)"])
        let narrow = StreamFramer.Limits(header: head - 1, message: 8192)
        for cuts in [[], Array(1..<head)] {
            #expect(frame(wire(message), cuts: cuts, narrow) == ["headerTooLarge \(head - 1)"])
        }
        #expect(StreamFramer.Limits(header: 1 << 20, message: 1 << 20).header == 65_535)
    }

    @Test func endlessHeadersEnd() {
        let line = wire(request().replacing("\n\n", with: "\nX: ")) + Array(repeating: 0x61, count: 9000)
        #expect(frame(line) == ["headerTooLarge 4096"])
        #expect(
            frame(Array("OPTIONS sip:".utf8) + Array(repeating: 0x61, count: 9000)) == ["headerTooLarge 4096"]
        )
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\u{16}\u{3}\u{1}", "\0", "[]{}", " OPTIONS sip:a@b SIP/2.0\r\n",
        "\"OPTIONS", "OPTIONS sip:a@b\r\n", "v=0\r\n", "OPTIONS sip:a@b XIP/2.0\n",
    ])
    func knowsWhatIsNoSIP(garbage: String) {
        #expect(frame(Array(garbage.utf8)) == ["notSIP"])
        let behind = wire(request()) + Array(garbage.utf8)
        for cuts in [[], Array(1..<behind.count)] {
            #expect(frame(behind, cuts: cuts) == [text(request()), "notSIP"])
        }
    }

    /// Two readers might see different ends of it.
    @Test(arguments: [
        ("\r\n", "\n"), ("1@h\r\n", "1@h\n"), ("1@h", "1\r@h"), ("2.0\r\n", "2.0\r"), ("\r\n\r\n", "\r\n\n"),
    ])
    func lineEndsAreBothCharacters(place: String, instead: String) {
        let bytes = Array(text(request()).replacing(place, with: instead).utf8)
        let whole = ["bareLineEnd \(bytes.count)"]
        #expect(frame(bytes + wire(request())) == whole)
        #expect(frame(bytes + wire(request()), cuts: Array(1..<bytes.count + 3)) == whole)
    }

    /// What is framed as a message is one to the scanner as well, and ends where that says.
    @Test func agreesWithTheScanner() {
        for message in [
            request("v=0\r\n"), request("", "X:\n\n".replacing("\n\n", with: "\n")), request("\n\n"),
        ] {
            let bytes = wire(message)
            #expect(frame(bytes) == [text(message)])
            let scanned = Scanned(bytes)
            #expect(scanned.result == .complete && Int(scanned.index.end) == bytes.count)
        }
    }

    @Test func countsKeepAlives() {
        var framer = StreamFramer()
        let cases: [(String, Int)] = [
            ("\r", 0), ("\n\r", 0), ("\n", 1), ("\r\n", 0), ("\n\r\n\r\n", 1), ("\r\r\n\r\n", 1),
        ]
        for (bytes, expected) in cases {
            let found = framer.next(Array(bytes.utf8).span, limits)
            #expect(found == .blank(count: bytes.utf8.count, pings: expected))
        }
    }

    /// A header that comes byte by byte is looked at once.
    @Test func slowPeersCostLittle() {
        var all = wire(request().replacing("\n\n", with: "\nX: "))
        all += Array(repeating: 0x61, count: 60_000)
        let wide = StreamFramer.Limits(header: 65_535, message: 65_535)
        let time = ContinuousClock().measure {
            var framer = StreamFramer()
            for count in 1...all.count {
                let found = framer.next(all.span.extracting(0..<count), wide)
                if found != .more { Issue.record("\(found)") }
            }
        }
        // Looking at all of it each time would take a thousand times as long.
        #expect(time < .seconds(10))
    }
}
