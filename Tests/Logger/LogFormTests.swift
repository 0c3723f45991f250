import Platform
import SharedState
import Testing

@testable import Logger

/// An entry as a process makes it, and what the logger makes of it.
struct FormProbe {
    static func bytes(
        _ event: LogEvent, _ priority: LogPriority, time: UInt64 = 0, _ fields: [(LogField, [UInt8])]
    ) -> [UInt8] {
        var bytes = [event.rawValue, priority.rawValue]
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: time >> (8 * $0)) }
        for (field, value) in fields {
            let length = (0..<3).map { UInt8(truncatingIfNeeded: value.count >> (8 * $0)) }
            bytes += [field.rawValue] + length + value
        }
        return bytes
    }

    /// All that `body` formed, and each field by itself.
    private static func formed(_ body: (inout LogForm) -> Void) -> (text: String, fields: [[UInt8]]) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var form = unsafe LogForm(into: ByteWriter(buffer))
        body(&form)
        let bytes = unsafe Array(buffer[0..<form.count])
        return (
            String(decoding: bytes, as: UTF8.self), (0..<form.fieldCount).map { Array(bytes[form.field($0)]) }
        )
    }

    static func line(_ bytes: [UInt8]) -> String {
        formed { $0.addLine(of: LogRecord(bytes.span)) }.text
    }

    static func fields(_ bytes: [UInt8], of process: ProcessID) -> [[UInt8]] {
        formed { $0.addFields(of: LogRecord(bytes.span), process) }.fields
    }

    static func dropped(_ count: UInt64, of process: ProcessID) -> (line: String, fields: [[UInt8]]) {
        (
            formed { $0.addDroppedLine(count, process) }.text,
            formed { $0.addDroppedFields(count, process) }.fields
        )
    }
}

struct LogFormTests {
    static let call: [(LogField, [UInt8])] = [
        (.message, Array("call failed: 486 Busy Here".utf8)), (.callID, Array("a84b4c76e66710@pc33".utf8)),
        (.method, Array("INVITE".utf8)), (.status, Array("486".utf8)),
        (.from, Array("<sip:a@example.org>;tag=1".utf8)),
        (.to, Array("<sip:b@example.org>".utf8)), (.branch, Array("z9hG4bK74bf9".utf8)),
        (.peer, Array("udp:192.0.2.1:5060".utf8)),
    ]

