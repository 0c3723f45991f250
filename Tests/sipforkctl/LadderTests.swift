import Platform
import Proxy
import SharedMemory
import SharedState
import Testing

@testable import sipforkctl

/// A call as a picture: pure functions of the journal's entries.
struct LadderTests {
    private static let alice = "udp:192.0.2.4:5060"
    private static let bob = "udp:192.0.2.7:5060"
    private static let desk = "tcp:192.0.2.8:49152"

    private static func message(
        _ microseconds: UInt64, _ kind: LadderEntry.Kind, _ peer: String, _ what: String, _ process: String,
        fork: LadderEntry.Fork? = nil, method: String = "INVITE"
    ) -> LadderEntry {
        var entry = LadderEntry()
        entry.kind = kind
        entry.time = 1_700_000_000_000_000 + microseconds
        entry.peer = peer
        entry.process = process
        entry.fork = fork
        entry.event = "message-traced"
        entry.from = "\"Alice\" <sip:alice@example.org>;tag=1928301774"
        entry.to = "<sip:bob@example.org>"
        entry.raw = Array("\(what) \(method)".utf8)
        if let status = Int(what.prefix(3)) {
            entry.status = status
            entry.reason = String(what.dropFirst(4))
            entry.method = method
        } else {
            entry.method = what
        }
        return entry
    }

    private static func note(_ microseconds: UInt64, _ text: String) -> LadderEntry {
        var entry = LadderEntry()
        entry.time = 1_700_000_000_000_000 + microseconds
        entry.event = "call-failed"
        entry.process = "worker 1"
        entry.message = text
        return entry
    }

    /// Two phones, one of them by TCP; one does not answer, the other refuses.
    private static let call: [LadderEntry] = {
        let first = LadderEntry.Fork(index: 0)
        let second = LadderEntry.Fork(index: 1)
        var entries = [
            message(0, .incoming, alice, "INVITE", "worker 1"),
            message(1200, .outgoing, alice, "100 Trying", "worker 1"),
            message(1400, .outgoing, bob, "INVITE", "worker 1", fork: first),
            message(1600, .outgoing, desk, "INVITE", "worker 0", fork: second),
            message(2000, .incoming, desk, "180 Ringing", "worker 0", fork: second),
            message(2500, .outgoing, alice, "180 Ringing", "worker 1"),
            message(502_500, .outgoing, bob, "INVITE", "worker 1", fork: first),
            message(
                3_002_500, .incoming, desk, "407 Proxy Authentication Required", "worker 0", fork: second),
            note(
                3_002_600,
                "call failed: 407 Proxy Authentication Required for sip:bob@example.org and\u{1B} more of it"),
            message(3_002_700, .incoming, bob, "200 OK", "", method: "BYE"),
        ]
        entries[6].error = 111
        return entries
    }()

    /// The call of sipforkctl(8).
    static let example: LadderView = {
        let first = LadderEntry.Fork(index: 0)
        let second = LadderEntry.Fork(index: 1)
        let desk = "tcp:192.0.2.8:5060"
        var view = LadderView(
            callID: "843817637684230@998sdasdh09",
            [
                message(0, .incoming, alice, "INVITE", "worker 1"),
                message(1100, .outgoing, bob, "INVITE", "worker 1", fork: first),
                message(1300, .outgoing, desk, "INVITE", "worker 0", fork: second),
                message(32000, .incoming, bob, "180 Ringing", "worker 1", fork: first),
                message(32200, .outgoing, alice, "180 Ringing", "worker 1"),
                message(45000, .incoming, desk, "603 Decline", "worker 0", fork: second),
                message(45100, .outgoing, desk, "ACK", "worker 0", fork: second),
                message(45200, .outgoing, bob, "CANCEL", "worker 1", fork: first),
                message(46900, .incoming, bob, "200 OK", "worker 1", fork: first, method: "CANCEL"),
                message(47000, .incoming, bob, "487 Request Terminated", "worker 1", fork: first),
                message(47200, .outgoing, bob, "ACK", "worker 1", fork: first),
                note(47300, "call failed: 603 Decline for sip:bob@example.org"),
                message(47400, .outgoing, alice, "603 Decline", "worker 1"),
                message(52100, .incoming, alice, "ACK", "worker 1"),
            ])
        view.style = LadderStyle(width: 80, isUnicode: false)
        view.start = "2026-11-22 20:15:02 CET"
        return view
    }()

