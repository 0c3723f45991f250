/// One of the comma-separated values of a header line.
package struct HeaderValue: BitwiseCopyable {
    /// The value without surrounding white space.
    package var range: ByteRange
    /// Its line.
    package var field: HeaderField
    /// Offset of the next value of the same line; 0 where it is the last.
    package var next: UInt16
}

/// Walks over the values of all lines of one name (RFC 3261 §7.3.1: several lines, or one with commas, mean
/// the same). Commas in quoted strings and in `<…>` separate nothing; empty values are left out.
package struct HeaderValues: ~Escapable {
    private let bytes: Span<UInt8>
    private var lines: HeaderLines
    private var field = HeaderField()
    /// Where the next value of the line starts; 0 before the first line and behind the last value.
    private var position = 0

    @_lifetime(copy message)
    init(_ message: borrowing Message, _ id: HeaderID) {
        bytes = message.bytes
        lines = HeaderLines(message, id)
    }

    package mutating func next() -> HeaderValue? {
        while true {
            if position == 0 {
                guard let line = lines.next() else { return nil }
                field = line.field
                position = field.value.start
            }
            let end = field.value.end
            let start = bytes.skippingWhitespace(position, end)
            let comma = HeaderValues.endOfValue(bytes, start, end)
            var following = comma
            while following < end && (bytes[following] == Ascii.comma || bytes[following].isWhitespace) {
                following &+= 1
            }
            position = following < end ? following : 0
            let range = bytes.trimmed(start, comma)
            if range.isEmpty { continue }
            return HeaderValue(range: range, field: field, next: UInt16(truncatingIfNeeded: position))
        }
    }

    /// The comma that ends the value at `start`, or `end`.
    static func endOfValue(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var position = start
        while true {
            position = bytes.first(position, end) {
                $0.equal(Ascii.quote) | $0.equal(Ascii.less) | $0.equal(Ascii.comma)
            }
            if position >= end || bytes[position] == Ascii.comma { return position }
            if bytes[position] == Ascii.quote {
                guard let quoteEnd = bytes.endOfQuotedString(position, end) else { return end }
                position = quoteEnd
            } else {
                position = bytes.first(Ascii.greater, position, end)
                if position >= end { return end }
                position &+= 1
            }
        }
    }
}
