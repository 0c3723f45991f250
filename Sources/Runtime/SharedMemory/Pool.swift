import Platform

/// Equal cells handed out by number, 1 and up (0 is none); all bookkeeping goes through an undo log.
///
///     header (48 bytes): | bumped | in use | free head | freed head | freed tail | |
///     cell n at cells + (n - 1) × size; a free cell's word at `link` names the next free one
///
/// What is freed in a turn goes to the list `freed` and is handed out by later turns only (`recycle` at the
/// begin of a turn): its bytes may still be read by the outbox of this turn, or restored by its undo. The
/// lowest cells are used first and again, so memory beyond the peak is never touched.
package struct Pool: BitwiseCopyable {
    package static let headerBytes = 48

    private let log: UndoLog
    private let header: Int
    private let cells: Int
    package let cellBytes: Int
    package let capacity: Int
    private let link: Int

    /// - Parameters: header: offset of `headerBytes` zero bytes; cells: offset of the first cell; link:
    /// offset in a
    ///   cell of the eight bytes that chain free cells.
    package init(log: UndoLog, header: Int, cells: Int, cellBytes: Int, capacity: Int, link: Int) {
        self.log = log
        self.header = header
        self.cells = cells
        self.cellBytes = cellBytes
        self.capacity = capacity
        self.link = link
    }

    private func word(_ index: Int) -> Int { Int(log.memory.load(header + index * 8, as: UInt64.self)) }
    @inline(__always) private func set(_ index: Int, _ value: Int) {
        log.write(UInt64(value), at: header + index * 8)
    }

    /// Cells 1 to this have been in use at some time; those beyond were never touched.
    package var everUsed: Int { word(0) }

    /// Cells handed out and not freed.
    package var inUse: Int { word(1) }

    @inline(__always) package func offset(of cell: UInt32) -> Int {
        precondition(cell > 0 && Int(cell) <= capacity, "no such cell")
        return cells + (Int(cell) - 1) * cellBytes
    }

    /// A cell with arbitrary content, 0 when none is left.
    package func allocate() -> UInt32 {
        let head = word(2)
        if head != 0 {
            let next: UInt64 = log.memory.load(offset(of: UInt32(head)) + link)
            set(2, Int(next))
            set(1, word(1) + 1)
            return UInt32(head)
        }
        let bumped = word(0)
        if bumped == capacity { return 0 }
        set(0, bumped + 1)
        set(1, word(1) + 1)
        populate(bumped)
        return UInt32(bumped + 1)
    }

    /// Memory that is touched first together, and the largest cells for which that is done.
    private static let chunk = 64 << 10
    private static let largestPopulated = 1024

    /// Makes the pages of the next chunk where the cell behind so many others is the first to reach into it.
    private func populate(_ others: Int) {
        if cellBytes > Pool.largestPopulated { return }
        let start = cells + others * cellBytes
        let next = (start + cellBytes - 1) & ~(Pool.chunk - 1)
        if start > next { return }
        let end = min(next + Pool.chunk, (cells + capacity * cellBytes) & ~4095)
        if next >= cells && end > next { log.memory.populate(next, count: end - next) }
    }

    package func free(_ cell: UInt32) {
        let head = word(3)
        log.write(UInt64(head), at: offset(of: cell) + link)
        if head == 0 { set(4, Int(cell)) }
        set(3, Int(cell))
        set(1, word(1) - 1)
    }

    /// True where the pool with that header has something to recycle.
    @inline(__always) package static func hasFreed(_ memory: Memory, header: Int) -> Bool {
        memory.load(header + 24, as: UInt64.self) != 0
    }

    /// Lets this turn use what earlier turns freed: the freed list is put before the free one.
    package func recycle() {
        let head = word(3)
        if head == 0 { return }
        log.write(UInt64(word(2)), at: offset(of: UInt32(word(4))) + link)
        set(2, head)
        set(3, 0)
        set(4, 0)
    }

    /// Counts the free lists and compares with the header; for tests and the control tool's check.
    package var isConsistent: Bool {
        let free = length(ofList: 2)
        let freed = length(ofList: 3)
        return word(0) - free - freed == word(1)
    }

    private func length(ofList list: Int) -> Int {
        var count = 0
        var cell = word(list)
        while cell != 0 && count <= capacity {
            count += 1
            cell = Int(log.memory.load(offset(of: UInt32(cell)) + link, as: UInt64.self))
        }
        return count
    }
}
