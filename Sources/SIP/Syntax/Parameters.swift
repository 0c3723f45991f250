/// A parameter `name[=value]`.
package struct Parameter: BitwiseCopyable, Equatable {
    package var name: ByteRange
    /// Quotes included; empty where there is no value, then at the place where "=value" would go.
    package var value: ByteRange

    /// The value without quotes (escapes stay).
    package func unquoted(_ bytes: Span<UInt8>) -> ByteRange {
        guard value.count >= 2, bytes[value.start] == Ascii.quote else { return value }
        return ByteRange(value.start &+ 1, value.end &- 1)
    }
}

/// Walks over parameters of a header field value: `tag=1 ; lr ; text = "a;b"` (RFC 3261 §25.1 generic-param),
/// without the first semicolon. Ends before a comma, which begins the next value of the header.
package struct Parameters: ~Escapable {
    private let bytes: Span<UInt8>
    private let end: Int
    /// Where the walk stands; after the last parameter: the comma or the end.
    package private(set) var position: Int
    /// False once something was met that the grammar does not allow: an empty parameter, an open quote.
    package private(set) var isWellFormed = true
    private var isDone: Bool

    @inline(__always)
    @_lifetime(copy bytes)
    package init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        self.bytes = bytes
        let inside = range.lies(in: bytes)
        position = inside ? range.start : 0
        end = inside ? range.end : 0
        isDone = range.isEmpty || !inside
    }

    @inline(__always)
    package mutating func next() -> Parameter? {
        guard !isDone else { return nil }
        let nameStart = bytes.skippingWhitespace(position, end)
        var place = bytes.first(nameStart, end) { $0.parameterNameEnd }
        if place == nameStart { return stop() }
        let name = ByteRange(nameStart, place)
        var value = ByteRange(place, place)
        place = bytes.skippingWhitespace(place, end)
        if place < end && bytes[place] == Ascii.equals {
            let start = bytes.skippingWhitespace(place &+ 1, end)
            place = endOfValue(start)
            if place == start { return stop() }
            value = ByteRange(start, place)
            place = bytes.skippingWhitespace(place, end)
        }
        position = place
        isDone = true
        if place < end {
            let byte = bytes[place]
            if byte == Ascii.semicolon {
                position = place &+ 1
                isDone = false
            } else if byte != Ascii.comma {
                return stop()
            }
        }
        return Parameter(name: name, value: value)
    }

    private mutating func stop() -> Parameter? {
        isDone = true
        isWellFormed = false
        return nil
    }

    /// Behind a quoted string, token or host at `start`; `start` itself where there is none.
    @inline(__always)
    private func endOfValue(_ start: Int) -> Int {
        guard start < end else { return start }
        if bytes[start] == Ascii.quote { return bytes.endOfQuotedString(start, end) ?? start }
        return bytes.first(start, end) { $0.parameterValueEnd }
    }

    /// The parameter of that name among those in `range`; names are compared without regard to case.
    package static func find(_ name: StaticString, in range: ByteRange, _ bytes: Span<UInt8>) -> Parameter? {
        var parameters = Parameters(bytes, range)
        while let parameter = parameters.next() {
            if bytes.matches(parameter.name, ignoringCase: name) { return parameter }
        }
        return nil
    }
}

extension Span<UInt8> {
    /// Behind the closing quote of the quoted string at `start`; nil where it stays open.
    @inline(__always)
    func endOfQuotedString(_ start: Int, _ end: Int) -> Int? {
        var place = start &+ 1
        while true {
            place = first(place, end) { $0.equal(Ascii.quote) | $0.equal(Ascii.backslash) }
            if place >= end { return nil }
            if self[place] == Ascii.quote { return place &+ 1 }
            place &+= 2
        }
    }
}
