/// A stretch of a message: offset and count in bytes. Messages are at most 65,535 bytes long, so four bytes
/// do, and the range stays valid wherever the message is copied or mapped.
///
///     offset of the first byte ─┐        ┌─ end = offset + count
///     INVITE sip:bob@example.org SIP/2.0
package struct ByteRange: BitwiseCopyable, Equatable, Sendable {
    package var offset: UInt16
    package var count: UInt16

    @inline(__always)
    package init(offset: UInt16, count: UInt16) {
        self.offset = offset
        self.count = count
    }

    /// - Parameter start: with `end`, at most 65,535; an end before the start gives an empty range.
    @inline(__always)
    package init(_ start: Int, _ end: Int) {
        offset = UInt16(truncatingIfNeeded: start)
        count = end > start ? UInt16(truncatingIfNeeded: end &- start) : 0
    }

    package static var none: ByteRange { ByteRange(offset: 0, count: 0) }

    @inline(__always) package var isEmpty: Bool { count == 0 }
    @inline(__always) package var start: Int { Int(offset) }
    @inline(__always) package var end: Int { Int(offset) &+ Int(count) }

    /// True where the range lies in `bytes` and each offset in it fits 16 bits: asked before anything is
    /// parsed.
    @inline(__always)
    func lies(in bytes: Span<UInt8>) -> Bool { end <= bytes.count && end <= 0xFFFF }
}

extension Span<UInt8> {
    /// The bytes of `range`; traps where that is outside, for ranges come from our own index of these bytes.
    @inline(__always)
    @_lifetime(copy self)
    package func slice(_ range: ByteRange) -> Span<UInt8> { extracting(range.start..<range.end) }

    /// All of it as a range, of the first 65,535 bytes at most.
    package var wholeRange: ByteRange { ByteRange(0, Swift.min(count, 0xFFFF)) }
}
