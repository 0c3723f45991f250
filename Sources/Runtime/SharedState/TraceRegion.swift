import Glibc
import Platform
import SharedMemory

/// Which calls are traced: what the operator wants, and the calls that were met.
///
///     region: | on : 64 | generation : 64 | since : 64 | calls : 64 | key : 128 | length : 64 | filter |
///     marks:  1024 × 64, each the keyed hash of a Call-ID, at the place that it has by itself; 0: none
///
/// Written by the master only. All others ask `isOn`, one load, and then whether a Call-ID is marked. Two
/// calls that share a mark's place make each other forgotten, until the filter meets a message of the one
/// again. The key keeps strangers from choosing Call-IDs that do that.
package struct TraceRegion: BitwiseCopyable {
    package static let markCount = 1024
    package static let longestFilter = 256
    private static let filterOffset = 64
    private static let marksOffset = 4096
    package static let bytes = marksOffset + markCount * 8

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    // MARK: read by all

    /// True while something is traced.
    @inline(__always) package var isOn: Bool { memory.loadAtomic(base) != 0 }

    /// Seconds since 1970 at which it was turned on.
    package var since: UInt64 { memory.loadAtomic(base + 16) }
    /// Calls that the filter has met.
    package var calls: UInt64 { memory.loadAtomic(base + 24) }

    /// What is traced, as it was given; nil while nothing is.
    package var filter: [UInt8]? {
        for _ in 0..<8 {
            let before = memory.loadAtomic(base)
            if before == 0 { return nil }
            let count = min(Int(truncatingIfNeeded: memory.loadAtomic(base + 48)), TraceRegion.longestFilter)
            let bytes = memory.bytes(base + TraceRegion.filterOffset, count: max(count, 0))
            let copy = bytes.indices.map { bytes[$0] }
            Ordering.fullFence()
            if memory.loadAtomic(base) == before { return copy }
        }
        return nil
    }

    /// The word that stands for a Call-ID, and where.
    private func mark(_ callID: Span<UInt8>) -> (offset: Int, word: UInt64) {
        var hash = KeyedHash(key0: memory.load(base + 32), key1: memory.load(base + 40))
        hash.combine(callID)
        let word = hash.finalize() | 1
        let place = Int(truncatingIfNeeded: (word >> 1) % UInt64(TraceRegion.markCount))
        return (base + TraceRegion.marksOffset + place * 8, word)
    }

    /// True where the call was met since tracing was turned on.
    package func isMarked(_ callID: Span<UInt8>) -> Bool {
        let mark = mark(callID)
        return memory.loadAtomic(mark.offset) == mark.word
    }

    // MARK: written by the master

    /// Draws the hash key; by the master that made the arena, on zero bytes.
    package func initialize() throws(SystemError) {
        let target = unsafe memory.address(base + 32, count: 16)
        guard unsafe getentropy(target, 16) == 0 else { throw .last("getentropy") }
    }

    /// Turns tracing on, or to something else; the calls that were met before are forgotten.
    ///
    /// - Parameters: filter: at most `longestFilter` bytes; since: seconds since 1970.
    package func begin(_ filter: [UInt8], since: UInt64) {
        precondition(filter.count <= TraceRegion.longestFilter, "the filter is too long")
        end()
        memory.storeAtomic(since, at: base + 16)
        memory.storeAtomic(0, at: base + 24)
        memory.storeAtomic(UInt64(filter.count), at: base + 48)
        for index in filter.indices {
            memory.store(filter[index], at: base + TraceRegion.filterOffset + index)
        }
        let generation = memory.loadAtomic(base + 8) &+ 1
        memory.storeAtomic(generation, at: base + 8)
        memory.storeAtomic(generation, at: base)
    }

    /// Turns tracing off.
    package func end() {
        // Seen to be off before anything else changes.
        _ = memory.exchange(0, at: base)
        for index in 0..<TraceRegion.markCount {
            memory.storeAtomic(0, at: base + TraceRegion.marksOffset + index * 8)
        }
    }

    /// Marks a call that the filter has met.
    package func note(_ callID: Span<UInt8>) {
        let mark = mark(callID)
        if memory.loadAtomic(mark.offset) == mark.word { return }
        memory.storeAtomic(mark.word, at: mark.offset)
        memory.storeAtomic(calls + 1, at: base + 24)
    }
}
