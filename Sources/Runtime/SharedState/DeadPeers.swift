import Glibc
import Platform
import SharedMemory

/// Addresses that did not answer, and until when they are to be passed over while there are others.
///
///     region: | key : 128 | words : 4096 × 64 |        word: | tag : 24 | monotonic milliseconds : 40 |
///
/// Written by all workers, in single words, as `RouteRegion` has it: each is read and written as a whole, and
/// any value in it is right. Two peers that share a word make each other forgotten, which costs one attempt.
/// The key keeps strangers from choosing addresses that pass for others.
package struct DeadPeers: BitwiseCopyable {
    package static let capacity = 4096
    private static let headerBytes = 64
    package static let bytes = headerBytes + capacity * 8
    private static let timeMask: UInt64 = (1 << 40) - 1

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    /// Draws the hash key; by the master that made the arena, on zero bytes.
    /// Under another key, nothing that was remembered is found again: a reload forgets it so. Who reads at that moment
    /// finds nothing.
    package func initialize() throws(SystemError) {
        let target = unsafe memory.address(base, count: 16)
        guard unsafe getentropy(target, 16) == 0 else { throw .last("getentropy") }
    }

    /// The word of a peer, and its tag in place.
    private func place(_ transport: SIPTransport, _ address: SocketAddress) -> (offset: Int, tag: UInt64) {
        var hash = KeyedHash(key0: memory.load(base), key1: memory.load(base + 8))
        hash.combine(UInt64(transport.rawValue) << 32 | UInt64(address.family) << 16 | UInt64(address.port))
        if address.isIPv4 {
            hash.combine(UInt64(address.ipv4))
        } else {
            for index in 0..<8 { hash.combine(UInt64(address.group(index))) }
        }
        let value = hash.finalize()
        let offset = base + DeadPeers.headerBytes + Int(value % UInt64(DeadPeers.capacity)) * 8
        return (offset, value & ~DeadPeers.timeMask)
    }

    /// - Parameter now: monotonic milliseconds.
    package func isDead(_ transport: SIPTransport, _ address: SocketAddress, now: UInt64) -> Bool {
        let (offset, tag) = place(transport, address)
        let word = memory.loadAtomic(offset)
        return word & ~DeadPeers.timeMask == tag && word & DeadPeers.timeMask > now
    }

    package func markDead(_ transport: SIPTransport, _ address: SocketAddress, until: UInt64) {
        let (offset, tag) = place(transport, address)
        memory.storeAtomic(tag | until & DeadPeers.timeMask, at: offset)
    }

    /// It has answered.
    package func markAlive(_ transport: SIPTransport, _ address: SocketAddress) {
        let (offset, tag) = place(transport, address)
        let word = memory.loadAtomic(offset)
        if word != 0 && word & ~DeadPeers.timeMask == tag { memory.storeAtomic(0, at: offset) }
    }
}
