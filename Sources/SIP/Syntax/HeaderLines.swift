/// One header line as it lies in the message, folded lines included.
package struct HeaderLine: BitwiseCopyable {
    package var id: HeaderID
    package var name: ByteRange
    /// Its `count` is 1.
    package var field: HeaderField
}

/// A header line before anybody looks into it. Empty `name` means that there is no name or no colon.
struct RawLine: BitwiseCopyable {
    var nameEnd = 0
    var valueStart = 0
    /// Where the text ends: offset of the last CRLF.
    var textEnd = 0
    /// Behind the CRLF.
    var end = 0
    var hasColon = false
    /// A CR without LF or LF without CR was met.
    var isBare = false
    /// False where the bytes ended before the line did.
    var isTerminated = false

    /// Reads the line at `start` up to `limit`: name, white space, colon, text, folds (RFC 3261 §7.3.1).
    @inline(__always)
    init(_ bytes: Span<UInt8>, at start: Int, limit: Int) {
        var position = bytes.first(start, limit) { $0.nameEnd }
        nameEnd = position
        while position < limit && bytes[position].isBlank { position &+= 1 }
        if position < limit && bytes[position] != Ascii.colon {
            nameEnd = RawLine.endOfOddName(bytes, position, limit)
            position = nameEnd
        }
        if position < limit && bytes[position] == Ascii.colon && nameEnd > start && !bytes[start].isBlank {
            hasColon = true
            position &+= 1
        }
        valueStart = position
        while true {
            position = bytes.first(position, limit) { $0.lineEnd }
            if position &+ 1 >= limit {
                // A CR at the very end counts as cut off; an LF there ends the line.
                textEnd = position
                end = limit
                if position < limit && bytes[position] == Ascii.lineFeed {
                    isTerminated = true
                    isBare = true
                }
                return
            }
            textEnd = position
            if bytes[position] == Ascii.lineFeed {
                isBare = true
                position &+= 1
            } else if bytes[position &+ 1] == Ascii.lineFeed {
                position &+= 2
            } else {
                isBare = true
                position &+= 1
                continue
            }
            if position < limit && bytes[position].isBlank { continue }
            end = position
            isTerminated = true
            return
        }
    }
}

extension RawLine {
    /// A name that is no token is nobody's business here, so its line passes: the colon, or where the line
    /// ends.
    private static func endOfOddName(_ bytes: Span<UInt8>, _ start: Int, _ limit: Int) -> Int {
        bytes.first(start, limit) { $0.lineEnd | $0.equal(Ascii.colon) }
    }
}

/// Walks over the header lines of a scanned message: all of them, or those of one name. Lines without a colon
/// are left out. Reads the lines again, for the index keeps only the first of each name.
package struct HeaderLines: ~Escapable {
    private let bytes: Span<UInt8>
    private let wanted: HeaderID?
    private let limit: Int
    private var position: Int
    /// The first line of that name, as long as it was not given out.
    private var first: HeaderField?
    /// Lines of that name still to come; the walk need not go to the end of the header.
    private var remaining: Int

    @_lifetime(copy message)
    init(_ message: borrowing Message, _ id: HeaderID? = nil) {
        bytes = message.bytes
        limit = Swift.min(Int(message.index.headersEnd), message.bytes.count)
        wanted = id
        if let id {
            let field = message.index.first(id)
            position = Int(field.lineEnd)
            remaining = Int(field.count)
            first = remaining > 0 ? field : nil
        } else {
            first = nil
            position = Int(message.index.headersOffset)
            remaining = Int.max
        }
    }

    package mutating func next() -> HeaderLine? {
        if let first, let wanted {
            var field = first
            field.count = 1
            self.first = nil
            remaining &-= 1
            let start = Int(field.line)
            return HeaderLine(
                id: wanted, name: ByteRange(start, bytes.first(start, limit) { $0.nameEnd }), field: field)
        }
        while remaining > 0 && position < limit {
            let start = position
            let raw = RawLine(bytes, at: start, limit: limit)
            guard raw.isTerminated else { break }
            position = raw.end
            guard raw.hasColon else { continue }
            let name = ByteRange(start, raw.nameEnd)
            let id = HeaderID(bytes, name)
            if let wanted, wanted != id { continue }
            remaining &-= 1
            var field = HeaderField()
            field.line = UInt16(truncatingIfNeeded: start)
            field.lineEnd = UInt16(truncatingIfNeeded: raw.end)
            field.value = bytes.trimmed(raw.valueStart, raw.textEnd)
            field.count = 1
            return HeaderLine(id: id, name: name, field: field)
        }
        remaining = 0
        return nil
    }
}
