import Platform
import SharedMemory
import SharedState

/// Where one fork of a request goes, as the server transaction's worker has found it: next hop and what to
/// edit. Stored beside the request, one behind the other, immutable; the fork's worker reads it.
///
///     | next hop : 28 | source : 28 | listener : 2 | flags : 2 | routes to drop : 2 | URI length : 2 | URI …
package struct ForkTarget: BitwiseCopyable {
    package static let headBytes = 64

    package struct Flags: OptionSet, BitwiseCopyable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The Request-URI is replaced by the URI that follows.
        package static let replacesURI = Flags(rawValue: 1)
        /// The next hop is a strict router: the Request-URI goes behind the last Route, the first Route's URI
        /// takes its place (§16.6 step 6).
        package static let strictNextHop = Flags(rawValue: 2)
        package static let recordRoute = Flags(rawValue: 4)
    }

    package var peer = SocketAddress()
    /// Where the request came from, for `received` and `rport` (§18.2.1).
    package var source = SocketAddress()
    package var listener: UInt16 = 0
    package var flags: Flags = []
    package var routesToDrop: UInt16 = 0
    package var uriLength: UInt16 = 0

    package init() {}

    /// Appends this target and its URI.
    package func write(uri: Span<UInt8>, to writer: inout ByteWriter) {
        var copy = self
        copy.uriLength = UInt16(truncatingIfNeeded: uri.count)
        unsafe withUnsafeBytes(of: copy) { bytes in
            for index in 0..<ForkTarget.headBytes { unsafe writer.append(bytes[index]) }
        }
        writer.append(uri)
    }

    /// Target number `fork` in `bytes`, and where its URI lies; nil where there is none (the bytes were
    /// replaced).
    package static func read(_ fork: UInt8, in bytes: Span<UInt8>) -> (target: ForkTarget, uri: Range<Int>)? {
        var offset = 0
        var left = Int(fork)
        while offset + headBytes <= bytes.count {
            var target = ForkTarget()
            unsafe withUnsafeMutableBytes(of: &target) { head in
                for index in 0..<headBytes { unsafe head[index] = bytes[offset + index] }
            }
            let start = offset + headBytes
            let end = start + Int(target.uriLength)
            if end > bytes.count { return nil }
            if left == 0 { return (target, start..<end) }
            left -= 1
            offset = end
        }
        return nil
    }
}
