import Platform
import SharedMemory

/// Messages that a shard keeps: requests, responses, targets. Written once, then immutable until freed.
///
///     cell: | generation : 32, length : 32 | link of free cells | bytes … |
///
/// Cells come in size classes, each a pool of its own. A process that reads another worker's message checks
/// the generation before and after: a freed cell has a new one.
package struct StoredMessages: BitwiseCopyable {
    /// Bytes of a cell in each class, its 16-byte head included. Close to one another where most of the
    /// responses are that a transaction keeps for the 32 seconds of its timers.
    package static let classes: InlineArray<14, Int> = [
        256, 320, 384, 448, 512, 640, 768, 1024, 1536, 2560, 4096, 8192, 16384, 69632,
    ]
    /// The longest message that can be kept.
    package static let maximumLength = 69632 - 16
    private static let head = 16

    private let log: UndoLog
    private let headers: Int
    private let records: Int
    /// Offset of each class's first cell.
    private let areas: InlineArray<14, Int>

    /// Bytes of the pool headers (in the shard's header region).
    package static let headerBytes = classes.count * Pool.headerBytes

    /// Cells of a class for a shard of `records` records: few of the large ones, which are rare.
    private static func capacity(_ sizeClass: Int, records: Int) -> Int {
        let size = classes[sizeClass]
        return size <= 2560
            ? records + 64
            : size <= 4096 ? records / 2 + 64 : size <= 16384 ? records / 16 + 64 : records / 128 + 64
    }

    /// Bytes of all cells for a shard of `records` records.
    package static func bytes(records: Int) -> Int {
        var sum = 0
        for index in classes.indices { sum += areaBytes(index, records: records) }
        return sum
    }

    /// Bytes of all cells of a class, in whole pages.
    private static func areaBytes(_ sizeClass: Int, records: Int) -> Int {
        (classes[sizeClass] * capacity(sizeClass, records: records) + 4095) & ~4095
    }

    package init(log: UndoLog, headers: Int, cells: Int, records: Int) {
        self.log = log
        self.headers = headers
        self.records = records
        var areas = InlineArray<14, Int>(repeating: cells)
        for index in 1..<14 {
            areas[index] = areas[index - 1] + StoredMessages.areaBytes(index - 1, records: records)
        }
        self.areas = areas
    }

    private func pool(_ sizeClass: Int) -> Pool {
        precondition(sizeClass >= 0 && sizeClass < StoredMessages.classes.count, "no such class")
        return Pool(
            log: log, header: headers + sizeClass * Pool.headerBytes, cells: areas[sizeClass],
            cellBytes: StoredMessages.classes[sizeClass],
            capacity: StoredMessages.capacity(sizeClass, records: records), link: 8)
    }

    private static func sizeClass(for length: Int) -> Int? {
        for index in classes.indices where length <= classes[index] - head { return index }
        return nil
    }

    /// Takes a cell for a message of up to `length` bytes; nil where none is left. Fill it, then `seal`.
    package func reserve(_ length: Int) -> Reservation? {
        guard let sizeClass = StoredMessages.sizeClass(for: length) else { return nil }
        let pool = pool(sizeClass)
        let cell = pool.allocate()
        if cell == 0 { return nil }
        let offset = pool.offset(of: cell)
        let generation = log.memory.load(offset, as: UInt32.self)
        return Reservation(
            reference: StoredReference(sizeClass: sizeClass, cell: cell, generation: generation),
            offset: offset + StoredMessages.head, capacity: pool.cellBytes - StoredMessages.head)
    }

    /// A cell that is being filled.
    package struct Reservation {
        package let reference: StoredReference
        /// Where in the arena the bytes go.
        package let offset: Int
        package let capacity: Int
    }

    /// Fixes the length of a message; from now on its bytes do not change.
    package func seal(_ reservation: Reservation, length: Int) -> StoredReference {
        precondition(length <= reservation.capacity)
        log.write32(UInt32(length), at: reservation.offset - StoredMessages.head + 4)
        return reservation.reference
    }

    /// Stores a copy of `bytes`; nil where no cell is left.
    package func store(_ bytes: Span<UInt8>) -> StoredReference? {
        guard let room = reserve(bytes.count) else { return nil }
        var writer = log.memory.writer(room.offset, capacity: room.capacity)
        writer.append(bytes)
        return seal(room, length: bytes.count)
    }

    /// Frees a message; `none` is no message.
    package func free(_ reference: StoredReference) {
        if reference.isNone { return }
        let pool = pool(reference.sizeClass)
        let offset = pool.offset(of: reference.cell)
        let generation: UInt32 = log.memory.load(offset)
        precondition(generation & 0xFF_FFFF == reference.generation, "stored message freed twice")
        log.write32(generation &+ 1, at: offset)
        pool.free(reference.cell)
    }

    /// Where the bytes of a message lie, and how many; for the shard's own worker.
    package func locate(_ reference: StoredReference) -> (offset: Int, count: Int) {
        let offset = pool(reference.sizeClass).offset(of: reference.cell)
        return (offset + StoredMessages.head, Int(log.memory.load(offset + 4, as: UInt32.self)))
    }

    /// True while the message is there; other workers ask before and after they read.
    package func isCurrent(_ reference: StoredReference) -> Bool {
        guard !reference.isNone, reference.sizeClass < StoredMessages.classes.count else { return false }
        let pool = pool(reference.sizeClass)
        guard reference.cell > 0, Int(reference.cell) <= pool.capacity else { return false }
        let word = log.memory.loadAtomic(pool.offset(of: reference.cell))
        return UInt32(truncatingIfNeeded: word) & 0xFF_FFFF == reference.generation
    }

    /// The bytes of a message.
    @_lifetime(immortal)
    package func bytes(_ reference: StoredReference) -> Span<UInt8> {
        let place = locate(reference)
        return log.memory.bytes(place.offset, count: place.count)
    }

    package var inUse: Int {
        var sum = 0
        for index in StoredMessages.classes.indices { sum += pool(index).inUse }
        return sum
    }

    /// Bytes of the cells in use.
    package var bytesInUse: Int {
        var sum = 0
        for index in StoredMessages.classes.indices {
            sum += pool(index).inUse * StoredMessages.classes[index]
        }
        return sum
    }

    package func recycle() {
        for index in StoredMessages.classes.indices
        where Pool.hasFreed(log.memory, header: headers + index * Pool.headerBytes) { pool(index).recycle() }
    }

    package var isConsistent: Bool {
        for index in StoredMessages.classes.indices where !pool(index).isConsistent { return false }
        return true
    }
}