    private func picture(_ entries: [LadderEntry], _ width: Int, isUnicode: Bool = true) -> String {
        var view = LadderView(callID: "a84b4c76e66710@pc33.atlanta.com", entries)
        view.style = LadderStyle(width: width, isUnicode: isUnicode)
        view.start = "2026-11-22 20:15:02 UTC"
        return view.text
    }

    @Test func drawsForksInEightyColumns() {
        #expect(
            picture(LadderTests.call, 80) == """
                call  a84b4c76e66710@pc33.atlanta.com
                from  "Alice" <sip:alice@example.org>;tag=1928301774
                to    <sip:bob@example.org>
                at    2026-11-22 20:15:02 UTC

                       udp:192.0.2.4    sipfork    udp:192.0.2.7 tcp:192.0.2.8
                           :5060                       :5060        :49152
                0.000        │── INVITE ──▶│             │             │        worker 1
                0.001        │◀─── 100 ────│             │             │        worker 1
                0.001        │             │── INVITE ──▶│             │        worker 1, fork 0
                0.001        │             │───────── INVITE ─────────▶│        worker 0, fork 1
                0.002        │             │◀────── 180 Ringing ───────│        worker 0, fork 1
                0.002        │◀─── 180 ────│             │             │        worker 1
                0.502        │             │╌╌ INVITE ╌╌✗│             │        worker 1, fork 0
                      * not sent: Connection refused
                3.002        │             │◀ 407 Proxy Authenticati… ─│        worker 0, fork 1
                3.002 * call failed: 407 Proxy Authentication Required for sip:bob@example.org
                        and? more of it
                3.002        │             │◀ 200 (BYE) ─│             │        dropped

                """)
    }

    @Test func drawsInASCII() {
        #expect(
            picture(LadderTests.call, 100, isUnicode: false) == """
                call  a84b4c76e66710@pc33.atlanta.com
                from  "Alice" <sip:alice@example.org>;tag=1928301774
                to    <sip:bob@example.org>
                at    2026-11-22 20:15:02 UTC

                      udp:192.0.2.4:5060       sipfork      udp:192.0.2.7:5060    tcp:192.0.2.8
                                                                                     :49152
                0.000          |----- INVITE ---->|                  |                  |           worker 1
                0.001          |<-- 100 Trying ---|                  |                  |           worker 1
                0.001          |                  |----- INVITE ---->|                  |           worker 1, fork 0
                0.001          |                  |-------------- INVITE -------------->|           worker 0, fork 1
                0.002          |                  |<----------- 180 Ringing ------------|           worker 0, fork 1
                0.002          |<-- 180 Ringing --|                  |                  |           worker 1
                0.502          |                  |.. INVITE again .x|                  |           worker 1, fork 0
                      * not sent: Connection refused
                3.002          |                  |< 407 Proxy Authentication Required -|           worker 0, fork 1
                3.002 * call failed: 407 Proxy Authentication Required for sip:bob@example.org and? more of it
                3.002          |                  |<- 200 OK (BYE) --|                  |           dropped

                """)
    }

    @Test func listsWhereThereIsNoRoom() {
        #expect(
            picture(LadderTests.call, 60) == """
                call  a84b4c76e66710@pc33.atlanta.com
                from  "Alice" <sip:alice@example.org>;tag=1928301774
                to    <sip:bob@example.org>
                at    2026-11-22 20:15:02 UTC

                0.000 udp:192.0.2.4:5060  ──▶ INVITE        worker 1
                0.001 udp:192.0.2.4:5060  ◀── 100 Trying    worker 1
                0.001 udp:192.0.2.7:5060  ◀── INVITE        worker 1, fork 0
                0.001 tcp:192.0.2.8:49152 ◀── INVITE        worker 0, fork 1
                0.002 tcp:192.0.2.8:49152 ──▶ 180 Ringing   worker 0, fork 1
                0.002 udp:192.0.2.4:5060  ◀── 180 Ringing   worker 1
                0.502 udp:192.0.2.7:5060  ✗╌╌ INVITE again  worker 1, fork 0
                      * not sent: Connection refused
                3.002 tcp:192.0.2.8:49152 ──▶ 407 Proxy A…  worker 0, fork 1
                3.002 * call failed: 407 Proxy Authentication Required for
                        sip:bob@example.org and? more of it
                3.002 udp:192.0.2.7:5060  ──▶ 200 OK (BYE)  dropped

                """)
    }

    /// No line is longer than the terminal, whatever the call.
    @Test func staysWithinTheWidth() {
        let words = [
            "INVITE", "180 Ringing", "484 Address Incomplete", "PRACK", "x",
            "999 " + String(repeating: "y", count: 90),
        ]
        var random = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let peers = (0..<Int.random(in: 1...9, using: &random)).map {
                Bool.random(using: &random)
                    ? "udp:192.0.2.\($0):5060" : "tcp:[2001:db8:1:2:3:4:5:\($0)]:65535"
            }
            let entries = (0..<Int.random(in: 1...12, using: &random)).map { number in
                LadderTests.message(
                    UInt64(number) * 1000, Bool.random(using: &random) ? .incoming : .outgoing,
                    peers.randomElement(using: &random)!, words.randomElement(using: &random)!,
                    "worker \(number)", fork: .init(index: number, attempt: number / 3))
            }
            let width = Int.random(in: 80...200, using: &random)
            for line in picture(entries, width).split(separator: "\n") {
                #expect(line.count <= width, "\(line)")
            }
        }
    }

    @Test func putsEntriesInOrderAndMarksWhatCameAgain() {
        let first = LadderTests.message(10, .incoming, LadderTests.alice, "INVITE", "worker 0")
        let again = LadderTests.message(30, .incoming, LadderTests.alice, "INVITE", "worker 0")
        let elsewhere = LadderTests.message(20, .incoming, LadderTests.bob, "INVITE", "worker 0")
        // One that the logger wrote twice, since it was killed in between.
        let view = LadderView(callID: "x", [again, first, first, elsewhere])
        #expect(view.entries.map(\.time) == [first, elsewhere, again].map(\.time))
        #expect(view.entries.map(\.isAgain) == [false, false, true])
    }

    @Test func readsFieldsOfTheJournal() throws {
        let keys = Keys(memory: try Arena(name: "keys", size: Keys.bytes).memory)
        let branch = Branch(
            TransactionReference(worker: 1, cell: 7, generation: 2), fork: 3, attempt: 1, keys: keys)
        let text = unsafe withUnsafeTemporaryAllocation(byteCount: 100, alignment: 1) { buffer in
            var writer = unsafe ByteWriter(buffer)
            branch.write(to: &writer)
            return unsafe String(decoding: buffer[..<writer.count], as: UTF8.self)
        }
        var fields = [
            "SIPFORK_TIME": "1700000000123456", "SIPFORK_EVENT": "message-traced",
            "SIPFORK_PROCESS": "master",
            "SIPFORK_HANDLER": "worker 0", "SIPFORK_DIRECTION": "in", "SIP_STATUS": "486",
            "SIP_METHOD": "INVITE",
            "SIP_PEER": LadderTests.bob, "SIP_BRANCH": text, "SIP_FROM": "f", "SIP_TO": "t",
            "MESSAGE": "in 486",
            "SIP_MESSAGE": "SIP/2.0 486 Busy Here\r\nVia: x\r\n\r\n",
        ]
        func entry() -> LadderEntry {
            LadderEntry(journalTime: 5) { name in fields[name].map { Array($0.utf8) } }
        }
        let response = entry()
        #expect(response.kind == .incoming && response.time == 1_700_000_000_123_456)
        #expect(response.process == "worker 0" && response.fork == .init(index: 3, attempt: 1))
        #expect(response.status == 486 && response.reason == "Busy Here" && response.error == nil)
        #expect(
            LadderView(callID: "c", [response]).json.text
                == #"[{"time_us":1700000000123456,"event":"message-traced","direction":"in","#
                + #""peer":"udp:192.0.2.7:5060","process":"worker 0","fork":3,"attempt":1,"method":"INVITE","#
                + #""status":486,"message":"in 486","errno":null,"retransmission":false,"#
                + #""sip_message":"SIP/2.0 486 Busy Here\u000d\nVia: x\u000d\n\u000d\n"}]"#)
        // In a response of ours the top Via is the caller's, whatever it looks like; in a request it is ours.
        fields["SIPFORK_DIRECTION"] = "out"
        #expect(entry().fork == nil && entry().kind == .outgoing)
        fields["SIP_STATUS"] = nil
        fields["ERRNO"] = "111"
        #expect(entry().fork?.index == 3 && entry().error == 111)
        fields["SIPFORK_DIRECTION"] = "in"
        fields["SIPFORK_HANDLER"] = nil
        #expect(entry().fork == nil && entry().process == "")
        fields["SIPFORK_EVENT"] = "call-failed"
        fields["SIPFORK_TIME"] = nil
        #expect(entry().kind == .note && entry().process == "master" && entry().time == 5)
        fields = [:]
        #expect(entry().kind == .note)
    }

    @Test func saysWhyNothingCanBeRead() {
        #expect(
            throws: ControlFailure(
                message: "/nonexistent/x.journal cannot be read: No such file or directory")
        ) {
            _ = try LadderView(reading: "x", files: ["/nonexistent/x.journal"])
        }
    }

    // MARK: trace

    @Test func showsWhatIsTraced() throws {
        let state = try ReadingTests.arena()
        #expect(TraceView(reading: state).text == "tracing is off\n")
        #expect(TraceView(reading: state).json.text == #"{"filter":null,"since":null,"calls":0}"#)
        state.trace.begin(Array("user=al\u{1B}ice".utf8), since: 1_700_000_000)
        state.trace.note(Array("a".utf8).span)
        let view = TraceView(reading: state)
        #expect(view.json.text == #"{"filter":"user=al\u001bice","since":1700000000,"calls":1}"#)
        #expect(
            view.text.hasPrefix("tracing user=al?ice since 2023-11-1")
                && view.text.hasSuffix(": 1 call so far\n"))
    }

    @Test(arguments: [
        ["trace"], ["trace", "--json"], ["trace", "on", "alice"],
        ["trace", "on", "call-id=x", "--socket", "/x"],
        ["trace", "off"], ["ladder", "x"], ["ladder", "x", "--file", "a", "--file", "b", "--json"],
    ])
    func arguments(_ arguments: [String]) {
        #expect(throws: Never.self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }

    @Test(arguments: [
        ["trace", "on"], ["trace", "on", ""], ["trace", "on", "a b"], ["trace", "on", "a\n"],
        ["trace", "alice"],
        ["trace", "off", "x"], ["trace", "on", String(repeating: "x", count: 257)], ["ladder"],
        ["ladder", ""],
        ["ladder", "x", "y"],
    ])
    func refusedArguments(_ arguments: [String]) {
        #expect(throws: (any Error).self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }
}
