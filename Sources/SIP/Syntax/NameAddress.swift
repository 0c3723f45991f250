/// A From, To, Contact, Route … value: `"Bob" <sip:bob@example.org;lr>;tag=1` or `sip:bob@example.org;tag=1`.
/// In the second form the parameters are the header's, not the URI's (RFC 3261 §20.10).
package struct NameAddress: BitwiseCopyable, Sendable {
    /// As it stands there, quotes included; empty where there is none.
    package var displayName: ByteRange = .none
    /// Without angle brackets.
    package var uri: ByteRange = .none
    /// Of the header field, without the first semicolon.
    package var parameters: ByteRange = .none
    /// The value of the tag parameter.
    package var tag: ByteRange = .none
    /// Where a further parameter would go, or a comma stands: behind URI and parameters.
    package var end: UInt16 = 0
    package var isEnclosed = false

    package init() {}

    /// The value in `range`, up to its end or a comma outside quotes and brackets; nil where the quotes or
    /// brackets do not match, the display name has characters that need quotes, or the URI has white space or
    /// no scheme.
    package static func parse(_ bytes: Span<UInt8>, _ range: ByteRange) -> NameAddress? {
        guard range.lies(in: bytes) else { return nil }
        let end = range.end
        let start = bytes.skippingWhitespace(range.start, end)
        var address = NameAddress()
        guard let less = address.parseDisplayName(bytes, start, end) else { return nil }
        var place: Int
        if less < end {
            address.isEnclosed = true
            place = bytes.endOfAddress(less &+ 1, end, isEnclosed: true)
            guard place < end, bytes[place] == Ascii.greater else { return nil }
            address.uri = ByteRange(less &+ 1, place)
            place &+= 1
        } else {
            place = bytes.endOfAddress(start, end, isEnclosed: false)
            address.uri = ByteRange(start, place)
            // §20.10: a URI with comma, semicolon or question mark must be enclosed.
            guard bytes.first(Ascii.question, start, place) == place else { return nil }
        }
        let uriStart = address.uri.start
        guard let colon = bytes.endOfScheme(uriStart, address.uri.end), colon &+ 1 < address.uri.end else {
            return nil
        }
        return address.parseParameters(bytes, place, end) ? address : nil
    }

    /// The `<`, or `end` where the value is a bare URI.
    @inline(__always)
    private mutating func parseDisplayName(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
        guard start < end else { return nil }
        var place = start
        if bytes[start] == Ascii.quote {
            guard let quoteEnd = bytes.endOfQuotedString(start, end) else { return nil }
            displayName = ByteRange(start, quoteEnd)
            place = bytes.skippingWhitespace(quoteEnd, end)
            return place < end && bytes[place] == Ascii.less ? place : nil
        }
        while place < end {
            let byte = bytes[place]
            if byte == Ascii.less {
                displayName = bytes.trimmed(start, place)
                return place
            }
            // Tokens and white space; beyond ASCII against the grammar, but harmless and in use.
            if byte == Ascii.colon { return end }
            guard CharacterSet.token.contains(byte) || byte.isWhitespace || byte >= 0x80 else { return nil }
            place &+= 1
        }
        return nil
    }

    @inline(__always)
    private mutating func parseParameters(_ bytes: Span<UInt8>, _ start: Int, _ rangeEnd: Int) -> Bool {
        end = UInt16(truncatingIfNeeded: start)
        let place = bytes.skippingWhitespace(start, rangeEnd)
        guard place < rangeEnd, bytes[place] != Ascii.comma else { return true }
        guard bytes[place] == Ascii.semicolon, place &+ 1 < rangeEnd else { return false }
        var list = Parameters(bytes, ByteRange(place &+ 1, rangeEnd))
        while let parameter = list.next() {
            guard parameter.name.count == 3, tag.isEmpty else { continue }
            if bytes.key(parameter.name.start, 3) == Word.key("tag") { tag = parameter.value }
        }
        parameters = bytes.trimmed(place &+ 1, list.position)
        end = UInt16(truncatingIfNeeded: parameters.end)
        return list.isWellFormed
    }

    /// The header parameter of that name; names are compared without regard to case.
    package func parameter(named name: StaticString, _ bytes: Span<UInt8>) -> Parameter? {
        Parameters.find(name, in: parameters, bytes)
    }
}

extension Span<UInt8> {
    /// Behind the URI at `start`: the first byte that ends it, `>`, white space, a control character, a
    /// quote, or (in a bare URI the grammar forbids them) semicolon and comma.
    @inline(__always)
    fileprivate func endOfAddress(_ start: Int, _ end: Int, isEnclosed: Bool) -> Int {
        isEnclosed
            ? first(start, end) { $0.notInURI }
            : first(start, end) { $0.notInURI | $0.equal(Ascii.semicolon) | $0.equal(Ascii.comma) }
    }
}
