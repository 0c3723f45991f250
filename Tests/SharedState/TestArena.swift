import Platform
import SharedMemory

@testable import SharedState

/// A small arena as a master makes it.
struct TestArena {
    let state: SharedState

    init(workers: Int = 2, transactions: Int = 2000) throws {
        let sizes = ArenaSizes(workers: workers, transactions: transactions, bindings: 1000)
        let planned = SharedState(
            memory: unsafe Memory(unsafe: UnsafeMutableRawPointer(bitPattern: 4096)!, size: 0), sizes: sizes)
        let memory = try Arena(name: "test", size: planned.size).memory
        state = SharedState(memory: memory, sizes: sizes)
        state.setHeader(ArenaHeader(layoutHash: SharedState.layoutHash, sizes: sizes))
        state.slots.initialize()
        for index in 0..<workers { state.shard(index).initialize(now: 0) }
    }

    /// The bytes of a stretch.
    func bytes(_ offset: Int, _ count: Int) -> [UInt8] {
        let bytes = state.memory.bytes(offset, count: count)
        return unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

extension Span<UInt8> {
    var array: [UInt8] { unsafe withUnsafeBufferPointer { unsafe Array($0) } }
}

// Spans cannot go through the macros of the tests.
extension StoredMessages {
    func store(array: [UInt8]) -> StoredReference? { store(array.span) }
}

extension LogRing {
    func append(array: [UInt8]) -> Bool { append(array.span) }
}

extension Turn {
    /// The number in the next message.
    mutating func nextNumber() -> UInt64? { next()?.third }
}
