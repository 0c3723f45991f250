import Platform
import SharedMemory

/// What an entry tells; the logger gives each a MESSAGE_ID. Names are those of SIPFORK_EVENT.
package enum LogEvent: UInt8, CaseIterable {
    case none, started, stopped, childStarted, childDied, configurationRefused, configurationWarning
    case callFailed, callAnswered, callEnded, malformedMessage, limitReached, storageFailed, note
    case hopFailed, hopAnswers, resolverFailed, resolverAnswers, connectionFailed, configurationReloaded

    package var name: String {
        "\(self)".reduce(into: "") { text, letter in
            text += letter.isUppercase ? "-" + letter.lowercased() : String(letter)
        }
    }
}

/// syslog's numbers.
package enum LogPriority: UInt8 {
    case critical = 2
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
    case debug = 7
}

/// Fields of an entry besides event and priority; the journal's names are in the logger.
package enum LogField: UInt8 {
    case message = 1
    case callID, method, status, from, to, branch, peer
}

/// Log entries of one process on their way to the logger: a byte ring with one producer and one consumer.
///
///     header: | tail (producer) | head (logger) | dropped (producer) |      bytes …
///     entry:  | length : 16 | event : 8 | priority : 8 | fields … |   field: | id : 8 | length : 16 | bytes |
///
/// A full ring drops the entry and counts it: a stalled journal stalls nobody.
package struct LogRing: BitwiseCopyable {
    package static let capacity = 1 << 18
    package static var bytes: Int { 64 + capacity }
    /// The longest entry.
    package static let maximumEntry = 4096

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    package var tail: UInt64 { memory.loadAtomic(base) }
    package var head: UInt64 { memory.loadAtomic(base + 8) }
    package var dropped: UInt64 { memory.loadAtomic(base + 16) }
    package var isEmpty: Bool { tail == head }

    /// True where the logger has to be woken: it has taken all that was there when it was woken last.
    package func wantsWake() -> Bool { memory.exchange(1, at: base + 24) == 0 }
    /// By the logger, before it drains.
    package func rearm() { _ = memory.exchange(0, at: base + 24) }

    /// Appends a formed entry; false where it was dropped.
    package func append(_ entry: Span<UInt8>) -> Bool {
        let length = entry.count + 2
        let position = tail
        if Int(position - head) + length > LogRing.capacity || entry.count > LogRing.maximumEntry {
            memory.storeAtomic(dropped + 1, at: base + 16)
            return false
        }
        put(UInt8(truncatingIfNeeded: entry.count), position)
        put(UInt8(truncatingIfNeeded: entry.count >> 8), position + 1)
        for index in entry.indices { put(entry[index], position + 2 + UInt64(index)) }
        memory.storeAtomic(position + UInt64(length), at: base)
        return true
    }

    private func put(_ byte: UInt8, _ position: UInt64) {
        memory.store(byte, at: base + 64 + Int(position % UInt64(LogRing.capacity)))
    }

    private func byte(_ position: UInt64) -> UInt8 {
        memory.load(base + 64 + Int(position % UInt64(LogRing.capacity)))
    }

    /// Copies the oldest entry into `writer` and leaves it in the ring; false where there is none.
    package func peek(into writer: inout ByteWriter) -> Bool {
        let position = head
        if position == tail { return false }
        let count = Int(byte(position)) | Int(byte(position + 1)) << 8
        for index in 0..<count { writer.append(byte(position + 2 + UInt64(index))) }
        return true
    }

    /// Takes the oldest entry out, once it is written.
    package func drop() {
        let position = head
        if position == tail { return }
        let count = Int(byte(position)) | Int(byte(position + 1)) << 8
        memory.storeAtomic(position + 2 + UInt64(count), at: base + 8)
    }
}

/// Forms one entry.
package struct LogEntry {
    private var writer: ByteWriter

    package init(_ event: LogEvent, _ priority: LogPriority, into writer: ByteWriter) {
        self.writer = writer
        self.writer.append(event.rawValue)
        self.writer.append(priority.rawValue)
    }

    /// Adds a field; a value over 1,000 bytes is cut, and control characters are for the logger to mask.
    package mutating func add(_ field: LogField, _ value: Span<UInt8>) {
        let count = min(value.count, 1000)
        head(field, count)
        writer.append(value, from: 0, to: count)
    }

    package mutating func add(_ field: LogField, _ text: StaticString) {
        head(field, text.utf8CodeUnitCount)
        writer.append(text)
    }

    package mutating func add(_ field: LogField, string: String) {
        let bytes = Array(string.utf8)
        add(field, bytes.span)
    }

    package mutating func add(_ field: LogField, number: Int) {
        var digits = 1
        var rest = number.magnitude / 10
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        head(field, digits + (number < 0 ? 1 : 0))
        writer.append(decimal: number)
    }

    private mutating func head(_ field: LogField, _ count: Int) {
        writer.append(field.rawValue)
        writer.append(UInt8(truncatingIfNeeded: count))
        writer.append(UInt8(truncatingIfNeeded: count >> 8))
    }

    /// The entry, for `LogRing.append`; nil where it did not fit.
    package func append(to ring: LogRing) -> Bool {
        writer.overflowed ? false : ring.append(writer.written)
    }
}
