import Platform
import SharedMemory

/// The locator's hand on the location table: allocates, publishes, retires and reclaims blocks, all
/// bookkeeping through the undo log of its turn.
///
///     free list / bump ── begin, seal ──► draft ── publish ──► in a chain
///         ▲                                 │                      │ replaced or removed
///         │◄──────────── discard ───────────┘                      ▼
///         └──── every reader has moved on ──── waiting ◄────── retiring
///
/// A turn that is undone has shown its blocks to readers and then takes them for free again. So a new locator
/// uses no block at all before every reader has moved on once.
package struct LocationWriter {
    package let table: LocationTable
    private let undo: UndoLog
    private let processes: ProcessTable
    private let readers: Int
    private var waitingSince: ReaderSnapshot
    private var hasSettled = false

    /// Blocks given back by one `reclaim` at most: half a millisecond.
    private static let reclaimBatch = 512

    /// After `Turn.recover`.
    package init(table: LocationTable, undo: UndoLog, processes: ProcessTable, workers: Int) {
        self.table = table
        self.undo = undo
        self.processes = processes
        readers = workers
        waitingSince = ReaderSnapshot(processes, workers: workers)
    }

    private func set(_ word: LocationTable.Word, _ value: Int) {
        undo.write(UInt64(value), at: table.cell(word))
    }

    // MARK: blocks

    /// A block of at least `size` bytes, 0 where there is none.
    private func allocate(_ size: Int) -> Int {
        let wanted = LocationTable.sizeClass(size)
        if let block = takeFree(wanted) { return block }
        let bytes = LocationTable.classBytes(wanted)
        let bumped = table.word(.bumped)
        if bumped + bytes <= table.heapBytes {
            set(.bumped, bumped + bytes)
            let block = table.heap + bumped
            // Never used before: the class is fixed with it.
            table.memory.store(UInt32(wanted), at: block + LocationTable.classOffset)
            return block
        }
        for larger in (wanted + 1)..<max(LocationTable.classCount, wanted + 1) {
            if let block = takeFree(larger) { return block }
        }
        return 0
    }

    private func takeFree(_ sizeClass: Int) -> Int? {
        let list = table.freeList(sizeClass)
        let block = table.load(list)
        if block == 0 { return nil }
        undo.write(table.memory.load(block + LocationTable.linkOffset, as: UInt64.self), at: list)
        return block
    }

    private func giveBack(_ block: Int) {
        let sizeClass = Int(table.memory.load(block + LocationTable.classOffset, as: UInt32.self))
        precondition(sizeClass < LocationTable.classCount, "damaged block")
        let list = table.freeList(sizeClass)
        undo.write(UInt64(table.load(list)), at: block + LocationTable.linkOffset)
        undo.write(UInt64(block), at: list)
    }

    // MARK: records

    /// A draft of `size` bytes (`RecordDraft.bytes`) for `bindings` bindings; nil where the table is full,
    /// the record is larger than `LocationTable.largestBlock`, or the table has not settled after a restart.
    package func begin(_ aor: Span<UInt8>, size: Int, bindings: Int) -> RecordDraft? {
        guard hasSettled, size <= LocationTable.largestBlock else { return nil }
        precondition(bindings > 0 && bindings <= 0xFFFF && aor.count <= 0xFFFF)
        let hash = table.hash(aor)
        let old = table.load(table.predecessor(aor, hash: hash))
        let replaced = old == 0 ? 0 : BindingSet(memory: table.memory, block: old).count
        let total = table.bindingCount + bindings - replaced
        guard total <= table.capacity || bindings <= replaced else { return nil }
        let block = allocate(size)
        if block == 0 { return nil }
        set(.bindings, total)
        return RecordDraft(
            memory: table.memory, block: block, size: size, aor: aor, hash: hash, replaced: replaced)
    }

    /// Makes a sealed draft the record of its address, for all to see at once.
    package func publish(_ set: BindingSet) {
        let memory = table.memory
        let cell = table.predecessor(set.aor, hash: memory.load(set.block + LocationTable.hashOffset))
        let old = table.load(cell)
        memory.storeAtomic(old == 0 ? 0 : memory.loadAtomic(old), at: set.block)
        undo.write(UInt64(set.block), at: cell)
        if old == 0 { self.set(.records, table.recordCount + 1) } else { retire(old) }
    }

    /// Throws away a sealed draft that was not published.
    package func discard(_ draft: RecordDraft) {
        let count = BindingSet(memory: table.memory, block: draft.block).count
        set(.bindings, table.bindingCount - count + draft.replaced)
        giveBack(draft.block)
    }

    /// Takes the record of `aor` out; nothing happens where there is none.
    package func remove(_ aor: Span<UInt8>) {
        let cell = table.predecessor(aor, hash: table.hash(aor))
        let old = table.load(cell)
        if old == 0 { return }
        undo.write(table.memory.loadAtomic(old), at: cell)
        set(.bindings, table.bindingCount - BindingSet(memory: table.memory, block: old).count)
        set(.records, table.recordCount - 1)
        retire(old)
    }

    private func retire(_ block: Int) {
        undo.write(UInt64(table.word(.retiring)), at: block + LocationTable.linkOffset)
        set(.retiring, block)
    }

    // MARK: reclaiming

    /// True once no reader can stand on what an undone turn has shown; asks again until then.
    package mutating func isSettled() -> Bool {
        if !hasSettled { hasSettled = waitingSince.hasPassed(processes) }
        return hasSettled
    }

    /// Frees what earlier turns retired and no reader can see any more; at the begin of a turn, a bounded
    /// number.
    package mutating func reclaim() {
        guard isSettled() else { return }
        if table.word(.waiting) != 0 && waitingSince.hasPassed(processes) {
            var block = table.word(.waiting)
            var left = LocationWriter.reclaimBatch
            while block != 0 && left > 0 {
                let next = table.load(block + LocationTable.linkOffset)
                giveBack(block)
                block = next
                left -= 1
            }
            set(.waiting, block)
        }
        if table.word(.waiting) == 0 && table.word(.retiring) != 0 {
            set(.waiting, table.word(.retiring))
            set(.retiring, 0)
            waitingSince = ReaderSnapshot(processes, workers: readers)
        }
    }
}

/// The turn counters of all readers at one moment, in the locator's own memory: a successor takes its own.
private struct ReaderSnapshot {
    /// 0: that reader was idle, or has moved on since.
    private var turns: InlineArray<68, UInt64>
    private let workers: Int

    init(_ processes: ProcessTable, workers: Int) {
        precondition(workers <= ProcessID.maximumWorkers)
        turns = InlineArray(repeating: 0)
        self.workers = workers
        // Whoever begins a turn after this fence sees the chains as they are now.
        Ordering.fullFence()
        note(.master, processes)
        for index in 0..<workers { note(.worker(index), processes) }
    }

    private mutating func note(_ process: ProcessID, _ processes: ProcessTable) {
        let turn = processes.turn(process)
        turns[process.index] = turn & 1 == 0 ? 0 : turn
    }

    private mutating func hasPassed(_ process: ProcessID, _ processes: ProcessTable) -> Bool {
        let noted = turns[process.index]
        if noted == 0 { return true }
        if processes.turn(process) == noted { return false }
        turns[process.index] = 0
        return true
    }

    mutating func hasPassed(_ processes: ProcessTable) -> Bool {
        if !hasPassed(.master, processes) { return false }
        for index in 0..<workers where !hasPassed(.worker(index), processes) { return false }
        return true
    }
}
