extension Via {
    /// The first via-parm in `range`; nil where it breaks the grammar of RFC 3261 §25.1 (white space may
    /// stand around slashes, semicolons and equals signs, folds included).
    package static func parse(_ bytes: Span<UInt8>, _ range: ByteRange) -> Via? {
        guard range.lies(in: bytes) else { return nil }
        let end = range.end
        let start = bytes.skippingWhitespace(range.start, end)
        guard let transportStart = protocolEnd(bytes, start, end) else { return nil }

        var via = Via()
        var place = bytes.first(transportStart, end) { $0.blankOrControl }
        guard place > transportStart else { return nil }
        via.transport = Transport(bytes, ByteRange(transportStart, place))
        if via.transport == .other && endOfToken(bytes, transportStart, end) != place { return nil }
        let hostStart = bytes.skippingWhitespace(place, end)
        guard hostStart > place else { return nil }
        guard let sentByEnd = via.parseSentBy(bytes, hostStart, end) else { return nil }

        place = bytes.skippingWhitespace(sentByEnd, end)
        if place < end && bytes[place] == Ascii.semicolon {
            var parameters = Parameters(bytes, ByteRange(place &+ 1, end))
            while let parameter = parameters.next() { via.take(parameter, bytes) }
            // "host;" with nothing behind yields neither a parameter nor a complaint.
            guard parameters.isWellFormed, place &+ 1 < end else { return nil }
            place = parameters.position
        }
        let wholeEnd = place
        if place < end {
            guard bytes[place] == Ascii.comma else { return nil }
            let next = bytes.skippingWhitespace(place &+ 1, end)
            // A comma more, with nothing between: RFC 4475 §3.1.2.1.
            if next < end && bytes[next] == Ascii.comma { return nil }
            via.rest = next < end ? UInt16(truncatingIfNeeded: next) : 0
        }
        via.whole = bytes.trimmed(start, wholeEnd)
        return via
    }

    /// The host of the first via-parm in `range`, nil where it breaks the grammar before; what is behind is not
    /// looked at.
    static func host(_ bytes: Span<UInt8>, _ range: ByteRange) -> ByteRange? {
        guard range.lies(in: bytes) else { return nil }
        let start = bytes.skippingWhitespace(range.start, range.end)
        guard let transport = protocolEnd(bytes, start, range.end) else { return nil }
        let place = bytes.first(transport, range.end) { $0.blankOrControl }
        let host = bytes.skippingWhitespace(place, range.end)
        guard place > transport, host > place, let end = bytes.endOfHost(host, range.end) else { return nil }
        return ByteRange(host, end)
    }

    /// Behind "SIP / 2.0 /", where the transport stands. Name and version are not ours to judge: the start
    /// line is.
    @inline(__always)
    private static func protocolEnd(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
        // As all but a few write it. Keys have letters in lower case.
        if bytes.key(start, 8) == Word.key("sip/2.0/") && start &+ 8 < end && !bytes[start &+ 8].isWhitespace
        {
            return start &+ 8
        }
        var place = start
        for _ in 0..<2 {
            let next = endOfToken(bytes, place, end)
            guard next > place else { return nil }
            place = bytes.skippingWhitespace(next, end)
            guard place < end, bytes[place] == Ascii.slash else { return nil }
            place = bytes.skippingWhitespace(place &+ 1, end)
        }
        return place
    }

    @inline(__always)
    private static func endOfToken(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
        var place = start
        while place < end && CharacterSet.token.contains(bytes[place]) { place &+= 1 }
        return place
    }

    /// host [":" port], white space around the colon allowed; the place behind, nil where it is none.
    @inline(__always)
    private mutating func parseSentBy(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> Int? {
        guard let hostEnd = bytes.endOfHost(start, end) else { return nil }
        host = ByteRange(start, hostEnd)
        sentBy = host
        let colon = bytes.skippingWhitespace(hostEnd, end)
        guard colon < end, bytes[colon] == Ascii.colon else { return hostEnd }
        let portStart = bytes.skippingWhitespace(colon &+ 1, end)
        guard let (value, portEnd) = bytes.port(portStart, end) else { return nil }
        port = value
        sentBy = ByteRange(start, portEnd)
        return portEnd
    }

    @inline(__always)
    private mutating func take(_ parameter: Parameter, _ bytes: Span<UInt8>) {
        let count = Int(parameter.name.count)
        guard count >= 5 && count <= 8 else { return }
        switch bytes.key(parameter.name.start, count) {
        case Word.key("branch"):
            guard branch.isEmpty else { return }
            branch = parameter.value
            hasMagicCookie = branch.count > 7 && bytes.key(branch.start, 7) == Word.key("z9hg4bk")
        case Word.key("received"): if received.isEmpty { received = parameter.value }
        case Word.key("rport"):
            guard !hasRport else { return }
            hasRport = true
            rport = parameter.value
            if let number = parseDecimal(bytes, rport), number <= 0xFFFF {
                rportValue = UInt16(truncatingIfNeeded: number)
            }
        default: break
        }
    }
}

extension Span<UInt8> {
    /// Behind the host name, IPv4 address or bracketed IPv6 address at `start`; nil where there is none.
    @inline(__always)
    func endOfHost(_ start: Int, _ end: Int) -> Int? {
        guard start < end else { return nil }
        var place = start
        if self[start] == Ascii.openBracket {
            place &+= 1
            while place < end {
                let byte = self[place]
                if byte == Ascii.closeBracket { return place &- start > 2 ? place &+ 1 : nil }
                guard byte.hexadecimalValue != nil || byte == Ascii.colon || byte == Ascii.dot else {
                    return nil
                }
                place &+= 1
            }
            return nil
        }
        place = first(start, end) { $0.notInHostname }
        return place > start ? place : nil
    }

    /// The port number 1 to 65535 at `start`, and the place behind it.
    @inline(__always)
    func port(_ start: Int, _ end: Int) -> (UInt16, Int)? {
        var place = start
        var value: UInt32 = 0
        while place < end, self[place].isDigit {
            value = value &* 10 &+ UInt32(self[place] &- Ascii.zero)
            if value > 0xFFFF { return nil }
            place &+= 1
        }
        return value > 0 ? (UInt16(truncatingIfNeeded: value), place) : nil
    }
}
