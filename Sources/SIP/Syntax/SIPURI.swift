/// A URI as SIP messages carry it (RFC 3261 §19.1.1, tel: RFC 3966): ranges into the bytes it was parsed
/// from.
///
///     sip:alice:secret@atlanta.example.com:5060;transport=tcp?subject=project
///     scheme user password    host         port  parameters    headers
package struct SIPURI: BitwiseCopyable, Sendable {
    package enum Scheme: UInt8, BitwiseCopyable, Sendable {
        case sip, sips, tel, other
    }

    package var scheme: Scheme = .other
    /// Of the host; 0 where absent.
    package var port: UInt16 = 0
    package var whole: ByteRange = .none
    /// Empty where absent. Of a tel URI: the number. Of `other`: empty, as all that follows.
    package var user: ByteRange = .none
    package var password: ByteRange = .none
    /// Brackets of an IPv6 address included.
    package var host: ByteRange = .none
    /// Without the first semicolon.
    package var parameters: ByteRange = .none
    /// Without the question mark.
    package var headers: ByteRange = .none
    /// A colon follows the user, the password behind it may be empty.
    package var hasPassword = false

    package init() {}

    package var isSIP: Bool { scheme == .sip || scheme == .sips }

    /// Nil where `range` holds no URI: white space, control characters, `<>"`, a broken %-escape, no scheme,
    /// or (sip and sips) no host or a bad port. Lenient with other characters that ought to be escaped.
    package static func parse(_ bytes: Span<UInt8>, _ range: ByteRange) -> SIPURI? {
        guard range.lies(in: bytes) else { return nil }
        let end = range.end
        guard let colon = bytes.endOfScheme(range.start, end) else { return nil }
        var uri = SIPURI()
        uri.whole = range
        uri.scheme = Scheme(bytes, ByteRange(range.start, colon))
        let start = colon &+ 1
        guard start < end, let at = bytes.checkURI(start, end) else { return nil }
        switch uri.scheme {
        case .other: return uri
        case .tel:
            let semicolon = bytes.first(Ascii.semicolon, start, end)
            uri.user = ByteRange(start, semicolon)
            uri.parameters = ByteRange(semicolon &+ 1, end)
            return uri.user.isEmpty ? nil : uri
        case .sip, .sips: return uri.parseAddress(bytes, start, at, end) ? uri : nil
        }
    }

    /// The URI that is all of `bytes`.
    package static func parse(_ bytes: Span<UInt8>) -> SIPURI? {
        bytes.count <= 0xFFFF ? parse(bytes, bytes.wholeRange) : nil
    }

    /// [user[:password]@]host[:port][;parameters][?headers]. An @ occurs unescaped only behind the userinfo,
    /// and only there ; and ? belong to the user. `at` is `end` where there is no @.
    @inline(__always)
    private mutating func parseAddress(_ bytes: Span<UInt8>, _ start: Int, _ at: Int, _ end: Int) -> Bool {
        var place = start
        if at < end {
            let colon = bytes.first(Ascii.colon, start, at)
            user = ByteRange(start, colon)
            guard !user.isEmpty else { return false }
            if colon < at {
                hasPassword = true
                password = ByteRange(colon &+ 1, at)
            }
            place = at &+ 1
        }
        guard let hostEnd = bytes.endOfHost(place, end) else { return false }
        host = ByteRange(place, hostEnd)
        place = hostEnd
        if place < end && bytes[place] == Ascii.colon {
            guard let (value, portEnd) = bytes.port(place &+ 1, end) else { return false }
            port = value
            place = portEnd
        }
        if place < end && bytes[place] == Ascii.semicolon {
            let question = bytes.first(Ascii.question, place, end)
            parameters = ByteRange(place &+ 1, question)
            place = question
        }
        if place < end && bytes[place] == Ascii.question {
            headers = ByteRange(place &+ 1, end)
            place = end
        }
        return place == end
    }

    /// The URI parameter of that name, its value empty where it has none; nil where it is absent. Names are
    /// compared without regard to case, escapes in them not resolved.
    package func parameter(named name: StaticString, _ bytes: Span<UInt8>) -> ByteRange? {
        var list = URIComponents(bytes, parameters, separator: Ascii.semicolon)
        while let (found, value) = list.next() {
            if bytes.matches(found, ignoringCase: name) { return value }
        }
        return nil
    }

    package func hasParameter(_ name: StaticString, _ bytes: Span<UInt8>) -> Bool {
        parameter(named: name, bytes) != nil
    }

    /// The transport parameter; nil where it is absent.
    package func transport(_ bytes: Span<UInt8>) -> Via.Transport? {
        guard let value = parameter(named: "transport", bytes) else { return nil }
        return Via.Transport(bytes, value)
    }
}

extension SIPURI.Scheme {
    fileprivate init(_ bytes: Span<UInt8>, _ range: ByteRange) {
        guard range.count == 3 || range.count == 4 else {
            self = .other
            return
        }
        switch bytes.key(range.start, Int(range.count)) {
        case Word.key("sip"): self = .sip
        case Word.key("sips"): self = .sips
        case Word.key("tel"): self = .tel
        default: self = .other
        }
    }
}

/// Walks over `name[=value]` pairs of a URI: its parameters (`;`) or headers (`&`). Empty pairs are left out.
struct URIComponents: ~Escapable {
    private let bytes: Span<UInt8>
    private let end: Int
    private let separator: UInt8
    private var position: Int

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>, _ range: ByteRange, separator: UInt8) {
        self.bytes = bytes
        self.separator = separator
        position = range.start
        end = range.lies(in: bytes) ? range.end : range.start
    }

    /// The value of a pair without one is empty and lies where "=value" would go.
    mutating func next() -> (name: ByteRange, value: ByteRange)? {
        while position < end {
            let start = position
            let pairEnd = bytes.first(separator, start, end)
            position = pairEnd &+ 1
            if pairEnd == start { continue }
            let nameEnd = bytes.first(Ascii.equals, start, pairEnd)
            return (ByteRange(start, nameEnd), ByteRange(Swift.min(nameEnd &+ 1, pairEnd), pairEnd))
        }
        return nil
    }
}

extension Span<UInt8> {
    /// The first such byte in `start ..< end`, or `end`.
    @inline(__always)
    func first(_ byte: UInt8, _ start: Int, _ end: Int) -> Int { first(start, end) { $0.equal(byte) } }

    /// The colon behind the URI scheme at `start`; nil where there is none.
    @inline(__always)
    func endOfScheme(_ start: Int, _ end: Int) -> Int? {
        guard start < end, self[start].isLetter else { return nil }
        var place = start &+ 1
        while place < end && CharacterSet.scheme.contains(self[place]) { place &+= 1 }
        return place < end && self[place] == Ascii.colon ? place : nil
    }

    /// Looks at each byte of a URI: nil where one may not stand there or an escape is broken, else the place
    /// of the first @, `end` where there is none.
    @inline(__always)
    func checkURI(_ start: Int, _ end: Int) -> Int? {
        var at = end
        var place = start
        while true {
            place = first(place, end) { $0.notInURI | $0.equal(Ascii.percent) | $0.equal(Ascii.at) }
            if place >= end { return at }
            switch self[place] {
            case Ascii.percent:
                guard place &+ 2 < end, self[place &+ 1].hexadecimalValue != nil,
                    self[place &+ 2].hexadecimalValue != nil
                else { return nil }
                place &+= 3
            case Ascii.at:
                if at == end { at = place }
                place &+= 1
            default: return nil
            }
        }
    }
}
