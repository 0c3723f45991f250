import Platform
import SharedMemory

/// The head of every record of a shard: 48 bytes. What follows belongs to the transaction layer.
package struct RecordHeader: BitwiseCopyable {
    package static let bytes = 48

    package var generation: UInt32 = 0
    /// 0: free. Else the transaction layer's kind.
    package var kind: UInt8 = 0
    private var padding: UInt8 = 0
    /// Wheel slot + 1 that the record is linked in, 0: none.
    package var timerSlot: UInt16 = 0
    package var key: UInt64 = 0
    /// Chain of the hash bucket.
    package var next: UInt32 = 0
    package var timerNext: UInt32 = 0
    package var timerPrevious: UInt32 = 0
    private var padding2: UInt32 = 0
    /// Tick at which the wheel shall look at the record.
    package var timerTick: UInt64 = 0
    /// Chain of free cells.
    private var link: UInt64 = 0

    package init() {}

    // Offsets of the fields that the chains change in place.
    package static let nextOffset = 16
    package static let timerNextOffset = 20
    package static let timerPreviousOffset = 24
    package static let linkOffset = 40
}

/// Records of one shard in a pool, found by key through a chained hash table. Single writer: its worker.
///
/// The table grows by a bucket where it has fewer than records (linear hashing), so that neither its pages
/// are touched before they are needed nor its chains get long:
///
///     buckets  0 … n-p-1 | n-p … p-1 | p … n-1         n buckets, p the largest power of two in n
///              by 2p      by p        by 2p             what the key is taken modulo
///
/// The next bucket, n, gets what of bucket n-p belongs there.
package struct TransactionTable: BitwiseCopyable {
    package static let recordBytes = 256
    private static let leastBuckets = 1024

    package let log: UndoLog
    package let pool: Pool
    private let buckets: Int
    private let mostBuckets: Int
    /// Offset of the word that counts the buckets beyond the first 1024.
    private let grown: Int

    /// The most there may be.
    package static func bucketCount(records: Int) -> Int {
        var count = leastBuckets
        while count < records { count *= 2 }
        return count
    }

    /// - Parameter grown: offset of a word of the table's, zero at first.
    package init(log: UndoLog, header: Int, cells: Int, records: Int, buckets: Int, grown: Int) {
        self.log = log
        pool = Pool(
            log: log, header: header, cells: cells, cellBytes: TransactionTable.recordBytes,
            capacity: records,
            link: RecordHeader.linkOffset)
        self.buckets = buckets
        self.grown = grown
        mostBuckets = TransactionTable.bucketCount(records: records)
    }

    package var bucketCount: Int {
        TransactionTable.leastBuckets &+ Int(truncatingIfNeeded: log.memory.load(grown, as: UInt64.self))
    }

    /// The largest power of two in `count`.
    @inline(__always) private func round(_ count: Int) -> Int { 1 << (63 &- count.leadingZeroBitCount) }

    @inline(__always) private func place(_ index: Int) -> Int { buckets &+ index &* 4 }

    private func bucket(_ key: UInt64) -> Int {
        let count = bucketCount
        let round = round(count)
        let key = Int(truncatingIfNeeded: key)
        let index = key & (2 &* round &- 1)
        return place(index < count ? index : key & (round &- 1))
    }

    /// Makes one more bucket where there are fewer than records.
    private func grow() {
        let count = bucketCount
        if pool.inUse <= count || count == mostBuckets { return }
        let round = round(count)
        // The chain is split in place: each record goes behind the last one of its half.
        var ends = (place(count &- round), place(count))
        var cell: UInt32 = log.memory.load(ends.0)
        while cell != 0 {
            let header = header(cell)
            let next = offset(cell) + RecordHeader.nextOffset
            if Int(truncatingIfNeeded: header.key) & round == 0 {
                log.write32(cell, at: ends.0)
                ends.0 = next
            } else {
                log.write32(cell, at: ends.1)
                ends.1 = next
            }
            cell = header.next
        }
        log.write32(0, at: ends.0)
        log.write32(0, at: ends.1)
        log.write(UInt64(count &- TransactionTable.leastBuckets &+ 1), at: grown)
    }

    @inline(__always) package func offset(_ cell: UInt32) -> Int { pool.offset(of: cell) }

    package func header(_ cell: UInt32) -> RecordHeader { log.memory.load(offset(cell)) }

    /// Takes a record, clears it but for its generation, and links it under `key`; 0 where the table is full.
    package func insert(kind: UInt8, key: UInt64) -> UInt32 {
        let cell = pool.allocate()
        if cell == 0 { return 0 }
        grow()
        let offset = offset(cell)
        var header = RecordHeader()
        header.generation = (log.memory.load(offset, as: UInt32.self) &+ 1) & 0xFF_FFFF
        header.kind = kind
        header.key = key
        header.next = log.memory.load(bucket(key))
        log.write(header, at: offset)
        // Without the log: a turn that is taken back leaves a free record, of which only the header matters.
        log.memory.zero(offset + RecordHeader.bytes, count: TransactionTable.recordBytes - RecordHeader.bytes)
        log.write32(cell, at: bucket(key))
        return cell
    }

    /// The first record of that kind under `key` (0: none).
    package func find(kind: UInt8, key: UInt64) -> UInt32 {
        var cell: UInt32 = log.memory.load(bucket(key))
        while cell != 0 {
            let header = header(cell)
            if header.key == key && header.kind == kind { return cell }
            cell = header.next
        }
        return 0
    }

    /// Unlinks and frees a record; its timer must be unlinked before.
    package func remove(_ cell: UInt32) {
        var header = header(cell)
        precondition(header.kind != 0 && header.timerSlot == 0)
        var at = bucket(header.key)
        var current: UInt32 = log.memory.load(at)
        while current != cell {
            precondition(current != 0, "record is not in its bucket")
            at = offset(current) + RecordHeader.nextOffset
            current = log.memory.load(at)
        }
        log.write32(header.next, at: at)
        header.kind = 0
        log.write(header, at: offset(cell))
        pool.free(cell)
    }

    /// True where `cell` holds a record of that kind and generation.
    package func isCurrent(_ cell: UInt32, kind: UInt8, generation: UInt32) -> Bool {
        guard cell > 0, Int(cell) <= pool.capacity else { return false }
        let header = header(cell)
        return header.kind == kind && header.generation == generation
    }
}
