/// Reads a SIP message in one pass, without copying or allocating: the start line, each header line's name
/// and extent, and the values that a proxy depends on. The body stays opaque.
package enum Scanner {
    /// Scans a datagram, or one framed message of a stream.
    ///
    /// - Parameter index: a new one; on a fault it holds all that could be read, so that an answer can be
    ///   built.
    /// - Returns: with several faults, the first; what is missing is noticed last.
    package static func scan(_ bytes: Span<UInt8>, into index: inout MessageIndex) -> ScanResult {
        var pass = ScanPass(bytes)
        guard pass.scanStartLine(&index) else { return .notSIP }
        pass.scanHeader(&index)
        pass.checkWhole(&index)
        if let fault = pass.fault { return .faulty(fault) }
        return .complete
    }
}

/// One pass over one message: where it stands and the first fault met.
struct ScanPass: ~Escapable {
    let bytes: Span<UInt8>
    let limit: Int
    var position = 0
    private(set) var fault: Fault?

    @_lifetime(copy bytes)
    init(_ bytes: Span<UInt8>) {
        self.bytes = bytes
        limit = Swift.min(bytes.count, 0xFFFF)
    }

    mutating func note(_ found: Fault) {
        if fault == nil { fault = found }
    }

    /// Line for line until the empty one.
    @inline(__always)
    mutating func scanHeader(_ index: inout MessageIndex) {
        index.headersOffset = UInt16(truncatingIfNeeded: position)
        while true {
            if let emptyLine = emptyLineLength() {
                index.headersEnd = UInt16(truncatingIfNeeded: position)
                position &+= emptyLine
                break
            }
            let start = position
            let line = RawLine(bytes, at: start, limit: limit)
            guard line.isTerminated else {
                note(.headerNotTerminated)
                index.headersEnd = UInt16(truncatingIfNeeded: start)
                position = limit
                break
            }
            position = line.end
            if line.isBare { note(.bareLineEnd) }
            guard line.hasColon else {
                note(.headerWithoutColon)
                continue
            }
            let id = HeaderID(bytes, ByteRange(start, line.nameEnd))
            let value = bytes.trimmed(line.valueStart, line.textEnd)
            let isFirst = index.note(id, line: start, lineEnd: line.end, value: value)
            scanField(id, value, isFirst, &index)
        }
        index.bodyOffset = UInt16(truncatingIfNeeded: position)
    }

    /// Two where CRLF stands here, one for a bare LF (a fault), nil where a header line begins.
    @inline(__always)
    private mutating func emptyLineLength() -> Int? {
        guard position < limit else { return nil }
        if bytes[position] == Ascii.carriageReturn {
            return position &+ 1 < limit && bytes[position &+ 1] == Ascii.lineFeed ? 2 : nil
        }
        guard bytes[position] == Ascii.lineFeed else { return nil }
        note(.bareLineEnd)
        return 1
    }

    /// The body's end, and what is missing or does not fit together.
    @inline(__always)
    mutating func checkWhole(_ index: inout MessageIndex) {
        let available = limit &- position
        index.end = UInt16(truncatingIfNeeded: limit)
        if index.contentLength >= 0 {
            let length = Int(index.contentLength)
            if length <= available {
                index.end = UInt16(truncatingIfNeeded: position &+ length)
            } else if fault != .headerNotTerminated {
                note(.bodyTooShort)
            }
        }
        if bytes.count > limit { note(.messageTooLarge) }
        if !index.has(.via) { note(.missingVia) }
        if !index.has(.from) { note(.missingFrom) }
        if !index.has(.to) { note(.missingTo) }
        if !index.has(.callID) { note(.missingCallID) }
        if !index.has(.cseq) {
            note(.missingCSeq)
        } else if index.isRequest && !index.cseqMethodRange.isEmpty {
            // Known methods have one token each; unknown ones must be compared.
            let matches =
                index.cseqMethod == index.method
                && (index.method != .unknown
                    || bytes.matches(index.cseqMethodRange, index.methodRange, of: bytes))
            if !matches { note(.methodMismatch) }
        }
    }
}
