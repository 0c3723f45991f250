import Platform

/// Builds a response of our own (RFC 3261 §8.2.6): Via, From, To, Call-ID and CSeq of the request, no body.
package enum LocalResponse {
    /// Works for faulty requests, too: what those lack is left out.
    ///
    /// - Parameters:
    ///   - reason: nil for the usual phrase.
    ///   - toTag: added where the request's To has none.
    ///   - peer: the request's source, for received and rport in the top Via (§18.2.1, RFC 3581).
    ///   - extra: ready header lines, each with its CRLF.
    package static func write(
        request: borrowing Message, status: UInt16, reason: StaticString? = nil, toTag: Span<UInt8>?,
        peer: SocketAddress, extra: Span<UInt8>? = nil, to writer: inout ByteWriter
    ) {
        let bytes = request.bytes
        let index = request.index
        writer.append("SIP/2.0 ")
        writer.append(decimal: UInt64(status))
        writer.append(Ascii.space)
        writer.append(reason ?? ReasonPhrase.text(status))
        writer.append("\r\n")

        writeVias(request, peer: peer, to: &writer)
        writer.appendLine(.from, of: request)
        if index.has(.to) {
            let value = index.first(.to).value
            writer.append("To: ")
            writer.append(bytes, value, unfolding: true)
            if let toTag, index.toTag.isEmpty {
                writer.append(";tag=")
                writer.append(toTag)
            }
            writer.append("\r\n")
        }
        writer.appendLine(.callID, of: request)
        writer.appendLine(.cseq, of: request)
        // §8.2.6.1: a 100 carries the Timestamp back.
        if status == 100 { writer.appendLine(.timestamp, of: request) }
        if let extra { writer.append(extra) }
        writer.append("Content-Length: 0\r\n\r\n")
    }

    /// All Via lines in order, the top value stamped.
    private static func writeVias(
        _ request: borrowing Message, peer: SocketAddress, to writer: inout ByteWriter
    ) {
        let bytes = request.bytes
        let top = request.index.topVia
        var lines = request.lines(.via)
        var isFirst = true
        while let line = lines.next() {
            let value = line.field.value
            var start = value.start
            writer.append("Via: ")
            if isFirst && !top.isEmpty {
                ViaStamp(top, bytes, peer: peer).write(bytes, to: &writer, unfolding: true)
                start = top.whole.end
            }
            isFirst = false
            writer.append(bytes, ByteRange(start, value.end), unfolding: true)
            writer.append("\r\n")
        }
    }
}

extension ByteWriter {
    /// Appends the first line of that name with the name as we write it, folds resolved; nothing where there
    /// is none.
    mutating func appendLine(_ id: HeaderID, of message: borrowing Message) {
        guard message.index.has(id) else { return }
        append(id.name)
        append(": ")
        append(message.bytes, message.index.first(id).value, unfolding: true)
        append("\r\n")
    }
}
