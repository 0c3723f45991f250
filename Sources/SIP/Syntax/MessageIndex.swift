/// Where the first line of a header field lies, and how many lines of that name the message has.
///
///     line          value.start   value.end  lineEnd
///      ↓                ↓             ↓        ↓
///      To : <sip:bob@example.org>;tag=1 \r\n   CSeq: …
package struct HeaderField: BitwiseCopyable, Equatable, Sendable {
    /// Offset of the name.
    package var line: UInt16 = 0
    /// Offset just behind the CRLF, folded lines included.
    package var lineEnd: UInt16 = 0
    /// Without white space at both ends; folds inside stay.
    package var value: ByteRange = .none
    /// Lines of that name in the message; 0 where there is none.
    package var count: UInt16 = 0

    package init() {}
}

/// What one pass over a message found: offsets into its bytes, nothing of the bytes themselves. Lives beside
/// them in a message slot of the shared memory, 358 bytes or so (a test keeps it below 400).
///
///     start                headersOffset               headersEnd  bodyOffset      end
///       ↓                       ↓                           ↓         ↓             ↓
///     \r\n INVITE … SIP/2.0\r\n Via: …\r\n …: …\r\n        \r\n      v=0\r\n …      (datagram's rest)
package struct MessageIndex: BitwiseCopyable, Sendable {
    package var isRequest = false
    /// Of a request; `unknown` for a response (see `cseqMethod`).
    package var method: Method = .unknown
    package var methodRange: ByteRange = .none
    package var requestURI: ByteRange = .none
    /// 100 to 699; 0 for a request.
    package var status: UInt16 = 0
    package var reason: ByteRange = .none

    /// Offset of the start line: more than 0 where empty lines came first (RFC 3261 §7.5).
    package var start: UInt16 = 0
    /// Offset behind the start line's CRLF.
    package var headersOffset: UInt16 = 0
    /// Offset of the empty line's CRLF.
    package var headersEnd: UInt16 = 0
    package var bodyOffset: UInt16 = 0
    /// Offset just behind the body; what a datagram has beyond that is ignored (RFC 3261 §18.3).
    package var end: UInt16 = 0

    package var cseqMethod: Method = .unknown
    package var cseqMethodRange: ByteRange = .none
    package var cseqNumber: UInt32 = 0
    /// -1 where the header is absent or bad.
    package var contentLength: Int32 = -1
    /// 0 to 255; -1 where the header is absent or bad.
    package var maxForwards: Int16 = -1

    package var fromTag: ByteRange = .none
    package var toTag: ByteRange = .none
    package var callID: ByteRange = .none
    package var topVia = Via()
    /// The Via values below the top one, of its line or else the next; empty where there are none.
    package var lowerVias: ByteRange = .none

    private var fields = InlineArray<27, HeaderField>(repeating: HeaderField())

    package init() {}

    /// Bytes from the start line to the end of the body.
    package var length: UInt16 { end &- start }
    /// The message without leading empty lines and without what follows its body.
    package var whole: ByteRange { ByteRange(offset: start, count: length) }
    package var body: ByteRange { ByteRange(Int(bodyOffset), Int(end)) }

    /// The first line of that name; its `count` is 0 where there is none. For `other`: the first of all those
    /// lines.
    @inline(__always)
    package func first(_ id: HeaderID) -> HeaderField { fields[Int(id.rawValue)] }

    /// True where the message has a line of that name.
    @inline(__always)
    package func has(_ id: HeaderID) -> Bool { fields[Int(id.rawValue)].count != 0 }

    /// Counts a line, and keeps where the first of its name lies. True for that first one.
    @inline(__always)
    mutating func note(_ id: HeaderID, line: Int, lineEnd: Int, value: ByteRange) -> Bool {
        let slot = Int(id.rawValue)
        let count = fields[slot].count
        fields[slot].count = count &+ 1
        guard count == 0 else { return false }
        fields[slot].line = UInt16(truncatingIfNeeded: line)
        fields[slot].lineEnd = UInt16(truncatingIfNeeded: lineEnd)
        fields[slot].value = value
        return true
    }
}
