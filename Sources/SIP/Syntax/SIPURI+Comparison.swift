import Platform

/// Reads a URI component character by character with escapes resolved where RFC 3261 §19.1.4 calls both forms
/// equal: an escaped *reserved* character is not the same as the plain one, every other escaped character is.
///
///     %61lice → a l i c e        user%40x → u s e r (reserved @) x        v%41%25 → v A %
struct URICharacters: ~Escapable {
    struct Character: Equatable {
        var byte: UInt8
        /// Written as %-escape though reserved: differs from the plain character.
        var isEscaped: Bool
    }

    private let bytes: Span<UInt8>
    private let end: Int
    var position: Int

    @inline(__always)
    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        self.bytes = bytes
        position = range.start
        end = range.lies(in: bytes) ? range.end : range.start
    }

    @inline(__always)
    mutating func next() -> Character? {
        guard position < end else { return nil }
        let byte = bytes[position]
        position &+= 1
        guard byte == Ascii.percent, position &+ 1 < end, let high = bytes[position].hexadecimalValue,
            let low = bytes[position &+ 1].hexadecimalValue
        else { return Character(byte: byte, isEscaped: false) }
        position &+= 2
        let decoded = high << 4 | low
        return Character(byte: decoded, isEscaped: CharacterSet.reserved.contains(decoded))
    }

    /// True where both hold the same characters.
    static func equal(
        _ left: Span<UInt8>, _ leftRange: ByteRange, _ right: Span<UInt8>, _ rightRange: ByteRange,
        ignoringCase: Bool
    ) -> Bool {
        var first = URICharacters(left, leftRange)
        var second = URICharacters(right, rightRange)
        while true {
            guard let a = first.next() else { return second.next() == nil }
            guard let b = second.next() else { return false }
            if a == b { continue }
            guard ignoringCase, a.isEscaped == b.isEscaped, a.byte.lowercased == b.byte.lowercased else {
                return false
            }
        }
    }

    static func equal(
        _ left: Span<UInt8>, _ range: ByteRange, ignoringCase text: StaticString
    ) -> Bool {
        var characters = URICharacters(left, range)
        for index in 0..<text.utf8CodeUnitCount {
            // Inside the literal.
            let wanted = unsafe text.utf8Start[index]
            guard let found = characters.next(), !found.isEscaped, found.byte.lowercased == wanted else {
                return false
            }
        }
        return characters.next() == nil
    }
}

/// Comparison of URIs after RFC 3261 §19.1.4 and RFC 5954 §4; not transitive.
///
/// Ours beyond the text: tel URIs and unknown schemes are compared with scheme and parameters without regard
/// to case, the rest byte for byte; URIs with more than 64 parameters or headers are equal to nothing (the
/// comparison is quadratic, and nobody sends such).
extension SIPURI {
    private static let mostComponents = 64

    package static func equal(
        _ a: SIPURI, _ aBytes: Span<UInt8>, _ b: SIPURI, _ bBytes: Span<UInt8>
    ) -> Bool {
        guard a.scheme == b.scheme else { return false }
        if a.scheme == .other {
            return a.whole.count == b.whole.count
                && URICharacters.equal(aBytes, a.whole, bBytes, b.whole, ignoringCase: false)
        }
        guard a.port == b.port, a.hasPassword == b.hasPassword,
            URICharacters.equal(aBytes, a.user, bBytes, b.user, ignoringCase: false),
            URICharacters.equal(aBytes, a.password, bBytes, b.password, ignoringCase: false),
            hostsAgree(a, aBytes, b, bBytes)
        else { return false }
        return parametersAgree(a, aBytes, b, bBytes) && parametersAgree(b, bBytes, a, aBytes)
            && headersAgree(a, aBytes, b, bBytes) && headersAgree(b, bBytes, a, aBytes)
    }

    /// True where both are URIs, and equal.
    package static func equal(_ left: Span<UInt8>, _ right: Span<UInt8>) -> Bool {
        guard let a = parse(left), let b = parse(right) else { return false }
        return equal(a, left, b, right)
    }

    /// IPv6 addresses by their value (RFC 5954 §4), all else by its text.
    private static func hostsAgree(
        _ a: SIPURI, _ aBytes: Span<UInt8>, _ b: SIPURI, _ bBytes: Span<UInt8>
    ) -> Bool {
        if URICharacters.equal(aBytes, a.host, bBytes, b.host, ignoringCase: true) { return true }
        guard let left = a.ipv6Address(aBytes), let right = b.ipv6Address(bBytes) else { return false }
        return left == right
    }

    /// Each parameter of `a` that `b` has too matches, and none is missing in `b` that must not be.
    private static func parametersAgree(
        _ a: SIPURI, _ aBytes: Span<UInt8>, _ b: SIPURI, _ bBytes: Span<UInt8>
    ) -> Bool {
        var list = URIComponents(aBytes, a.parameters, separator: Ascii.semicolon)
        var count = 0
        while let (name, value) = list.next() {
            count += 1
            if count > mostComponents { return false }
            var others = URIComponents(bBytes, b.parameters, separator: Ascii.semicolon)
            var isPresent = false
            var otherCount = 0
            while !isPresent, let (otherName, otherValue) = others.next() {
                otherCount += 1
                if otherCount > mostComponents { return false }
                guard URICharacters.equal(aBytes, name, bBytes, otherName, ignoringCase: true) else {
                    continue
                }
                isPresent = true
                guard URICharacters.equal(aBytes, value, bBytes, otherValue, ignoringCase: true) else {
                    return false
                }
            }
            if !isPresent && mustBeInBoth(aBytes, name) { return false }
        }
        return true
    }

    private static func mustBeInBoth(_ bytes: Span<UInt8>, _ name: ByteRange) -> Bool {
        URICharacters.equal(bytes, name, ignoringCase: "transport")
            || URICharacters.equal(bytes, name, ignoringCase: "user")
            || URICharacters.equal(bytes, name, ignoringCase: "ttl")
            || URICharacters.equal(bytes, name, ignoringCase: "method")
            || URICharacters.equal(bytes, name, ignoringCase: "maddr")
    }

    /// Each header of `a` is in `b` with the same value.
    private static func headersAgree(
        _ a: SIPURI, _ aBytes: Span<UInt8>, _ b: SIPURI, _ bBytes: Span<UInt8>
    ) -> Bool {
        var list = URIComponents(aBytes, a.headers, separator: Ascii.ampersand)
        var count = 0
        while let (name, value) = list.next() {
            count += 1
            if count > mostComponents { return false }
            var others = URIComponents(bBytes, b.headers, separator: Ascii.ampersand)
            var isPresent = false
            var otherCount = 0
            while !isPresent, let (otherName, otherValue) = others.next() {
                otherCount += 1
                if otherCount > mostComponents { return false }
                isPresent =
                    URICharacters.equal(aBytes, name, bBytes, otherName, ignoringCase: true)
                    && URICharacters.equal(aBytes, value, bBytes, otherValue, ignoringCase: true)
            }
            if !isPresent { return false }
        }
        return true
    }
}
