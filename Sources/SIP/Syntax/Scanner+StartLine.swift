extension ScanPass {
    /// Reads the start line behind any empty lines (RFC 3261 §7.5); false where it is not one of SIP.
    ///
    ///     INVITE sip:bob@example.org SIP/2.0        method SP Request-URI SP version
    ///     SIP/2.0 200 OK                            version SP status SP reason
    @inline(__always)
    mutating func scanStartLine(_ index: inout MessageIndex) -> Bool {
        var start = 0
        while start < limit && (bytes[start] == Ascii.carriageReturn || bytes[start] == Ascii.lineFeed) {
            start &+= 1
        }
        let end = bytes.first(start, limit) { $0.lineEnd }
        // A line that is cut off is none; shorter than "SIP/2.0 200" is none either.
        guard end &- start >= 11, end < limit else { return false }
        index.start = UInt16(truncatingIfNeeded: start)
        if isVersion(start) {
            scanStatusLine(start, end, &index)
        } else {
            guard scanRequestLine(start, end, &index) else { return false }
        }
        if bytes[end] == Ascii.carriageReturn && end &+ 1 < limit && bytes[end &+ 1] == Ascii.lineFeed {
            position = end &+ 2
        } else {
            note(.bareLineEnd)
            position = end &+ 1
        }
        return true
    }

    /// True where "SIP/" stands at `place`, in any case (RFC 3261 §7.1).
    @inline(__always)
    private func isVersion(_ place: Int) -> Bool {
        place &+ 4 <= limit && bytes.matches(ByteRange(place, place &+ 4), ignoringCase: "sip/")
    }

    /// True where the version at `start ..< end` is 2.0.
    @inline(__always)
    private func isOurVersion(_ start: Int, _ end: Int) -> Bool {
        bytes.matches(ByteRange(start, end), ignoringCase: "sip/2.0")
    }

    @inline(__always)
    private mutating func scanRequestLine(_ start: Int, _ textEnd: Int, _ index: inout MessageIndex) -> Bool {
        var end = textEnd
        while end > start && bytes[end &- 1].isBlank { end &-= 1 }
        var version = end
        while version > start && !bytes[version &- 1].isBlank { version &-= 1 }
        guard version > start, isVersion(version) else { return false }

        var methodEnd = start
        while methodEnd < version && CharacterSet.token.contains(bytes[methodEnd]) { methodEnd &+= 1 }
        // A method of other characters than a token's: not SIP.
        guard methodEnd > start, bytes[methodEnd].isBlank else { return false }
        index.isRequest = true
        index.methodRange = ByteRange(start, methodEnd)
        index.method = Method(bytes, index.methodRange)

        if !isOurVersion(version, end) { note(.unsupportedVersion) }
        let uri = bytes.trimmed(methodEnd &+ 1, version)
        index.requestURI = uri
        // Exactly one space between the parts, none behind (RFC 3261 §7.1).
        let isExact =
            uri.start == methodEnd &+ 1 && uri.end &+ 1 == version && end == textEnd
            && bytes[methodEnd] == Ascii.space && bytes[version &- 1] == Ascii.space
        if uri.isEmpty || !isExact {
            note(.badStartLine)
        } else {
            // §19.1.1: headers have no place in a Request-URI.
            let parsed = SIPURI.parse(bytes, uri)
            if parsed == nil || parsed?.headers.isEmpty == false { note(.badRequestURI) }
        }
        return true
    }

    @inline(__always)
    private mutating func scanStatusLine(_ start: Int, _ end: Int, _ index: inout MessageIndex) {
        var place = start
        while place < end && !bytes[place].isBlank { place &+= 1 }
        if !isOurVersion(start, place) { note(.unsupportedVersion) }
        let digits = place &+ 1
        guard digits < end, bytes[place] == Ascii.space else { return note(.badStartLine) }
        place = digits
        while place < end && bytes[place].isDigit { place &+= 1 }
        // A missing reason phrase, even its space, does no harm.
        guard place == end || bytes[place] == Ascii.space else { return note(.badStatusCode) }
        guard place &- digits == 3, let status = parseDecimal(bytes, ByteRange(digits, place)), status >= 100,
            status <= 699
        else { return note(.badStatusCode) }
        index.status = UInt16(truncatingIfNeeded: status)
        index.reason = ByteRange(Swift.min(place &+ 1, end), end)
    }
}
