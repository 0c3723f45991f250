import Platform

/// Where in a request that we sent those lie that its CANCEL and ACK repeat, so that it need not be scanned again:
/// Request-URI, our own Via, and the values of From, To and Call-ID.
package struct HopFields: BitwiseCopyable {
    fileprivate var requestURI: ByteRange
    fileprivate var via: ByteRange
    fileprivate var from: ByteRange
    fileprivate var to: ByteRange
    fileprivate var callID: ByteRange
    fileprivate var cseqNumber: UInt32

    /// Of a request that was scanned.
    fileprivate init(_ index: MessageIndex) {
        requestURI = index.requestURI
        via = index.topVia.whole
        from = index.first(.from).value
        to = index.first(.to).value
        callID = index.first(.callID).value
        cseqNumber = index.cseqNumber
    }

    /// Of a request that is made from one with that index: everything is still to be given its place.
    init(madeFrom index: MessageIndex) { self.init(index) }

    mutating func place(requestURI from: Int, to end: Int) { requestURI = ByteRange(from, end) }

    /// Our own Via: its value without name and line end.
    mutating func place(viaLine from: Int, to end: Int) { via = ByteRange(from &+ 5, end &- 2) }

    /// What lay at `from ..< to` of the one is at `place` of the other.
    ///
    /// - Parameter index: of the one.
    mutating func move(_ index: MessageIndex, from: Int, to: Int, place: Int) {
        let distance = place &- from
        func moved(_ field: inout ByteRange, _ id: HeaderID) {
            let value = index.first(id).value
            if value.start >= from && value.end <= to {
                field = ByteRange(value.start &+ distance, value.end &+ distance)
            }
        }
        moved(&self.from, .from)
        moved(&self.to, .to)
        moved(&callID, .callID)
    }

    /// True where all lies in the first `count` bytes.
    package func lies(in count: Int) -> Bool {
        max(requestURI.end, via.end, from.end, to.end, callID.end) <= count
    }
}

/// The CANCEL for a request that we sent (RFC 3261 §9.1): it takes the same path and matches by the same
/// branch.
package enum CancelRequest {
    /// - Parameter forwarded: the request as we sent it: our own Via is its top one.
    package static func write(forwarded: borrowing Message, to writer: inout ByteWriter) {
        HopRequest.write(.cancel, forwarded: forwarded, toValue: forwarded.value(.to), to: &writer)
    }

    /// - Parameter fields: of `forwarded`, which has no Route.
    package static func write(
        forwarded: Span<UInt8>, _ fields: HopFields, to writer: inout ByteWriter
    ) {
        HopRequest.write(.cancel, forwarded, fields, toValue: forwarded.slice(fields.to), to: &writer)
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

    /// - Parameter fields: of `forwarded`, which has no Route.
    package static func write(
        forwarded: Span<UInt8>, _ fields: HopFields, response: borrowing Message,
        to writer: inout ByteWriter
    ) {
        HopRequest.write(.ack, forwarded, fields, toValue: response.value(.to), to: &writer)
    }
}

/// What CANCEL and ACK have in common: Request-URI, top Via alone, Route, From, Call-ID and CSeq number of
/// the request.
private enum HopRequest {
    static func write(
        _ method: Method, forwarded: borrowing Message, toValue: Span<UInt8>, to writer: inout ByteWriter
    ) {
        let fields = HopFields(forwarded.index)
        writeBegin(method, forwarded.bytes, fields, to: &writer)
        var routes = forwarded.lines(.route)
        while let line = routes.next() {
            writer.append(forwarded.bytes, from: Int(line.field.line), to: Int(line.field.lineEnd))
        }
        writeEnd(method, forwarded.bytes, fields, toValue: toValue, to: &writer)
    }

    static func write(
        _ method: Method, _ bytes: Span<UInt8>, _ fields: HopFields, toValue: Span<UInt8>,
        to writer: inout ByteWriter
    ) {
        writeBegin(method, bytes, fields, to: &writer)
        writeEnd(method, bytes, fields, toValue: toValue, to: &writer)
    }

    private static func writeBegin(
        _ method: Method, _ bytes: Span<UInt8>, _ fields: HopFields, to writer: inout ByteWriter
    ) {
        writer.append(method.text)
        writer.append(Ascii.space)
        writer.append(bytes.slice(fields.requestURI))
        writer.append(" SIP/2.0\r\nVia: ")
        writer.append(bytes, fields.via, unfolding: true)
        writer.append("\r\nMax-Forwards: 70\r\n")
    }

    private static func writeEnd(
        _ method: Method, _ bytes: Span<UInt8>, _ fields: HopFields, toValue: Span<UInt8>,
        to writer: inout ByteWriter
    ) {
        writer.append("From: ")
        writer.append(bytes, fields.from, unfolding: true)
        writer.append("\r\nTo: ")
        writer.append(toValue, toValue.wholeRange, unfolding: true)
        writer.append("\r\nCall-ID: ")
        writer.append(bytes, fields.callID, unfolding: true)
        writer.append("\r\nCSeq: ")
        writer.append(decimal: UInt64(fields.cseqNumber))
        writer.append(Ascii.space)
        writer.append(method.text)
        writer.append("\r\nContent-Length: 0\r\n\r\n")
    }
}
