import Platform
import SharedMemory
import SharedState
import Syntax

/// A target set while it is written into its place among the stored messages.
package struct TargetSetDraft {
    package private(set) var count = 0
    private var head = TargetSet.Head()
    private var writer: ByteWriter
    private let memory: Memory
    private let room: StoredMessages.Reservation

    /// - Parameter room: at least `TargetSet.headBytes`, and what the targets need.
    package init(
        _ memory: Memory, _ room: StoredMessages.Reservation, source: Endpoint,
        behind previous: StoredReference = .none, firstFork: Int = 0
    ) {
        self.memory = memory
        self.room = room
        head.source = source
        head.previous = previous
        head.firstFork = UInt16(firstFork)
        writer = memory.writer(room.offset, capacity: room.capacity)
        writer.skip(TargetSet.headBytes)
    }

    /// - Parameter route: Route values that go before the contact.
    package mutating func add(_ target: ForkTarget, uri: Span<UInt8>, route: Span<UInt8>) {
        target.write(uri: uri, route: route, to: &writer)
        precondition(!writer.overflowed, "a target set larger than its room")
        count += 1
    }

    /// True where a target has this URI.
    package func holds(_ uri: Span<UInt8>) -> Bool {
        storeHead()
        guard let set = TargetSet(writer.written) else { return false }
        for place in 0..<count {
            guard let (_, known, _) = set.target(UInt8(Int(head.firstFork) + place)) else { return false }
            if SIPURI.equal(writer.written.extracting(known), uri) { return true }
        }
        return false
    }

    private func storeHead() {
        var copy = head
        copy.count = UInt16(count)
        // Nobody can see it yet, so no undo.
        memory.store(copy, at: room.offset)
    }

    package func seal(in stored: StoredMessages) -> StoredReference {
        storeHead()
        return stored.seal(room, length: writer.count)
    }
}
