import Platform
import SharedMemory

/// The bindings of one address of record: a view of an immutable block. Ignore those that have expired.
package struct BindingSet: BitwiseCopyable, Sequence {
    let memory: Memory
    /// Offset of the block; stands for this very version of the record.
    package let block: Int

    private var counts: UInt64 { memory.load(block + LocationTable.countsOffset) }
    private var aorCount: Int { Int(counts >> 32 & 0xFFFF) }

    package var count: Int { Int(counts >> 48) }

    @_lifetime(immortal)
    private func text(_ offset: Int, _ count: Int) -> Span<UInt8> { memory.bytes(offset, count: count) }

    /// The address of record.
    package var aor: Span<UInt8> {
        @_lifetime(immortal) get { text(block + LocationTable.blockHead, aorCount) }
    }

    package func isOf(_ aor: Span<UInt8>) -> Bool { self.aor.isEqual(to: aor) }

    /// Counts from 0; walks over those before.
    package subscript(index: Int) -> Binding {
        precondition(index >= 0 && index < count, "no such binding")
        var binding = first
        for _ in 0..<index { binding = binding.following }
        return binding
    }

    private var first: Binding {
        Binding(memory: memory, offset: block + LocationTable.blockHead + ((aorCount + 7) & ~7))
    }

    /// Bindings that have not expired at `now`, seconds since 1970.
    package func liveCount(now: UInt64) -> Int {
        var live = 0
        for binding in self where binding.expiresAt > now { live += 1 }
        return live
    }

    package struct Iterator: IteratorProtocol {
        private var binding: Binding
        private var left: Int

        fileprivate init(_ set: BindingSet) {
            binding = set.first
            left = set.count
        }

        package mutating func next() -> Binding? {
            if left == 0 { return nil }
            left -= 1
            defer { if left > 0 { binding = binding.following } }
            return binding
        }
    }

    package func makeIterator() -> Iterator { Iterator(self) }
}

/// One contact of an address of record.
package struct Binding: BitwiseCopyable {
    let memory: Memory
    let offset: Int

    /// Seconds since 1970; from then on the binding does not count.
    package var expiresAt: UInt64 { memory.load(offset) }
    package var cseq: UInt32 { memory.load(offset + 8) }
    /// Thousandths; 1000 where the contact came without.
    package var q: UInt16 { memory.load(offset + 12) }

    /// Without angle brackets.
    package var uri: Span<UInt8> {
        @_lifetime(immortal) get { text(0) }
    }
    /// Of the REGISTER that made or refreshed the binding.
    package var callID: Span<UInt8> {
        @_lifetime(immortal) get { text(1) }
    }
    /// The Path values (RFC 3327) of that REGISTER, joined by ", ", without folds: Route values towards the
    /// contact, the first nearest to us. Empty where it had none.
    package var path: Span<UInt8> {
        @_lifetime(immortal) get { text(2) }
    }
    /// The User-Agent of that REGISTER, cut to 128 bytes; empty where it had none.
    package var userAgent: Span<UInt8> {
        @_lifetime(immortal) get { text(3) }
    }

    private func textCount(_ index: Int) -> Int { Int(memory.load(offset + 14 + index * 2, as: UInt16.self)) }

    @_lifetime(immortal)
    private func text(_ index: Int) -> Span<UInt8> {
        var start = offset + LocationTable.bindingHead
        for before in 0..<index { start += textCount(before) }
        return memory.bytes(start, count: textCount(index))
    }

    /// Bytes that it takes in its block.
    package var size: Int {
        BindingFields.bytes(texts: textCount(0) + textCount(1) + textCount(2) + textCount(3))
    }

    var following: Binding { Binding(memory: memory, offset: offset + size) }
}
