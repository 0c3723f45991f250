import Platform

/// A message for the log: as it is, but without the credentials of whoever sent it.
///
///     Authorization: Digest username="alice",  →  Authorization: ***
///       response="6629fae4…"
///
/// It is read line by line, and not as a header, so that no fault in it lets any pass: wherever a line begins with
/// one of the names, also in a body, behind a bare CR or LF, or as the fold of another one.
package enum MaskedMessage {
    /// Writes a message; of the values of Authorization and Proxy-Authorization, folds included, three asterisks.
    package static func write(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        // Up to here all is written.
        var written = 0
        var position = 0
        while position < bytes.count {
            var start = position
            while start < bytes.count && bytes[start].isBlank { start += 1 }
            let nameEnd = endOfName(bytes, start)
            var end = endOfLine(bytes, nameEnd)
            if isSecret(bytes.extracting(start..<nameEnd)) {
                end = endOfValue(bytes, nameEnd)
                if hasValue(bytes, nameEnd, end) {
                    writer.append(bytes, from: written, to: nameEnd)
                    writer.append(": ***")
                    written = end
                }
            }
            position = end
            while position < bytes.count && isLineEnd(bytes[position]) { position += 1 }
        }
        writer.append(bytes, from: written, to: bytes.count)
    }

    private static func isLineEnd(_ byte: UInt8) -> Bool {
        byte == Ascii.carriageReturn || byte == Ascii.lineFeed
    }

    private static func isSecret(_ name: Span<UInt8>) -> Bool {
        switch HeaderID(name, name.wholeRange) {
        case .authorization, .proxyAuthorization: true
        default: false
        }
    }

    private static func endOfName(_ bytes: Span<UInt8>, _ start: Int) -> Int {
        var position = start
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == UInt8(ascii: "-") || (byte | 0x20) &- 0x61 < 26 else { break }
            position += 1
        }
        return position
    }

    private static func endOfLine(_ bytes: Span<UInt8>, _ start: Int) -> Int {
        var position = start
        while position < bytes.count && !isLineEnd(bytes[position]) { position += 1 }
        return position
    }

    /// The end of a value: an LF with no blank behind it, for a bare CR ends none.
    private static func endOfValue(_ bytes: Span<UInt8>, _ start: Int) -> Int {
        var position = start
        while position < bytes.count {
            if bytes[position] == Ascii.lineFeed,
                position + 1 == bytes.count || !bytes[position + 1].isBlank
            {
                break
            }
            position += 1
        }
        return position > start && bytes[position - 1] == Ascii.carriageReturn ? position - 1 : position
    }

    /// Anything but blanks, line ends and the colon.
    private static func hasValue(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
        for position in start..<end {
            let byte = bytes[position]
            if !byte.isBlank && !isLineEnd(byte) && byte != Ascii.colon { return true }
        }
        return false
    }
}
