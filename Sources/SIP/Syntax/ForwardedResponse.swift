import Platform

/// Builds the response that goes back to the previous hop: the one that came without its top Via value (RFC
/// 3261 §16.7 step 3), everything else byte for byte.
package enum ForwardedResponse {
    /// The stretch to leave out, so that the response can be sent from where it lies: send `index.start ..<
    /// from` and `to ..< index.end`. The whole line where the top Via is alone in it, else up to the next
    /// value of the line.
    ///
    ///     Via: SIP/2.0/UDP us;branch=…, SIP/2.0/UDP them;branch=…  →  Via: SIP/2.0/UDP them;branch=…
    ///          └─────────── cut ────────┘
    package static func cut(_ message: borrowing Message) -> (from: Int, to: Int) {
        let via = message.index.topVia
        let line = message.index.first(.via)
        // Without a Via, which the scanner calls a fault: an empty stretch.
        guard line.count > 0 else {
            let place = Int(message.index.headersOffset)
            return (place, place)
        }
        if via.rest == 0 { return (Int(line.line), Int(line.lineEnd)) }
        return (via.whole.start, Int(via.rest))
    }

    /// Bytes that it takes at most.
    package static func bytes(_ message: borrowing Message) -> Int {
        let (from, to) = cut(message)
        return Int(message.index.end) - Int(message.index.start) - (to - from) + longestContentLength
    }

    /// Of `Content-Length: 65535` and its line end.
    private static let longestContentLength = 23

    /// - Parameter isForStream: a Content-Length is written where the response has none (§20.14).
    package static func write(
        _ message: borrowing Message, isForStream: Bool = false, to writer: inout ByteWriter
    ) {
        let (from, to) = cut(message)
        let bytes = message.bytes
        let index = message.index
        writer.append(bytes, from: Int(index.start), to: from)
        guard isForStream && !index.has(.contentLength) else {
            writer.append(bytes, from: to, to: Int(index.end))
            return
        }
        writer.append(bytes, from: to, to: Int(index.headersEnd))
        writer.appendContentLength(of: message)
        writer.append(bytes, from: Int(index.headersEnd), to: Int(index.end))
    }
}
