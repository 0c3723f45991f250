import Platform
import SharedMemory
import SharedState
import Syntax

/// A target set while it is written into its place: a stored message's, or a scratch of whoever forwards at
/// once.
package struct TargetSetDraft {
    package private(set) var count = 0
    private var head = TargetSet.Head()
    private var writer: ByteWriter
    /// At the begin of the place.
    private let start: ByteWriter

    /// - Parameter writer: empty, with room for at least `TargetSet.headBytes` and what the targets need.
    package init(
        _ writer: ByteWriter, source: Endpoint, behind previous: StoredReference = .none, firstFork: Int = 0
    ) {
        head.source = source
        head.previous = previous
        head.firstFork = UInt16(firstFork)
        start = writer
        self.writer = writer
        self.writer.skip(TargetSet.headBytes)
    }

    /// - Parameters: route: Route values that go before the contact; name: of the next hop, empty for an
    ///   address.
    package mutating func add(
        _ target: ForkTarget, uri: Span<UInt8>, route: Span<UInt8>, name: Span<UInt8> = Span()
    ) {
        target.write(uri: uri, route: route, name: name, to: &writer)
        precondition(!writer.overflowed, "a target set larger than its room")
        count += 1
    }

    /// True where a target has this URI.
    package func holds(_ uri: Span<UInt8>) -> Bool {
        let bytes = written
        guard let set = TargetSet(bytes) else { return false }
        for place in 0..<count {
            guard let known = set.target(UInt8(Int(head.firstFork) + place)) else { return false }
            if SIPURI.equal(bytes.extracting(known.uri), uri) { return true }
        }
        return false
    }

    /// The set as it is now; valid as long as its place is.
    package var written: Span<UInt8> {
        @_lifetime(immortal) get {
            var copy = head
            copy.count = UInt16(count)
            var begin = start
            unsafe withUnsafeBytes(of: copy) { unsafe begin.append(Span(_unsafeBytes: $0)) }
            return writer.written
        }
    }
}
