import Configuration
import Platform
import Proxy
import SharedState
import Syntax

/// Which messages begin to be traced, as `sipforkctl trace on` says it.
///
///     call-id=a84b4c76e66710@pc33     a Call-ID
///     user=alice, user=alice@h        the user of Request-URI, From or To, and his host
///     source=192.0.2.7, 192.0.2.0/24  where it came from
///     alice, a84b4c76e66710           a user or a Call-ID
///     alice@h                         a user with his host, or a Call-ID
///     192.0.2.7                       a source
struct TraceFilter {
    /// Why a text is no filter.
    enum Fault: Error, Equatable {
        case empty, tooLong, badCharacter, badUser, badSource

        var text: String {
            switch self {
            case .empty: "The filter is empty"
            case .tooLong: "The filter is longer than \(TraceRegion.longestFilter) bytes"
            case .badCharacter: "The filter has a blank or a control character"
            case .badUser: "That is no user such as alice or alice@example.org"
            case .badSource: "That is no address such as 192.0.2.7, or network such as 192.0.2.0/24"
            }
        }
    }

    /// As it was given.
    let text: [UInt8]
    private var callID: [UInt8] = []
    /// In the form of addresses of record: the user, and behind it @ and the host where the filter has one.
    private var user: [UInt8] = []
    private var hasHost = false
    private var network: Network?

    init(_ text: [UInt8]) throws(Fault) {
        self.text = text
        if text.isEmpty { throw .empty }
        if text.count > TraceRegion.longestFilter { throw .tooLong }
        if text.contains(where: { $0 <= 0x20 || $0 == 0x7F }) { throw .badCharacter }
        if let value = TraceFilter.value(of: text, "call-id=") {
            if value.isEmpty { throw .empty }
            callID = value
        } else if let value = TraceFilter.value(of: text, "user=") {
            guard setUser(value) else { throw .badUser }
        } else if let value = TraceFilter.value(of: text, "source=") {
            guard let network = TraceFilter.network(value) else { throw .badSource }
            self.network = network
        } else if let network = TraceFilter.network(text) {
            self.network = network
        } else {
            // No Call-ID has two, and an address with a wrong prefix is none.
            if text.count(where: { $0 == UInt8(ascii: "@") }) > 1 { throw .badUser }
            if let slash = text.firstIndex(of: UInt8(ascii: "/")),
                TraceFilter.network(Array(text[..<slash])) != nil
            {
                throw .badSource
            }
            callID = text
            _ = setUser(text)
        }
    }

    private static func value(of text: [UInt8], _ name: String) -> [UInt8]? {
        let key = Array(name.utf8)
        guard text.count >= key.count else { return nil }
        for index in key.indices where text[index] | 0x20 != key[index] | 0x20 { return nil }
        return Array(text[key.count...])
    }

    private static func network(_ value: [UInt8]) -> Network? {
        var text = String(decoding: value, as: UTF8.self)
        if text.hasPrefix("["), text.hasSuffix("]") { text = String(text.dropFirst().dropLast()) }
        return Network(specification: text)
    }

    /// False where it is no user, or user and host.
    private mutating func setUser(_ value: [UInt8]) -> Bool {
        hasHost = value.contains(UInt8(ascii: "@"))
        let hasScheme = [Array("sip:".utf8), Array("sips:".utf8), Array("tel:".utf8)].contains {
            value.starts(with: $0)
        }
        let uri =
            (hasScheme ? [] : Array("sip:".utf8)) + value + (hasHost || hasScheme ? [] : Array("@h".utf8))
        guard let parsed = SIPURI.parse(uri.span), !parsed.user.isEmpty, parsed.parameters.isEmpty else {
            return false
        }
        let hasHost = hasHost
        user = unsafe withUnsafeTemporaryAllocation(byteCount: uri.count * 3, alignment: 1) { buffer in
            var writer = unsafe ByteWriter(buffer)
            TraceFilter.write(parsed, uri.span, hasHost: hasHost, to: &writer)
            return unsafe Array(buffer[..<writer.count])
        }
        return true
    }

    private static func write(
        _ uri: SIPURI, _ bytes: Span<UInt8>, hasHost: Bool, to writer: inout ByteWriter
    ) {
        if hasHost { uri.writeAddressOfRecord(bytes, to: &writer) } else { uri.writeUser(bytes, to: &writer) }
    }

    // MARK: matching

    /// - Parameter line: scratch.
    func matches(_ message: Message, from peer: SocketAddress, _ line: ByteWriter) -> Bool {
        if let network { return network.contains(peer.unmapped) }
        if !callID.isEmpty && message.callID.isEqual(to: callID.span) { return true }
        if user.isEmpty { return false }
        return message.isRequest && isUser(message.requestURI, line)
            || isUser(of: message, .from, line) || isUser(of: message, .to, line)
    }

    private func isUser(of message: Message, _ id: HeaderID, _ line: ByteWriter) -> Bool {
        let value = message.value(id)
        guard let address = NameAddress.parse(value, value.wholeRange) else { return false }
        return isUser(value.slice(address.uri), line)
    }

    private func isUser(_ bytes: Span<UInt8>, _ line: ByteWriter) -> Bool {
        guard let uri = SIPURI.parse(bytes), !uri.user.isEmpty else { return false }
        var text = line
        text.reset()
        TraceFilter.write(uri, bytes, hasHost: hasHost, to: &text)
        return !text.overflowed && text.written.isEqual(to: user.span)
    }
}
