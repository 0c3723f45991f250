import Platform

/// Writes that can be taken back: the old word goes into the log before the new one is stored.
///
///     log:  count = 3
///           | offset a | old a |   undo runs backwards: c, b, a
///           | offset b | old b |
///           | offset c | old c |
///
/// A process that dies in a turn leaves `count` > 0; its successor calls `undo` and finds the shard as it was
/// when the turn began. Undoing twice gives the same, so the successor may die as well.
package struct UndoLog: BitwiseCopyable {
    package let memory: Memory
    private let base: Int
    private let capacity: Int

    /// Bytes for a log of `capacity` words.
    package static func bytes(capacity: Int) -> Int { 64 + capacity * 16 }

    package init(memory: Memory, at base: Int, capacity: Int) {
        self.memory = memory
        self.base = base
        self.capacity = capacity
    }

    /// Words that would be restored.
    package var count: Int { Int(memory.load(base, as: UInt64.self)) }

    /// Above this the turn should be committed before the next message is handled.
    package var isFilling: Bool { count > capacity / 2 }

    @inline(__always) private func change(_ offset: Int, _ old: UInt64, _ new: UInt64) {
        let count = self.count
        precondition(count < capacity, "undo log full")
        let entry = unsafe memory.address(base &+ 64 &+ count &* 16, count: 16)
        unsafe entry.storeBytes(of: UInt64(offset), as: UInt64.self)
        unsafe entry.storeBytes(of: old, toByteOffset: 8, as: UInt64.self)
        Ordering.compilerFence()
        FaultPoint.undoNoted.pass(memory)
        memory.store(UInt64(count &+ 1), at: base)
        Ordering.compilerFence()
        FaultPoint.undoLogged.pass(memory)
        memory.storeAtomic(new, at: offset)
        FaultPoint.undoWritten.pass(memory)
    }

    /// Stores `value` at `offset`, a multiple of 8. Unchanged words cost a comparison.
    @inline(__always) package func write<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        precondition(offset & 7 == 0)
        let whole = MemoryLayout<T>.size & ~7
        let rest = MemoryLayout<T>.size & 7
        // Checked once, not for each word.
        let target = unsafe memory.address(offset, count: (MemoryLayout<T>.size + 7) & ~7)
        unsafe withUnsafeBytes(of: value) { bytes in
            var index = 0
            while index < whole {
                let new = unsafe bytes.baseAddress!.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let old = unsafe target.load(fromByteOffset: index, as: UInt64.self)
                if new != old { change(offset &+ index, old, new) }
                index &+= 8
            }
            if rest != 0 {
                // The structure ends within this word; what lies behind it stays.
                let old = memory.load(offset &+ whole, as: UInt64.self)
                var new = (old >> (8 &* UInt64(rest))) << (8 &* UInt64(rest))
                for byte in 0..<rest { new |= unsafe UInt64(bytes[whole &+ byte]) << (8 &* UInt64(byte)) }
                if new != old { change(offset &+ whole, old, new) }
            }
        }
    }

    /// Stores a 32-bit value at a multiple of 4.
    @inline(__always) package func write32(_ value: UInt32, at offset: Int) {
        let word = offset & ~7
        let shift = UInt64(offset & 4) &* 8
        let old = memory.load(word, as: UInt64.self)
        let new = old & ~(0xFFFF_FFFF << shift) | UInt64(value) << shift
        if new != old { change(word, old, new) }
    }

    /// Restores every logged word, newest first.
    package func undo() {
        for index in stride(from: count - 1, through: 0, by: -1) {
            let entry = base + 64 + index * 16
            let offset = Int(memory.load(entry, as: UInt64.self))
            memory.storeAtomic(memory.load(entry + 8), at: offset)
            FaultPoint.undoTaken.pass(memory)
        }
        forget()
    }

    /// Makes what was written final.
    package func forget() {
        Ordering.compilerFence()
        memory.store(UInt64(0), at: base)
        Ordering.compilerFence()
        FaultPoint.undoForgotten.pass(memory)
    }
}
