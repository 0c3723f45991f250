import Platform
import SharedState
import Syntax

/// A REGISTER, and the texts of it that each of its bindings keeps: what `Registrar` has written of it.
package struct RegisterRequest: ~Escapable {
    package let message: Message
    /// As `Registrar.writePath` and `writeUserAgent` write them.
    package let path: Span<UInt8>
    package let userAgent: Span<UInt8>

    @_lifetime(copy message, copy path, copy userAgent)
    package init(_ message: Message, path: Span<UInt8>, userAgent: Span<UInt8>) {
        self.message = message
        self.path = path
        self.userAgent = userAgent
    }

    /// The binding that a contact of this request makes.
    @_lifetime(copy self)
    package func binding(_ contact: RequestedContact) -> BindingFields {
        BindingFields(
            uri: message.bytes.slice(contact.uri.whole), callID: message.callID, path: path,
            userAgent: userAgent, expiresAt: contact.expiresAt, q: contact.q, cseq: message.index.cseqNumber)
    }
}

extension Registrar {
    /// Longer ones are refused.
    package static let longestAddressOfRecord = 1024
    package static let longestPath = 2048
    /// Of a longer one the begin is kept.
    package static let longestUserAgent = 128

    /// Writes the address of record of a REGISTER, from its To (§10.3 step 5). False where To holds no SIP
    /// URI or one too long; the writer has `longestAddressOfRecord` bytes of room.
    package static func writeAddressOfRecord(
        _ request: borrowing Message, to writer: inout ByteWriter
    ) -> Bool {
        guard let address = NameAddress.parse(request.bytes, request.index.first(.to).value),
            let uri = SIPURI.parse(request.bytes, address.uri), uri.isSIP
        else { return false }
        uri.writeAddressOfRecord(request.bytes, to: &writer)
        return !writer.overflowed && writer.count > 0
    }

    /// Writes the values of all Path lines in their order, joined by ", ", without folds (RFC 3327 §5.3);
    /// nothing where there are none. Each must be what a Route can carry: a SIP URI in angle brackets.
    package static func writePath(_ request: borrowing Message, to writer: inout ByteWriter) -> RegisterReason
    {
        guard request.index.has(.path) else { return .accepted }
        let bytes = request.bytes
        var values = request.values(.path)
        var isFirst = true
        while let value = values.next() {
            guard let address = NameAddress.parse(bytes, value.range), address.isEnclosed,
                Int(address.end) == value.range.end, let uri = SIPURI.parse(bytes, address.uri), uri.isSIP
            else { return .badPath }
            if !isFirst { writer.append(", ") }
            writer.append(bytes, value.range, unfolding: true)
            isFirst = false
        }
        if isFirst { return .badPath }
        return writer.overflowed ? .pathTooLong : .accepted
    }

    /// Writes the begin of User-Agent, whole characters, without folds; nothing where there is none.
    package static func writeUserAgent(_ request: borrowing Message, to writer: inout ByteWriter) {
        let value = request.index.first(.userAgent).value
        var end = min(value.end, value.start + longestUserAgent)
        while end < value.end && end > value.start && request.bytes[end] & 0xC0 == 0x80 { end -= 1 }
        writer.append(request.bytes, ByteRange(value.start, end), unfolding: true)
    }
}
