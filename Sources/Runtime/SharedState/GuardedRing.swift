import Platform
import SharedMemory

/// The last `capacity` of something, written by one process and read by anybody meanwhile.
///
///     | count : 8 |   cell: | number : 8 | element |  × capacity      element n (from 0) is in cell n mod capacity
///
/// The number of a cell is n + 1 while it holds element n, and 0 while it is being written: what was read counts
/// where the number was right before and after. A writer that dies within leaves the count as it was, so its
/// successor writes the same cell again.
package struct GuardedRing<Element: BitwiseCopyable>: BitwiseCopyable {
    package static var cellBytes: Int { (8 + MemoryLayout<Element>.size + 7) & ~7 }

    package static func bytes(capacity: Int) -> Int { 8 + capacity * cellBytes }

    package let capacity: Int
    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int, capacity: Int) {
        self.memory = memory
        self.base = base
        self.capacity = capacity
    }

    /// How many there ever were.
    package var count: UInt64 { memory.loadAtomic(base) }

    private func cell(_ number: UInt64) -> Int {
        base + 8 + Int(number % UInt64(capacity)) * GuardedRing.cellBytes
    }

    package func append(_ element: Element) {
        let number = count
        let cell = cell(number)
        memory.storeAtomic(0, at: cell)
        Ordering.fullFence()
        memory.store(element, at: cell + 8)
        memory.storeAtomic(number + 1, at: cell)
        memory.storeAtomic(number + 1, at: base)
    }

    /// A copy of element `number`; nil where it is not there yet, any more, or just being replaced.
    package func element(_ number: UInt64) -> Element? {
        let cell = cell(number)
        guard memory.loadAtomic(cell) == number + 1 else { return nil }
        let element: Element = memory.load(cell + 8)
        Ordering.fullFence()
        return memory.loadAtomic(cell) == number + 1 ? element : nil
    }

    /// Numbers of those that may still be there.
    package var numbers: Range<UInt64> {
        let end = count
        return end - min(end, UInt64(capacity))..<end
    }
}
