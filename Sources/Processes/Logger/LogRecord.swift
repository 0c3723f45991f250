import SharedState

/// An entry as it lies in a ring (figure in `LogRing`). Whatever the bytes are, nothing is read outside of
/// them.
struct LogRecord: ~Escapable {
    private let bytes: Span<UInt8>

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) { self.bytes = bytes }

    var event: LogEvent { bytes.count > 0 ? LogEvent(rawValue: bytes[0]) ?? .none : .none }

    /// syslog's number, 0 to 7.
    var priority: UInt8 { bytes.count > 1 ? min(bytes[1], 7) : LogPriority.info.rawValue }

    /// When it happened, in microseconds since 1970; 0 where it does not say.
    var time: UInt64 {
        guard bytes.count >= LogRecord.headerBytes else { return 0 }
        var time: UInt64 = 0
        for index in 0..<8 { time |= UInt64(bytes[2 + index]) << UInt64(8 * index) }
        return time
    }

    private static let headerBytes = 10

    /// The value of a field; empty where the entry has none.
    @_lifetime(copy self)
    func value(_ field: LogField) -> Span<UInt8> {
        var at = LogRecord.headerBytes
        while bytes.count - at >= 4 {
            let count = Int(bytes[at + 1]) | Int(bytes[at + 2]) << 8 | Int(bytes[at + 3]) << 16
            let start = at + 4
            if count > bytes.count - start { break }
            if bytes[at] == field.rawValue { return bytes.extracting(start..<(start + count)) }
            at = start + count
        }
        return bytes.extracting(0..<0)
    }
}
