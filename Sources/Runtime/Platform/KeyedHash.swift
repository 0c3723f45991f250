/// SipHash-1-3 with 128 bits of key: the hash of every table whose keys strangers choose, and the check in
/// our branches and tags. Without the key nobody can aim at one bucket or forge a branch.
package struct KeyedHash: BitwiseCopyable {
    private let key0: UInt64
    private let key1: UInt64
    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    private var tail: UInt64 = 0
    private var length: UInt64 = 0

    package init(key0: UInt64, key1: UInt64) {
        self.key0 = key0
        self.key1 = key1
        v0 = key0 ^ 0x736f_6d65_7073_6575
        v1 = key1 ^ 0x646f_7261_6e64_6f6d
        v2 = key0 ^ 0x6c79_6765_6e65_7261
        v3 = key1 ^ 0x7465_6462_7974_6573
    }

    @inline(__always) private mutating func round() {
        v0 = v0 &+ v1
        v1 = (v1 << 13 | v1 >> 51) ^ v0
        v0 = v0 << 32 | v0 >> 32
        v2 = v2 &+ v3
        v3 = (v3 << 16 | v3 >> 48) ^ v2
        v0 = v0 &+ v3
        v3 = (v3 << 21 | v3 >> 43) ^ v0
        v2 = v2 &+ v1
        v1 = (v1 << 17 | v1 >> 47) ^ v2
        v2 = v2 << 32 | v2 >> 32
    }

    @inline(__always) private mutating func compress(_ word: UInt64) {
        v3 ^= word
        round()
        v0 ^= word
    }

    package mutating func combine(_ byte: UInt8) {
        tail |= UInt64(byte) << (8 &* (length & 7))
        length &+= 1
        if length & 7 == 0 {
            compress(tail)
            tail = 0
        }
    }

    package mutating func combine(_ word: UInt64) {
        let held = (length & 7) &* 8
        compress(tail | word &<< held)
        tail = held == 0 ? 0 : word &>> (64 &- held)
        length &+= 8
    }

    /// As each byte for itself.
    package mutating func combine(_ bytes: Span<UInt8>) {
        var place = 0
        while place &+ 8 <= bytes.count {
            combine(
                UInt64(
                    littleEndian: unsafe bytes.bytes.unsafeLoadUnaligned(
                        fromUncheckedByteOffset: place, as: UInt64.self)))
            place &+= 8
        }
        while place < bytes.count {
            combine(bytes[place])
            place &+= 1
        }
    }

    /// As `combine`, with ASCII letters in lower case: for tokens and hosts.
    package mutating func combine(lowercasing bytes: Span<UInt8>) {
        for index in bytes.indices {
            let byte = bytes[index]
            combine(byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte)
        }
    }

    package func finalize() -> UInt64 {
        var state = self
        state.compress(state.tail | state.length << 56)
        state.v2 ^= 0xff
        state.round()
        state.round()
        state.round()
        return state.v0 ^ state.v1 ^ state.v2 ^ state.v3
    }
}
