import SharedMemory

/// The requests that were handed to workers lately, so that one that comes again is known when new ones are refused.
/// Kept in shared memory, since a master that starts anew must know them too. Written by the master only.
///
///     region: | began : 64 | current : 64 | … | generation 0 | generation 1 |     a generation: 131072 words of 64
///
/// A Bloom filter whose bits for one request stand in one word: a look touches one cache line of each generation.
/// What is added goes into the current generation; when that is as old as a request may come again (64·T1, RFC 3261
/// §17.1.1.2), the other one is emptied and takes its place, so what was added is known for once to twice that time.
/// A request that is taken for a known one by mistake is let pass when it might have been refused; at 5,000 a second
/// that is one of a thousand.
package struct RecentRequests: BitwiseCopyable {
    private static let words = 1 << 17
    private static let headerBytes = 64
    private static let generationBytes = words * 8
    package static let bytes = headerBytes + 2 * generationBytes

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    // Milliseconds, monotonic.
    private var began: UInt64 { memory.loadAtomic(base) }
    private var current: Int { Int(memory.loadAtomic(base + 8) & 1) }

    private func generation(_ number: Int) -> Int {
        base + RecentRequests.headerBytes + number * RecentRequests.generationBytes
    }

    /// The key of a request.
    ///
    /// - Parameter call: keyed hash of the Call-ID: nobody outside knows which requests look alike.
    @inline(__always) package static func key(call: UInt64, cseq: UInt32, method: UInt8) -> UInt64 {
        let mixed = (call ^ UInt64(cseq) << 8 ^ UInt64(method)) &* 0x9E37_79B9_7F4A_7C15
        return mixed ^ mixed >> 29
    }

    @inline(__always) private func place(_ key: UInt64) -> (offset: Int, bits: UInt64) {
        let one: UInt64 = 1
        let bits = one &<< key | one &<< (key >> 6) | one &<< (key >> 12) | one &<< (key >> 18)
        return (Int(key >> 47) * 8, bits)
    }

    @inline(__always) package func add(_ key: UInt64) {
        let (offset, bits) = place(key)
        let at = generation(current) + offset
        memory.storeAtomic(memory.loadAtomic(at) | bits, at: at)
    }

    package func contains(_ key: UInt64) -> Bool {
        let (offset, bits) = place(key)
        return memory.loadAtomic(generation(0) + offset) & bits == bits
            || memory.loadAtomic(generation(1) + offset) & bits == bits
    }

    /// Begins another generation where it is time.
    ///
    /// - Parameters: now: monotonic milliseconds; life: 64·T1 in milliseconds.
    package func age(now: UInt64, life: UInt64) {
        let age = now &- began
        if age < life { return }
        let next = 1 - current
        memory.zero(generation(next), count: RecentRequests.generationBytes)
        // After a long silence, also what was added last is old enough to be forgotten.
        if age >= 2 * life { memory.zero(generation(1 - next), count: RecentRequests.generationBytes) }
        memory.storeAtomic(UInt64(next), at: base + 8)
        memory.storeAtomic(now, at: base)
    }
}
