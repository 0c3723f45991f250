import Platform
import SharedState
import Syntax

/// An address of record as operators write it: `sip:alice@example.org`, `alice@example.org`, or `alice` for a
/// user of the first domain of the server.
enum AddressOfRecord {
    /// The URI of it; nil where it is none.
    static func uri(_ text: String, _ state: SharedState) -> String? {
        let isName = !text.contains { $0 == "@" || $0 == ":" }
        let uri = isName ? "sip:\(text)@\(defaultDomain(state))" : withScheme(text)
        let bytes = Array(uri.utf8)
        guard let parsed = SIPURI.parse(bytes.span), parsed.isSIP, !parsed.user.isEmpty else { return nil }
        return uri
    }

    /// The form under which the table has it, from a URI or one without its scheme; nil where it is none.
    static func canonical(_ text: String) -> [UInt8]? {
        let bytes = Array(withScheme(text).utf8)
        guard let uri = SIPURI.parse(bytes.span), uri.isSIP else { return nil }
        return unsafe withUnsafeTemporaryAllocation(byteCount: bytes.count * 3, alignment: 1) { buffer in
            var writer = unsafe ByteWriter(buffer)
            uri.writeAddressOfRecord(bytes.span, to: &writer)
            return unsafe writer.overflowed ? nil : Array(buffer[..<writer.count])
        }
    }

    private static func withScheme(_ text: String) -> String {
        let scheme = text.prefix { $0 != ":" && $0 != "@" }.lowercased()
        let hasScheme = text.dropFirst(scheme.count).first == ":" && (scheme == "sip" || scheme == "sips")
        return hasScheme ? text : "sip:" + text
    }

    /// The first of `server.domains`; a server without any has users at its listening address.
    private static func defaultDomain(_ state: SharedState) -> String {
        let snapshot = state.configuration.snapshot
        guard snapshot.domainCount > 0 else { return snapshot.advertised[0].text }
        let name = (1..<1 + Int(snapshot.domains[0])).map { snapshot.domains[$0] }
        return String(decoding: name, as: UTF8.self)
    }
}
