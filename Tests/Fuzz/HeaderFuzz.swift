// libFuzzer target for the values of header fields: one value, read as an address, a Via, a list of
// parameters, a number.
import Platform
import Syntax

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let data = unsafe data, count < 65_000 else { return 0 }
    let bytes = unsafe Span<UInt8>(_unsafeStart: data, count: count)
    let whole = bytes.wholeRange
    checkParameters(bytes, whole)
    _ = qThousandths(bytes, whole)
    _ = parseDecimal(bytes, whole)
    if let via = Via.parse(bytes, whole) { checkVia(via, bytes) }
    if let address = NameAddress.parse(bytes, whole) { checkAddress(address, bytes) }
    checkLines(bytes)
    return 0
}

private func checkParameters(_ bytes: Span<UInt8>, _ range: ByteRange) {
    var list = Parameters(bytes, range)
    var before = range.start
    while let parameter = list.next() {
        precondition(parameter.name.start >= before && parameter.name.end <= range.end)
        precondition(parameter.value.isEmpty || parameter.value.start >= parameter.name.end)
        let text = parameter.unquoted(bytes)
        precondition(text.end <= range.end)
        before = max(parameter.name.end, parameter.value.end)
    }
    _ = Parameters.find("expires", in: range, bytes)
}

private func checkVia(_ via: Via, _ bytes: Span<UInt8>) {
    for range in [via.sentBy, via.host, via.branch, via.received, via.rport] where !range.isEmpty {
        precondition(range.start >= via.whole.start && range.end <= via.whole.end)
    }
    precondition(via.whole.end <= bytes.count)
    _ = via.portOrDefault
    // It ends where a value ends: alone it is the same.
    guard let alone = Via.parse(bytes, via.whole) else { preconditionFailure("a Via cut to its end is none") }
    precondition(alone.branch == via.branch && alone.host == via.host && alone.port == via.port)
}

private func checkAddress(_ address: NameAddress, _ bytes: Span<UInt8>) {
    precondition(Int(address.end) <= bytes.count && address.parameters.end <= Int(address.end))
    precondition(address.uri.end <= Int(address.end))
    _ = address.parameter(named: "tag", bytes)
    _ = address.parameter(named: "q", bytes).map { qThousandths(bytes, $0.value) }
    if let uri = SIPURI.parse(bytes, address.uri) { precondition(uri.whole.end <= address.uri.end) }
}

/// The same value in headers that are lists, in a whole message, which only the master's scan lets through.
private func checkLines(_ bytes: Span<UInt8>) {
    let text = written { writer in
        writer.append(
            "REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\n")
        writer.append(
            "To: <sip:a>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 1\r\nContent-Length: 0\r\n")
        for name: StaticString in [
            "Route: ", "Contact: ", "Path: ", "Proxy-Require: ", "Supported: ", "Via: ",
        ] {
            writer.append(name)
            writer.append(bytes)
            writer.append("\r\n")
        }
        writer.append("\r\n")
    }
    guard text.count <= 65_535 else { return }
    var index = MessageIndex()
    guard Scanner.scan(text.span, into: &index) == .complete else { return }
    let message = Message(text.span, index)
    for id: HeaderID in [.route, .contact, .path, .proxyRequire, .supported, .via] {
        var values = message.values(id)
        while let value = values.next() {
            precondition(value.range.end <= text.count && !value.range.isEmpty)
        }
    }
    _ = written { _ = OptionTags.writeUnsupported(message, in: .proxyRequire, to: &$0) }
    _ = message.lists("path", in: .supported)
    _ = message.secondVia()
}
