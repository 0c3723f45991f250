import Platform
import SharedMemory

/// What an entry tells; the logger gives each a MESSAGE_ID. Names are those of SIPFORK_EVENT.
package enum LogEvent: UInt8, CaseIterable {
    case none, started, stopped, childStarted, childDied, configurationRefused, configurationWarning
    case callFailed, callAnswered, callEnded, malformedMessage, limitReached, storageFailed, note
    case hopFailed, hopAnswers, resolverFailed, resolverAnswers, connectionFailed, configurationReloaded
    case messageTraced, startFailed, storageAnswers, tookOver, memoryDiscarded, overloaded, quarantined

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
    /// Of a traced message: "in" or "out", the process that has it, the errno where it could not be sent, and
    /// itself.
    case direction, handler, error, rawMessage
}

/// Log entries of one process on their way to the logger: a byte ring with one producer and one consumer.
///
///     header: | tail (producer) | head (logger) | dropped (producer) | wake | told (logger) | lost (logger) |      bytes …
///     ring:   | length : 32 | entry | length : 32 | entry | …
///     entry:  | event : 8 | priority : 8 | microseconds since 1970 : 64 | fields … |
///     field:  | id : 8 | length : 24 | bytes |
///
/// A full ring drops the entry and counts it: a stalled journal stalls nobody. The ring holds some of the
/// longest messages, which tracing writes as they are; pages that are never reached are never had.
package struct LogRing: BitwiseCopyable {
    package static let capacity = 1 << 20
    package static var bytes: Int { 64 + capacity }
    /// The longest entry: a message of 65,535 bytes, somewhat longer where credentials are replaced, and the
    /// other fields.
    package static let maximumEntry = 96 << 10
    private static let lengthBytes = 4

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

    /// How many of those that were dropped or lost the journal was told of; by the logger.
    package var told: UInt64 { memory.loadAtomic(base + 32) }
    package func setTold(_ count: UInt64) { memory.storeAtomic(count, at: base + 32) }

    /// Those that were taken out and that nobody took from the logger; by the logger.
    package var lost: UInt64 { memory.loadAtomic(base + 40) }
    package func countLost() { memory.storeAtomic(lost + 1, at: base + 40) }

    /// True where the logger has to be woken: it has taken all that was there when it was woken last.
    package func wantsWake() -> Bool { memory.exchange(1, at: base + 24) == 0 }
    /// By the logger, before it drains.
    package func rearm() { _ = memory.exchange(0, at: base + 24) }

    /// Appends a formed entry; false where it was dropped.
    package func append(_ entry: Span<UInt8>) -> Bool {
        let length = entry.count + LogRing.lengthBytes
        let position = tail
        if Int(position - head) + length > LogRing.capacity || entry.count > LogRing.maximumEntry {
            memory.storeAtomic(dropped + 1, at: base + 16)
            return false
        }
        for index in 0..<LogRing.lengthBytes {
            let byte = UInt8(truncatingIfNeeded: entry.count >> (8 * index))
            memory.store(byte, at: place(position + UInt64(index)))
        }
        let start = position + UInt64(LogRing.lengthBytes)
        let first = stretch(start, entry.count)
        var writer = memory.writer(place(start), capacity: first)
        writer.append(entry, from: 0, to: first)
        writer = memory.writer(base + 64, capacity: entry.count - first)
        writer.append(entry, from: first, to: entry.count)
        FaultPoint.entryWritten.pass(memory)
        memory.storeAtomic(position + UInt64(length), at: base)
        FaultPoint.entryAppended.pass(memory)
        return true
    }

    private func place(_ position: UInt64) -> Int {
        base + 64 + Int(position % UInt64(LogRing.capacity))
    }

    /// How many of `count` bytes lie at `position` before the ring begins anew.
    private func stretch(_ position: UInt64, _ count: Int) -> Int {
        min(count, LogRing.capacity - Int(position % UInt64(LogRing.capacity)))
    }

    /// The length of the entry at `position`; never more than there can be.
    private func length(at position: UInt64) -> Int {
        var length = 0
        for index in 0..<LogRing.lengthBytes {
            let byte: UInt8 = memory.load(place(position + UInt64(index)))
            length |= Int(byte) << (8 * index)
        }
        return min(length, LogRing.maximumEntry)
    }

    /// Copies the oldest entry into `writer` and leaves it in the ring; false where there is none.
    package func peek(into writer: inout ByteWriter) -> Bool {
        let position = head
        if position == tail { return false }
        let count = length(at: position)
        let start = position + UInt64(LogRing.lengthBytes)
        let first = stretch(start, count)
        writer.append(memory.bytes(place(start), count: first))
        writer.append(memory.bytes(base + 64, count: count - first))
        return true
    }

    /// Takes the oldest entry out, once it is written.
    package func drop() {
        let position = head
        if position == tail { return }
        let next = position + UInt64(LogRing.lengthBytes + length(at: position))
        memory.storeAtomic(next, at: base + 8)
    }
}

/// Forms one entry.
package struct LogEntry {
    private var writer: ByteWriter

    package init(
        _ event: LogEvent, _ priority: LogPriority, time: UInt64 = Clock.epochMicroseconds(),
        into writer: ByteWriter
    ) {
        self.writer = writer
        self.writer.append(event.rawValue)
        self.writer.append(priority.rawValue)
        for shift in 0..<UInt64(8) { self.writer.append(UInt8(truncatingIfNeeded: time >> (8 * shift))) }
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

    /// Adds a field whose value `write` makes; it is not cut.
    package mutating func add(_ field: LogField, writing write: (inout ByteWriter) -> Void) {
        let place = writer.count + 1
        head(field, 0)
        let start = writer.count
        write(&writer)
        if writer.overflowed { return }
        for index in 0..<3 {
            let byte = UInt8(truncatingIfNeeded: (writer.count - start) >> (8 * index))
            writer.replace(byte, at: place + index)
        }
    }

    private mutating func head(_ field: LogField, _ count: Int) {
        writer.append(field.rawValue)
        for index in 0..<3 { writer.append(UInt8(truncatingIfNeeded: count >> (8 * index))) }
    }

    /// The entry, for `LogRing.append`; nil where it did not fit.
    package func append(to ring: LogRing) -> Bool {
        writer.overflowed ? false : ring.append(writer.written)
    }
}
