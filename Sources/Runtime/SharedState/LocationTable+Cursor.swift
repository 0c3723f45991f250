import Platform
import SharedMemory

/// Walks over all records while the locator goes on changing them: for the control tool, which maps the arena
/// read-only and has no turn counter, so that blocks may be used again under its eyes.
///
/// Each record is copied, and the copy counts where the block's version was even and the same before and
/// after. A record that is replaced meanwhile is found again by its hash; offsets are checked against the
/// heap; every walk is bounded. A record that comes or goes during the walk may or may not be seen, none is
/// seen twice.
@safe package struct LocationCursor: ~Copyable {
    private static let longestChain = 1024
    private static let attempts = 16

    private let table: LocationTable
    private let buffer: UnsafeMutableRawPointer
    private let copy: Memory
    private var bucket = 0
    /// Hashes of the bucket's records that are still to be shown.
    private var hashes: [UInt64] = []

    package init(_ table: LocationTable) {
        self.table = table
        unsafe buffer = .allocate(byteCount: LocationTable.largestBlock, alignment: 64)
        copy = unsafe Memory(unsafe: buffer, size: LocationTable.largestBlock)
    }

    deinit { unsafe buffer.deallocate() }

    /// The next record, valid until the following call; nil at the end.
    package mutating func next() -> BindingSet? {
        while true {
            while let hash = hashes.popLast() {
                if let set = find(hash) { return set }
            }
            if bucket == table.bucketCount { return nil }
            collect(bucket)
            bucket += 1
        }
    }

    /// The record of `aor`, valid until the following call.
    package func find(_ aor: Span<UInt8>) -> BindingSet? {
        guard let set = find(table.hash(aor)), set.isOf(aor) else { return nil }
        return set
    }

    private mutating func collect(_ index: Int) {
        var block = table.load(table.bucket(index))
        var steps = 0
        while isPlausible(block) && steps < LocationCursor.longestChain {
            let hash: UInt64 = table.memory.load(block + LocationTable.hashOffset)
            // Elsewhere now: the chain behind it belongs to another bucket.
            if table.bucket(hash: hash) != table.bucket(index) { return }
            if !hashes.contains(hash) { hashes.append(hash) }
            block = table.load(block)
            steps += 1
        }
    }

    private func isPlausible(_ block: Int) -> Bool {
        block >= table.heap && block & 7 == 0
            && block <= table.heap + table.heapBytes - LocationTable.granularity
    }

    private func find(_ hash: UInt64) -> BindingSet? {
        for _ in 0..<LocationCursor.attempts {
            var block = table.load(table.bucket(hash: hash))
            var steps = 0
            while isPlausible(block) && steps < LocationCursor.longestChain {
                if table.memory.load(block + LocationTable.hashOffset) == hash { break }
                block = table.load(block)
                steps += 1
            }
            guard isPlausible(block), steps < LocationCursor.longestChain else { return nil }
            if let set = copyRecord(block, hash) { return set }
        }
        return nil
    }

    private func copyRecord(_ block: Int, _ hash: UInt64) -> BindingSet? {
        let before = table.memory.loadAtomic(block + LocationTable.countsOffset)
        let size = Int(table.memory.load(block + LocationTable.sizeOffset, as: UInt32.self))
        guard before & 1 == 0, size >= LocationTable.blockHead, size <= LocationTable.largestBlock,
            block + size <= table.heap + table.heapBytes
        else { return nil }
        unsafe buffer.copyMemory(from: table.memory.address(block, count: size), byteCount: size)
        Ordering.fullFence()
        guard table.memory.loadAtomic(block + LocationTable.countsOffset) == before,
            copy.load(LocationTable.hashOffset) == hash
        else { return nil }
        return BindingSet(memory: copy, block: 0)
    }
}
