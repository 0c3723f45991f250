// libFuzzer target for the syntax layer: any bytes may come, nothing may trap, and what we build must be SIP
// again. Built and run by Tests/Fuzz/run.
import Platform
import Syntax

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let data = unsafe data else { return 0 }
    let bytes = unsafe Span<UInt8>(_unsafeStart: data, count: count)
    checkStream(bytes)
    _ = ReturnedRequest.branch(bytes)
    var index = MessageIndex()
    let result = Scanner.scan(bytes, into: &index)
    guard result != .notSIP else { return 0 }
    let message = Message(bytes, index)
    checkRanges(message)
    readEverything(message)
    buildEverything(message, isComplete: result == .complete)
    return 0
}

/// Every range that the index holds lies in the message.
private func checkRanges(_ message: borrowing Message) {
    let index = message.index
    let count = message.bytes.count
    let via = index.topVia
    for range in [
        index.methodRange, index.requestURI, index.reason, index.cseqMethodRange, index.fromTag, index.toTag,
        index.callID, index.whole, index.body, via.whole, via.sentBy, via.host, via.branch, via.received,
        via.rport,
    ] {
        precondition(range.end <= count)
    }
    precondition(index.start <= index.headersOffset && index.headersOffset <= index.headersEnd)
    precondition(
        index.headersEnd <= index.bodyOffset && index.bodyOffset <= index.end && Int(index.end) <= count)
    precondition(via.isEmpty || (via.host.start >= via.whole.start && via.host.end <= via.whole.end))
    for id in HeaderID.allCases {
        let field = index.first(id)
        precondition(field.line <= field.lineEnd && field.lineEnd <= index.headersEnd)
        precondition(field.value.isEmpty || field.value.start > Int(field.line))
        precondition(field.value.isEmpty || field.value.end < Int(field.lineEnd))
    }
}

/// Lines, values, addresses, URIs, parameters.
private func readEverything(_ message: borrowing Message) {
    let bytes = message.bytes
    var counts = [UInt16](repeating: 0, count: HeaderID.allCases.count)
    var lines = message.lines
    var previousEnd = message.index.headersOffset
    while let line = lines.next() {
        precondition(line.field.line >= previousEnd)
        previousEnd = line.field.lineEnd
        counts[Int(line.id.rawValue)] += 1
    }
    for id in HeaderID.allCases {
        precondition(counts[Int(id.rawValue)] == message.index.first(id).count)
        guard message.index.has(id) else { continue }
        var values = message.values(id)
        while let value = values.next() {
            precondition(value.range.end <= bytes.count && !value.range.isEmpty)
            if let via = Via.parse(bytes, value.range) { precondition(via.whole.end <= value.range.end) }
            _ = qThousandths(bytes, value.range)
            _ = parseDecimal(bytes, value.range)
            guard let address = NameAddress.parse(bytes, value.range) else { continue }
            precondition(Int(address.end) <= value.range.end && address.parameters.end <= value.range.end)
            _ = address.parameter(named: "expires", bytes)?.unquoted(bytes)
            if let uri = SIPURI.parse(bytes, address.uri) { readURI(uri, message) }
        }
    }
    if let uri = SIPURI.parse(bytes, message.index.requestURI) { readURI(uri, message) }
}

private func readURI(_ uri: SIPURI, _ message: borrowing Message) {
    let bytes = message.bytes
    for range in [uri.user, uri.password, uri.host, uri.parameters, uri.headers] where !range.isEmpty {
        precondition(range.start >= uri.whole.start && range.end <= uri.whole.end)
    }
    _ = uri.transport(bytes)
    if let other = SIPURI.parse(bytes, message.index.requestURI) {
        precondition(SIPURI.equal(uri, bytes, other, bytes) == SIPURI.equal(other, bytes, uri, bytes))
    }
    guard uri.isSIP else { return }
    checkAddressOfRecord(uri, bytes)
}

/// What is built from a complete message must be complete; from a faulty one it may be anything but a trap.
private func buildEverything(_ message: borrowing Message, isComplete: Bool) {
    let peer = SocketAddress(ipv4: 0xC000_0201, port: 5060)
    let via = Array("Via: SIP/2.0/UDP us;branch=z9hG4bK1\r\n".utf8)
    let recordRoute = Array("Record-Route: <sip:us;lr>\r\n".utf8)
    let route = Array("<sip:last>".utf8)
    let tag = Array("t".utf8)
    let drop = message.bytes.count % 4
    let answer = written { writer in
        LocalResponse.write(request: message, status: 404, toTag: tag.span, peer: peer, to: &writer)
    }
    var fields: HopFields?
    let onward = written { writer in
        var edits = ForwardedRequest.Edits()
        edits.maxBreadth = drop
        edits.routesToDrop = drop
        edits.dropsLastRoute = drop == 1
        edits.received = peer
        fields = ForwardedRequest.write(
            message: message, requestURI: nil, via: via.span, recordRoute: recordRoute.span,
            appendRoute: drop == 1 ? route.span : nil, edits, to: &writer)
    }
    let back = written { ForwardedResponse.write(message, to: &$0) }
    let cancel = written { CancelRequest.write(forwarded: message, to: &$0) }
    let ack = written { AckRequest.write(forwarded: message, response: message, to: &$0) }
    let (from, to) = ForwardedResponse.cut(message)
    precondition(Int(message.index.start) <= from && from <= to && to <= Int(message.index.end))
    precondition(back.count == Int(message.index.length) - (to - from))
    let second = message.secondVia()

    guard isComplete else { return }
    if message.isRequest {
        expectComplete(answer, like: message, isRequest: false)
        expectComplete(onward, like: message, isRequest: true)
        if let fields { expectSameCancel(onward, fields) }
        expectComplete(cancel, like: message, isRequest: true)
        expectComplete(ack, like: message, isRequest: true)
    } else if second != nil {
        expectComplete(back, like: message, isRequest: false)
    }
}

/// A CANCEL is the same with what is known of a request that was sent as with what a scan finds.
private func expectSameCancel(_ sent: [UInt8], _ fields: HopFields) {
    guard sent.count <= 65_535 else { return }
    var index = MessageIndex()
    guard Scanner.scan(sent.span, into: &index) == .complete else { return }
    precondition(fields.lies(in: sent.count))
    let known = written { CancelRequest.write(forwarded: sent.span, fields, to: &$0) }
    precondition(known == written { CancelRequest.write(forwarded: Message(sent.span, index), to: &$0) })
}

private func expectComplete(_ bytes: [UInt8], like message: borrowing Message, isRequest: Bool) {
    guard bytes.count <= 65_535 else { return }
    var index = MessageIndex()
    precondition(Scanner.scan(bytes.span, into: &index) == .complete)
    precondition(index.isRequest == isRequest)
    precondition(index.cseqNumber == message.index.cseqNumber)
    precondition(bytes.span.matches(index.callID, message.index.callID, of: message.bytes))
    precondition(bytes.span.matches(index.fromTag, message.index.fromTag, of: message.bytes))
}