    @Test func namesTheFieldsOfTheJournal() {
        let fields = FormProbe.fields(FormProbe.bytes(.callFailed, .info, LogFormTests.call), of: .worker(12))
        #expect(
            fields.map { String(decoding: $0, as: UTF8.self) } == [
                "PRIORITY=6", "SYSLOG_IDENTIFIER=sipfork", "SIPFORK_PROCESS=worker 12",
                "MESSAGE_ID=dd057f1e5b3c4efb84f1c817ac592504", "SIPFORK_EVENT=call-failed",
                "MESSAGE=call failed: 486 Busy Here", "SIP_CALL_ID=a84b4c76e66710@pc33", "SIP_METHOD=INVITE",
                "SIP_STATUS=486", "SIP_FROM=<sip:a@example.org>;tag=1", "SIP_TO=<sip:b@example.org>",
                "SIP_BRANCH=z9hG4bK74bf9", "SIP_PEER=udp:192.0.2.1:5060",
            ])
    }

    @Test func writesATracedMessageAsItIs() {
        let raw = Array("BYE sip:a@h SIP/2.0\r\nSubject: \u{1B}[2J\r\n\r\nbody\nlast".utf8)
        let long = raw + [UInt8](repeating: 0x78, count: 70_000)
        let entry = FormProbe.bytes(
            .messageTraced, .info, time: 0x0102_0304_0506_0708,
            [(.message, Array("in BYE".utf8)), (.direction, Array("in".utf8)), (.rawMessage, long)])
        let fields = FormProbe.fields(entry, of: .master)
        #expect(
            fields.dropLast().map { String(decoding: $0, as: UTF8.self) } == [
                "PRIORITY=6", "SYSLOG_IDENTIFIER=sipfork", "SIPFORK_PROCESS=master",
                "MESSAGE_ID=5a3ef9ab57ec4d2ab30cd9e33a8bbf7a", "SIPFORK_EVENT=message-traced",
                "SIPFORK_TIME=72623859790382856", "MESSAGE=in BYE", "SIPFORK_DIRECTION=in",
            ])
        #expect(fields.last! == Array("SIP_MESSAGE=".utf8) + long)
        #expect(
            FormProbe.line(FormProbe.bytes(.messageTraced, .info, [(.message, [0x78]), (.rawMessage, raw)]))
                == "<6>x\n<6>    BYE sip:a@h SIP/2.0\n<6>    Subject: ?[2J\n<6>    \n<6>    body\n<6>    last\n"
        )
    }

    @Test func writesALineForTheEye() {
        #expect(
            FormProbe.line(FormProbe.bytes(.callFailed, .info, LogFormTests.call))
                == "<6>call failed: 486 Busy Here [call-id=a84b4c76e66710@pc33 method=INVITE status=486"
                + " peer=udp:192.0.2.1:5060]\n")
        #expect(
            FormProbe.line(FormProbe.bytes(.started, .notice, [(.message, Array("started".utf8))]))
                == "<5>started\n")
        #expect(FormProbe.line(FormProbe.bytes(.childDied, .error, [])) == "<3>child-died\n")
    }

    /// Nothing that came from the network commands a terminal or makes a line of its own.
    @Test(
        arguments: [
            (Array("a\nb\r\u{1B}[2J\t\0".utf8), "a?b??[2J??"), ([0x7F, 0x80, 0xFF, 0xC2, 0x41], "????A"),
            (Array("Grüße, 世界 😀".utf8), "Grüße, 世界 😀"), ([0xC2, 0x9B, 0x41], "??A"), ([0xC0, 0xAF], "??"),
            ([0xED, 0xA0, 0x80], "???"), ([0xF4, 0x90, 0x80, 0x80], "????"), ([0xE4, 0xB8], "??"),
            ([0xF0, 0x9F, 0x98], "???"), (Array("a\u{202E}b\u{2066}c\u{200F}".utf8), "a???b???c???"),
        ] as [([UInt8], String)])
    func masksWhatIsNotPrintable(_ bytes: [UInt8], _ shown: String) {
        #expect(FormProbe.line(FormProbe.bytes(.note, .info, [(.message, bytes)])) == "<6>\(shown)\n")
        #expect(
            FormProbe.line(FormProbe.bytes(.note, .info, [(.message, [0x78]), (.callID, bytes)]))
                == "<6>x [call-id=\(shown)]\n")
        let fields = FormProbe.fields(
            FormProbe.bytes(.note, .info, [(.message, bytes), (.callID, bytes)]), of: .master)
        #expect(fields[4] == Array("MESSAGE=\(shown)".utf8))
        // journalctl -x puts fields into the catalogue's text as they are.
        #expect(fields[5] == Array("SIP_CALL_ID=\(shown)".utf8))
        let raw = FormProbe.fields(FormProbe.bytes(.note, .info, [(.rawMessage, bytes)]), of: .master)
        #expect(raw[4] == Array("SIP_MESSAGE=".utf8) + bytes)
    }

    /// The same bytes each time: others may, rarely, be those of a raw message, which has a line of its own.
    @Test func survivesAnyBytes() {
        var random = FixedNumbers()
        for _ in 0..<3000 {
            let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                UInt8.random(in: 0...(Bool.random(using: &random) ? 9 : 255), using: &random)
            }
            let line = FormProbe.line(bytes)
            #expect(line.hasSuffix("\n") && line.utf8.filter { $0 < 0x20 }.count == 1)
            #expect(FormProbe.fields(bytes, of: .locator).count >= 4)
        }
    }

    @Test func tellsWhatWasDropped() {
        let told = FormProbe.dropped(3, of: .worker(0))
        #expect(told.line == "<4>3 log entries of worker 0 dropped: the journal takes too long\n")
        #expect(told.fields.map { String(decoding: $0, as: UTF8.self) }.contains("SIPFORK_EVENT=log-dropped"))
        #expect(FormProbe.dropped(1, of: .locator).line.hasPrefix("<4>1 log entry of locator dropped"))
    }

    @Test func hasAnIdentifierForEveryKindOfEvent() {
        let identifiers = LogEvent.allCases.compactMap { $0.messageID?.description }
        #expect(Set(identifiers).count == LogEvent.allCases.count - 2)
        for identifier in identifiers {
            #expect(identifier.count == 32 && UInt64(identifier.prefix(16), radix: 16) != nil)
        }
        for event in LogEvent.allCases { #expect(event.journalName.description == event.name) }
    }
}

/// Numbers by splitmix64 from a fixed seed.
private struct FixedNumbers: RandomNumberGenerator {
    private var state: UInt64 = 7

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
