// libFuzzer target for URIs: two of them, one a line. Whatever they are, comparing is symmetric, ranges lie
// in the text, and what is written of a URI is one that means the same.
import Platform
import Syntax

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let data = unsafe data, count < 65_000 else { return 0 }
    let bytes = unsafe Span<UInt8>(_unsafeStart: data, count: count)
    var end = 0
    while end < count && bytes[end] != 0x0A { end += 1 }
    let left = bytes.extracting(0..<end)
    let right = bytes.extracting(min(end + 1, count)..<count)
    precondition(SIPURI.equal(left, right) == SIPURI.equal(right, left))
    check(left)
    check(right)
    return 0
}

private func check(_ bytes: Span<UInt8>) {
    _ = SocketAddress(host: bytes, port: 5060)
    guard let uri = SIPURI.parse(bytes) else { return }
    for range in [uri.user, uri.password, uri.host, uri.parameters, uri.headers] where !range.isEmpty {
        precondition(range.start >= uri.whole.start && range.end <= uri.whole.end)
    }
    precondition(uri.whole.end <= bytes.count)
    _ = uri.transport(bytes)
    _ = uri.hasParameter("lr", bytes)
    _ = uri.isTelephoneNumber(bytes)
    _ = Glob.matches(bytes.slice(uri.user), bytes.slice(uri.host), ignoringCase: true)
    guard uri.isSIP else { return }
    checkRequestURI(uri, bytes)
    checkAddressOfRecord(uri, bytes)
    let direct = written { uri.writeWithoutMaddr(bytes, to: &$0) }
    guard let again = SIPURI.parse(direct.span) else { preconditionFailure("without maddr it is no URI") }
    precondition(!again.hasParameter("maddr", direct.span))
}

/// §19.1.1: without what may not stand in a Request-URI; then nothing is left to take out.
private func checkRequestURI(_ uri: SIPURI, _ bytes: Span<UInt8>) {
    let request = written { uri.writeRequestURI(bytes, to: &$0) }
    guard let again = SIPURI.parse(request.span) else { preconditionFailure("a Request-URI is no URI") }
    precondition(!again.needsEditing(request.span))
    let twice = written { again.writeRequestURI(request.span, to: &$0) }
    precondition(request == twice)
}
