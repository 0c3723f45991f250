import Platform

/// The CANCEL for a request that we sent (RFC 3261 §9.1): it takes the same path and matches by the same
/// branch.
package enum CancelRequest {
    /// - Parameter forwarded: the request as we sent it: our own Via is its top one.
    package static func write(forwarded: borrowing Message, to writer: inout ByteWriter) {
        HopRequest.write(.cancel, forwarded: forwarded, toValue: forwarded.value(.to), to: &writer)
    }
}

/// The ACK for a response of 300 to 699 to an INVITE that we sent (RFC 3261 §17.1.1.3): hop by hop, in the
/// transaction of the INVITE. (The ACK for a 2xx is the caller's own and passes like any request.)
package enum AckRequest {
    /// - Parameters:
    ///   - forwarded: the INVITE as we sent it.
    ///   - response: To comes from it, for its tag.
    package static func write(
        forwarded: borrowing Message, response: borrowing Message, to writer: inout ByteWriter
    ) {
        HopRequest.write(.ack, forwarded: forwarded, toValue: response.value(.to), to: &writer)
    }
}

/// What CANCEL and ACK have in common: Request-URI, top Via alone, Route, From, Call-ID and CSeq number of
/// the request.
private enum HopRequest {
    static func write(
        _ method: Method, forwarded: borrowing Message, toValue: Span<UInt8>, to writer: inout ByteWriter
    ) {
        let bytes = forwarded.bytes
        let index = forwarded.index
        writer.append(method.text)
        writer.append(Ascii.space)
        writer.append(bytes.slice(index.requestURI))
        writer.append(" SIP/2.0\r\nVia: ")
        writer.append(bytes, index.topVia.whole, unfolding: true)
        writer.append("\r\nMax-Forwards: 70\r\n")
        var routes = forwarded.lines(.route)
        while let line = routes.next() {
            writer.append(bytes, from: Int(line.field.line), to: Int(line.field.lineEnd))
        }
        writer.appendLine(.from, of: forwarded)
        writer.append("To: ")
        writer.append(toValue, toValue.wholeRange, unfolding: true)
        writer.append("\r\n")
        writer.appendLine(.callID, of: forwarded)
        writer.append("CSeq: ")
        writer.append(decimal: UInt64(index.cseqNumber))
        writer.append(Ascii.space)
        writer.append(method.text)
        writer.append("\r\nContent-Length: 0\r\n\r\n")
    }
}
