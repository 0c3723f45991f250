import Platform
import SharedState
import Systemd

/// One entry in its outward form: fields for the journal, or a line.
///
///     PRIORITY=6│MESSAGE=call failed: 486 …│SIP_CALL_ID=…│…        fields, one behind the other; `ends` where each ends
///     <6>call failed: 486 Busy Here for sip:bob@example.org [call-id=… method=INVITE status=486 peer=udp:…]
///
/// All but a raw message may come to a terminal, if only by the catalogue of journalctl -x: control characters and
/// faulty UTF-8 become "?", and so do those that turn the direction of writing.
struct LogForm {
    private var writer: ByteWriter
    private var ends = InlineArray<20, Int>(repeating: 0)
    private(set) var fieldCount = 0

    init(into writer: ByteWriter) { self.writer = writer }

    /// Bytes of all.
    var count: Int { writer.count }

    /// Where field `index` lies.
    func field(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }

    private mutating func end() {
        ends[fieldCount] = writer.count
        fieldCount += 1
    }

    // MARK: journal

    mutating func addFields(of record: borrowing LogRecord, _ process: ProcessID) {
        addCommonFields(priority: record.priority, process)
        if let identifier = record.event.messageID {
            writer.append("MESSAGE_ID=")
            writer.append(identifier)
            end()
        }
        writer.append("SIPFORK_EVENT=")
        writer.append(record.event.journalName)
        end()
        if record.time != 0 {
            writer.append("SIPFORK_TIME=")
            writer.append(decimal: record.time)
            end()
        }
        for index in 0..<LogField.all.count {
            let field = LogField.all[index]
            let value = record.value(field)
            if value.isEmpty { continue }
            writer.append(field.journalName)
            if field == .rawMessage { writer.append(value) } else { addMasked(value) }
            end()
        }
    }

    private mutating func addCommonFields(priority: UInt8, _ process: ProcessID) {
        writer.append("PRIORITY=")
        writer.append(decimal: UInt64(priority))
        end()
        writer.append("SYSLOG_IDENTIFIER=sipfork")
        end()
        writer.append("SIPFORK_PROCESS=")
        process.writeName(to: &writer)
        end()
    }

    mutating func addDroppedFields(_ count: UInt64, _ process: ProcessID) {
        addCommonFields(priority: LogPriority.warning.rawValue, process)
        writer.append("MESSAGE_ID=")
        writer.append(MessageID.logDropped)
        end()
        writer.append("SIPFORK_EVENT=log-dropped")
        end()
        writer.append("MESSAGE=")
        addDroppedText(count, process)
        end()
    }

    // MARK: lines

    mutating func addLine(of record: borrowing LogRecord) {
        writer.append("<")
        writer.append(decimal: UInt64(record.priority))
        writer.append(">")
        let message = record.value(.message)
        if message.isEmpty { writer.append(record.event.journalName) } else { addMasked(message) }
        var isFirst = true
        for index in 0..<LogField.all.count {
            guard let name = LogField.all[index].lineName else { continue }
            let value = record.value(LogField.all[index])
            if value.isEmpty { continue }
            writer.append(isFirst ? " [" : " ")
            isFirst = false
            writer.append(name)
            addMasked(value)
        }
        writer.append(isFirst ? "\n" : "]\n")
        addIndented(record.value(.rawMessage), priority: record.priority)
    }

    /// A message below the line that speaks of it, each of its lines with the priority and four spaces.
    private mutating func addIndented(_ text: Span<UInt8>, priority: UInt8) {
        var start = 0
        while start < text.count {
            var end = start
            while end < text.count && text[end] != 0x0A { end += 1 }
            let isCRLF = end > start && text[end - 1] == 0x0D
            writer.append("<")
            writer.append(decimal: UInt64(priority))
            writer.append(">    ")
            addMasked(text.extracting(start..<(isCRLF ? end - 1 : end)))
            writer.append("\n")
            start = end + 1
        }
    }

    mutating func addDroppedLine(_ count: UInt64, _ process: ProcessID) {
        writer.append("<4>")
        addDroppedText(count, process)
        writer.append("\n")
    }

    private mutating func addDroppedText(_ count: UInt64, _ process: ProcessID) {
        writer.append(decimal: count)
        writer.append(count == 1 ? " log entry of " : " log entries of ")
        process.writeName(to: &writer)
        writer.append(" dropped: the journal takes too long")
    }

    // MARK: remarks

    /// The text of an entry alone, masked, the first `limit` bytes of it.
    static func writeText(of record: borrowing LogRecord, limit: Int, to writer: inout ByteWriter) {
        let message = record.value(.message)
        if message.isEmpty {
            writer.append(record.event.journalName)
            return
        }
        var form = LogForm(into: writer)
        form.addMasked(LogForm.beginning(of: message, limit: limit))
        writer = form.writer
    }

    static func writeDroppedText(_ count: UInt64, _ process: ProcessID, to writer: inout ByteWriter) {
        var form = LogForm(into: writer)
        form.addDroppedText(count, process)
        writer = form.writer
    }

    /// No character is cut in two.
    @_lifetime(copy text)
    private static func beginning(of text: Span<UInt8>, limit: Int) -> Span<UInt8> {
        if text.count <= limit { return text }
        var end = limit
        while end > 0 && text[end] & 0xC0 == 0x80 { end -= 1 }
        return text.extracting(0..<end)
    }

    // MARK: masking

    private mutating func addMasked(_ text: Span<UInt8>) {
        var index = 0
        while index < text.count {
            let byte = text[index]
            if byte >= 0x20 && byte < 0x7F {
                writer.append(byte)
                index += 1
                continue
            }
            let length = LogForm.characterLength(text, at: index)
            if length == 0 {
                writer.append(0x3F)
                index += 1
            } else {
                writer.append(text, from: index, to: index + length)
                index += length
            }
        }
    }

    /// U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069: what is shown would not be what is there.
    private static func turnsDirection(_ text: Span<UInt8>, at index: Int) -> Bool {
        guard text[index] == 0xE2 else { return false }
        let last = text[index + 2]
        switch text[index + 1] {
        case 0x80: return 0x8E...0x8F ~= last || 0xAA...0xAE ~= last
        case 0x81: return 0xA6...0xA9 ~= last
        default: return false
        }
    }

    /// Bytes of the printable character beyond ASCII that begins at `index` (RFC 3629 §4); 0 where there is
    /// none.
    private static func characterLength(_ text: Span<UInt8>, at index: Int) -> Int {
        let lead = text[index]
        var second: ClosedRange<UInt8> = 0x80...0xBF
        let length: Int
        switch lead {
        // U+0080 to U+009F are control characters, which terminals obey.
        case 0xC2: (length, second) = (2, 0xA0...0xBF)
        case 0xC3...0xDF: length = 2
        case 0xE0: (length, second) = (3, 0xA0...0xBF)
        case 0xED: (length, second) = (3, 0x80...0x9F)
        case 0xE1...0xEF: length = 3
        case 0xF0: (length, second) = (4, 0x90...0xBF)
        case 0xF1...0xF3: length = 4
        case 0xF4: (length, second) = (4, 0x80...0x8F)
        default: return 0
        }
        guard text.count - index >= length, second.contains(text[index + 1]) else { return 0 }
        if length == 3 && turnsDirection(text, at: index) { return 0 }
        for next in 2..<max(length, 2) where text[index + next] & 0xC0 != 0x80 { return 0 }
        return length
    }
}
