import Platform

extension SIPURI {
    /// Writes the address of record in the one form that all equal ones share (RFC 3261 §10.3 step 5):
    /// `user@host`, or `host` where there is no user; parameters, headers, password and port left out, the
    /// host in lower case, an IPv6 address in the text form of RFC 5952 (RFC 5954 §4: texts do not count).
    ///
    ///     SIP:%61lice;x=%40@AtLanTa.com:5060;lr  →  alice;x=%40@atlanta.com
    ///     sip:bob@[2001:0DB8:0::0.0.0.1]         →  bob@[2001:db8::1]
    ///
    /// Escapes of unreserved characters are resolved. Everything else that needs one is escaped in capitals,
    /// whether it was or not, so that the form is stable: writing what was written gives the same again.
    package func writeAddressOfRecord(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        writeUser(bytes, to: &writer)
        guard !host.isEmpty else { return }
        if !user.isEmpty { writer.append(Ascii.at) }
        if let address = ipv6Address(bytes) { return address.writeHost(to: &writer) }
        for place in host.start..<host.end { writer.append(bytes[place].lowercased) }
    }

    /// The user in that form; of a tel URI the number without visual separators (RFC 3966 §5.1.1), which
    /// mean nothing.
    package func writeUser(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        var characters = URICharacters(bytes, user)
        while let character = characters.next() {
            let byte = character.byte
            if scheme == .tel && SIPURI.isVisualSeparator(byte) { continue }
            let isPlain =
                CharacterSet.unreserved.contains(byte)
                || (!character.isEscaped && CharacterSet.reserved.contains(byte))
            if isPlain {
                writer.append(byte)
            } else {
                writer.append(Ascii.percent)
                writer.append(SIPURI.capitalDigit(byte >> 4))
                writer.append(SIPURI.capitalDigit(byte & 15))
            }
        }
    }

    /// True where the user is a telephone number (RFC 3966 §3): + and digits, or digits, * # and A to F of a
    /// local number, with visual separators.
    package func isTelephoneNumber(_ bytes: Span<UInt8>) -> Bool {
        var characters = URICharacters(bytes, user)
        var isGlobal = false
        var digits = 0
        var isFirst = true
        while let character = characters.next() {
            let byte = character.byte
            defer { isFirst = false }
            if isFirst && byte == UInt8(ascii: "+") {
                isGlobal = true
            } else if byte.isDigit
                || !isGlobal && (byte.hexadecimalValue != nil || byte == UInt8(ascii: "*") || byte == 0x23)
            {
                digits += 1
            } else if !SIPURI.isVisualSeparator(byte) {
                return false
            }
        }
        return digits > 0
    }

    /// The host where it is an IPv6 address, port 0; nil where it is a name or an IPv4 address.
    func ipv6Address(_ bytes: Span<UInt8>) -> SocketAddress? {
        guard host.lies(in: bytes), !host.isEmpty, bytes[host.start] == Ascii.openBracket else { return nil }
        return SocketAddress(host: bytes.extracting(host.start..<host.end), port: 0)
    }

    private static func isVisualSeparator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "-") || byte == Ascii.dot || byte == UInt8(ascii: "(")
            || byte == UInt8(ascii: ")")
    }

    private static func capitalDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? nibble &+ 0x30 : nibble &+ 0x37
    }
}
