import Glibc
import Platform
import SharedMemory

/// Secret keys, in a memfd of their own that only master and workers get.
package struct Keys: BitwiseCopyable {
    package static let bytes = 64

    private let word0: UInt64
    private let word1: UInt64
    private let word2: UInt64
    private let word3: UInt64
    private let word4: UInt64
    private let word5: UInt64

    /// Fills the memory with fresh keys; a restarted master keeps those it finds.
    package static func generate(in memory: Memory) throws(SystemError) {
        let target = unsafe memory.address(0, count: bytes)
        guard unsafe getentropy(target, 48) == 0 else { throw .last("getentropy") }
    }

    /// The key of `routes`, which is kept on disk: 16 bytes.
    package static func storeRouteKey(_ key: InlineArray<2, UInt64>, in memory: Memory) {
        memory.store(key[0], at: 32)
        memory.store(key[1], at: 40)
    }

    package static func routeKey(in memory: Memory) -> InlineArray<2, UInt64> {
        [memory.load(32), memory.load(40)]
    }

    package init(memory: Memory) {
        word0 = memory.load(0)
        word1 = memory.load(8)
        word2 = memory.load(16)
        word3 = memory.load(24)
        word4 = memory.load(32)
        word5 = memory.load(40)
    }

    /// For table keys and the choice of worker.
    package var tables: KeyedHash { KeyedHash(key0: word0, key1: word1) }
    /// What a mark is for. Strangers see marks and choose much of what goes in: one of a kind must not be one
    /// of another.
    package enum Mark: UInt8 {
        case branch = 1
        case statelessBranch, loop, tag, statelessTag, flow
    }

    /// For branches and tags: what strangers see.
    package func marks(_ purpose: Mark) -> KeyedHash {
        var hash = KeyedHash(key0: word2, key1: word3)
        hash.combine(purpose.rawValue)
        return hash
    }
    /// For the mark in Record-Route, which must be known again when all else was forgotten.
    package var routes: KeyedHash { KeyedHash(key0: word4, key1: word5) }
}
