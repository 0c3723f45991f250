/// Finds the messages in a stream of bytes (RFC 3261 §18.3), as they come.
///
///     CRLF CRLF  INVITE … CRLF … Content-Length: 4 … CRLF CRLF  v=0. INVITE …
///     └─ blank ┘└────────────────── message ──────────────────────┘└─ the next one's begin
///
/// It keeps nothing of the bytes, but how far it has looked: each time it is shown the stream from the begin of
/// the message on, with more behind, and looks at none twice until the header is whole. What stands at the begin
/// of the stream is told by `next`; the caller takes it out and, after a message, calls `begin`.
///
/// A header with a bare CR or LF is framed as far as `Scanner` would read it, and is a fault: two readers could
/// see the end of such a message at different places.
package struct StreamFramer: BitwiseCopyable, Sendable {
    package struct Limits: BitwiseCopyable, Sendable {
        /// Bytes of start line and header, the empty line included.
        package let header: Int
        /// Bytes of a whole message.
        package let message: Int

        /// More than 65,535 bytes cannot be kept, however much is allowed.
        package init(header: Int, message: Int) {
            self.message = Swift.min(message, 0xFFFF)
            self.header = Swift.min(header, self.message)
        }
    }

    package enum Found: Equatable, Sendable {
        /// The message is not whole.
        case more
        /// `count` line ends between messages, to be passed over; in them `pings` keep-alives that want a CRLF
        /// each (RFC 5626 §4.4.1).
        case blank(count: Int, pings: Int)
        /// A message in the first bytes.
        case message(Int)
        /// A message whose end cannot be told or which is too large; its first bytes have what there is to read.
        /// Nothing behind them makes sense.
        case faulty(Fault, readable: Int)
        /// No SIP; nothing in the stream makes sense.
        case notSIP
    }

    /// Bytes of CRLF CRLF that came last, between messages.
    private var keepAlive: UInt8 = 0
    /// The start line is whole, and one of SIP.
    private var isStarted = false
    /// A CR or LF alone was met.
    private var hasBareEnd = false
    /// Where the search for the empty line goes on.
    private var searched: UInt32 = 0
    /// Bytes of the message, once its header is whole.
    private var length: UInt32 = 0

    package init() {}

    /// A new message begins: the last one was taken out.
    package mutating func begin() { self = StreamFramer() }

    /// Bytes of the message that has begun, where its header tells already; 0 else.
    package var expected: Int { Int(length) }

    /// What stands at the begin of the stream. The same again where nothing was taken out.
    ///
    /// - Parameter bytes: from the begin of the message on.
    package mutating func next(_ bytes: Span<UInt8>, _ limits: Limits) -> Found {
        if searched == 0 && length == 0 {
            if bytes.count == 0 { return .more }
            if bytes[0] == Ascii.carriageReturn || bytes[0] == Ascii.lineFeed { return blank(bytes) }
            keepAlive = 0
        }
        if length == 0 {
            if !isStarted && !StreamFramer.mayStart(bytes) { return .notSIP }
            switch search(bytes, limits) {
            case .more: break
            case let found: return found
            }
            if length == 0 { return .more }
        }
        return Int(length) <= bytes.count ? .message(Int(length)) : .more
    }

    // MARK: between messages

    /// A run of CRs and LFs, counted as they come, so that nothing of it need be kept.
    private mutating func blank(_ bytes: Span<UInt8>) -> Found {
        var place = 0
        var pings = 0
        while place < bytes.count {
            let byte = bytes[place]
            let wanted = keepAlive & 1 == 0 ? Ascii.carriageReturn : Ascii.lineFeed
            if byte == wanted {
                keepAlive &+= 1
            } else if byte == Ascii.carriageReturn {
                keepAlive = 1
            } else if byte == Ascii.lineFeed {
                keepAlive = 0
            } else {
                break
            }
            if keepAlive == 4 {
                keepAlive = 0
                pings &+= 1
            }
            place &+= 1
        }
        return .blank(count: place, pings: pings)
    }

    // MARK: start line

    /// False where the first word is none of a start line, so that other protocols need not send a whole line.
    private static func mayStart(_ bytes: Span<UInt8>) -> Bool {
        for place in 0..<Swift.min(bytes.count, 64) {
            let byte = bytes[place]
            if byte.isBlank { return place > 0 }
            // "SIP/2.0" begins a response.
            if !CharacterSet.token.contains(byte) && byte != Ascii.slash { return false }
        }
        return true
    }

    /// True where a line begins with "SIP/", or its last word does.
    private static func isStartLine(_ bytes: Span<UInt8>, _ end: Int) -> Bool {
        if isVersion(bytes, 0, end) { return true }
        var last = end
        while last > 0 && bytes[last &- 1].isBlank { last &-= 1 }
        var word = last
        while word > 0 && !bytes[word &- 1].isBlank { word &-= 1 }
        return word > 0 && isVersion(bytes, word, last)
    }

    private static func isVersion(_ bytes: Span<UInt8>, _ place: Int, _ end: Int) -> Bool {
        place &+ 4 <= end && bytes.key(place, 4) == Word.key("sip/")
    }

    // MARK: header

    /// Goes on with the search for the empty line; `more` also where it was found and `length` is known.
    private mutating func search(_ bytes: Span<UInt8>, _ limits: Limits) -> Found {
        let end = Swift.min(bytes.count, limits.header)
        var place = Int(searched)
        while true {
            place = bytes.first(place, end) { $0.lineEnd }
            guard place < end else { break }
            var next = place &+ 1
            var isBare = true
            if bytes[place] == Ascii.carriageReturn {
                guard next < end else { break }
                if bytes[next] == Ascii.lineFeed {
                    next &+= 1
                    isBare = false
                }
            }
            if !isStarted {
                guard StreamFramer.isStartLine(bytes, place) else { return .notSIP }
                isStarted = true
            }
            // A CR alone ends no line but the first.
            if isBare && bytes[place] == Ascii.carriageReturn {
                hasBareEnd = true
                place = next
                continue
            }
            guard next < end else { break }
            if bytes[next] == Ascii.lineFeed {
                hasBareEnd = true
                return headerEnds(bytes, next &+ 1, limits)
            }
            if bytes[next] == Ascii.carriageReturn {
                guard next &+ 1 < end else { break }
                if bytes[next &+ 1] == Ascii.lineFeed {
                    if isBare { hasBareEnd = true }
                    return headerEnds(bytes, next &+ 2, limits)
                }
            }
            if isBare { hasBareEnd = true }
            place = next
        }
        searched = UInt32(truncatingIfNeeded: place)
        return end == limits.header ? .faulty(.headerTooLarge, readable: end) : .more
    }

    /// The header is whole: where the message ends.
    private mutating func headerEnds(_ bytes: Span<UInt8>, _ end: Int, _ limits: Limits) -> Found {
        if hasBareEnd { return .faulty(.bareLineEnd, readable: end) }
        var body: UInt64?
        var place = bytes.first(0, end) { $0.lineEnd } &+ 2
        while place < end &- 2 {
            let line = RawLine(bytes, at: place, limit: end)
            if line.hasColon && HeaderID(bytes, ByteRange(place, line.nameEnd)) == .contentLength {
                guard let number = parseDecimal(bytes, bytes.trimmed(line.valueStart, line.textEnd)) else {
                    return .faulty(.badContentLength, readable: end)
                }
                if let body, body != number { return .faulty(.duplicateContentLength, readable: end) }
                body = number
            }
            place = line.end
        }
        // §18.3: over streams it MUST be there.
        guard let body else { return .faulty(.missingContentLength, readable: end) }
        if body > UInt64(limits.message &- end) { return .faulty(.messageTooLarge, readable: end) }
        length = UInt32(truncatingIfNeeded: end &+ Int(body))
        return .more
    }
}
