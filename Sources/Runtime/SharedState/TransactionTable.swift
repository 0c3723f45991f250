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
package struct TransactionTable: BitwiseCopyable {
    package static let recordBytes = 384

    package let log: UndoLog
    package let pool: Pool
    private let buckets: Int
    private let mask: UInt64

    package static func bucketCount(records: Int) -> Int {
        var count = 1024
        while count < records { count *= 2 }
        return count
    }

    package init(log: UndoLog, header: Int, cells: Int, records: Int, buckets: Int) {
        self.log = log
        pool = Pool(
            log: log, header: header, cells: cells, cellBytes: TransactionTable.recordBytes,
            capacity: records,
            link: RecordHeader.linkOffset)
        self.buckets = buckets
        mask = UInt64(TransactionTable.bucketCount(records: records) - 1)
    }

    private func bucket(_ key: UInt64) -> Int { buckets + Int(key & mask) * 4 }

    @inline(__always) package func offset(_ cell: UInt32) -> Int { pool.offset(of: cell) }

    package func header(_ cell: UInt32) -> RecordHeader { log.memory.load(offset(cell)) }

    /// Takes a record, clears it but for its generation, and links it under `key`; 0 where the table is full.
    package func insert(kind: UInt8, key: UInt64) -> UInt32 {
        let cell = pool.allocate()
        if cell == 0 { return 0 }
        let offset = offset(cell)
        var header = RecordHeader()
        header.generation = (log.memory.load(offset, as: UInt32.self) &+ 1) & 0xFF_FFFF
        header.kind = kind
        header.key = key
        header.next = log.memory.load(bucket(key))
        log.write(header, at: offset)
        for word in stride(from: RecordHeader.bytes, to: TransactionTable.recordBytes, by: 8) {
            log.write(UInt64(0), at: offset + word)
        }
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
