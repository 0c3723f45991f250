import Platform

/// A message for the log: as it is, but without the credentials of whoever sent it.
///
///     Authorization: Digest username="alice",  →  Authorization: ***
///       response="6629fae4…"
package enum MaskedMessage {
    /// Writes a message, whatever its faults; of the values of Authorization and Proxy-Authorization, folded
    /// lines included, three asterisks. The body stays.
    package static func write(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        let limit = min(bytes.count, 0xFFFF)
        // Up to here all is written.
        var written = 0
        var position = 0
        // RFC 3261 §7.5: these are in front of the start line and end no header.
        while position < limit && isLineEnd(bytes[position]) { position += 1 }
        // The start line, which has no folds.
        position = min(bytes.first(Ascii.lineFeed, position, limit) + 1, limit)
        while position < limit && !isEmptyLine(bytes, position, limit) {
            let start = position
            let line = RawLine(bytes, at: start, limit: limit)
            position = line.end
            if !isSecret(bytes, start, line) { continue }
            writer.append(bytes, from: written, to: line.nameEnd)
            writer.append(": ***")
            written = line.textEnd
        }
        writer.append(bytes, from: written, to: bytes.count)
    }

    private static func isLineEnd(_ byte: UInt8) -> Bool {
        byte == Ascii.carriageReturn || byte == Ascii.lineFeed
    }

    private static func isEmptyLine(_ bytes: Span<UInt8>, _ position: Int, _ limit: Int) -> Bool {
        if bytes[position] == Ascii.lineFeed { return true }
        return bytes[position] == Ascii.carriageReturn && position + 1 < limit
            && bytes[position + 1] == Ascii.lineFeed
    }

    /// True where the line has credentials, also with blanks in front of its name, which are a fault.
    private static func isSecret(_ bytes: Span<UInt8>, _ start: Int, _ line: RawLine) -> Bool {
        let value = bytes.trimmed(min(line.nameEnd + 1, line.textEnd), line.textEnd)
        if value.isEmpty { return false }
        switch HeaderID(bytes, bytes.trimmed(start, line.nameEnd)) {
        case .authorization, .proxyAuthorization: return true
        default: return false
        }
    }
}
