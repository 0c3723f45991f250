import Glibc
import Platform
import SharedMemory

/// Bindings by address of record, for all to read and the locator to write (design §3).
///
///     region: | header, 4096 | buckets, 8 bytes each | heap: blocks … untouched until used |
///
///     bucket ──► block "alice@example.org" ──► block "bob@example.org" ──► 0
///                everything of one address of record, immutable
///
///     block:  | next : 64 | link : 64 | hash : 64 | version : 32, aor count : 16, bindings : 16 |
///             | size : 32, class : 32 | address of record, padded to 8 | binding | binding | … |
///     binding: | expires : 64 | CSeq : 32 | q : 16 | counts of URI, Call-ID, Path, User-Agent : 16 each | 0 : 16 |
///              | the four texts behind one another, padded to 8 |
///
/// A change makes a new block and stores its offset, atomically, into the bucket or the predecessor's `next`:
/// readers need no lock and see the old record or the new one. A replaced block keeps its `next` and is used
/// again only after every reader's turn counter has moved on. `link` belongs to the lists of free and of
/// retired blocks and changes only through the undo log; the rest of a block that nobody can see yet needs no
/// undo.
///
/// Bindings stand in the order of their last update, the newest last.
package struct LocationTable: BitwiseCopyable {
    package static let layoutVersion = 2

    /// Words of the header; the free lists of the size classes follow.
    enum Word: Int {
        case key0, key1, loaded, bumped, bindings, records, retiring, waiting, freeLists
    }

    // Offsets in a block.
    static let linkOffset = 8
    static let hashOffset = 16
    static let countsOffset = 24
    static let sizeOffset = 32
    static let classOffset = 36
    static let blockHead = 40
    static let bindingHead = 24

    /// Smallest step between block sizes, and the largest block: what max-contacts long contacts may need in
    /// a 200 that still fits a datagram.
    static let granularity = 64
    package static let largestBlock = 65536
    private static let headerBytes = 4096
    private static let heapBytesPerBinding = 768

    let memory: Memory
    private let base: Int
    /// Bindings that the table may hold.
    package let capacity: Int
    package let bucketCount: Int
    private let buckets: Int
    let heap: Int
    let heapBytes: Int

    private static func bucketCount(capacity: Int) -> Int {
        var count = 1024
        while count < capacity { count *= 2 }
        return count
    }

    private static func heapBytes(capacity: Int) -> Int {
        // With few bindings one large record counts for more; the rest is address space only.
        max(capacity * heapBytesPerBinding, 8 << 20) & ~4095
    }

    /// Bytes of the region; memory is taken as it is used.
    package static func bytes(capacity: Int) -> Int {
        headerBytes + bucketCount(capacity: capacity) * 8 + heapBytes(capacity: capacity)
    }

    package init(memory: Memory, at base: Int, capacity: Int) {
        self.memory = memory
        self.base = base
        self.capacity = capacity
        bucketCount = LocationTable.bucketCount(capacity: capacity)
        buckets = base + LocationTable.headerBytes
        heap = buckets + bucketCount * 8
        heapBytes = LocationTable.heapBytes(capacity: capacity)
    }

    /// Draws the hash key; by the master that made the arena, on zero bytes.
    package func initialize() throws(SystemError) {
        let target = unsafe memory.address(cell(.key0), count: 16)
        guard unsafe getentropy(target, 16) == 0 else { throw .last("getentropy") }
    }

    func cell(_ word: Word) -> Int { base + word.rawValue * 8 }
    func freeList(_ sizeClass: Int) -> Int { base + (Word.freeLists.rawValue + sizeClass) * 8 }
    func word(_ word: Word) -> Int { Int(truncatingIfNeeded: memory.loadAtomic(cell(word))) }

    /// True once the locator has put in what the store holds.
    package var isLoaded: Bool { word(.loaded) != 0 }
    package func setLoaded(undo: UndoLog) { undo.write(UInt64(1), at: cell(.loaded)) }

    /// Bindings in the table, those included that have expired since the last sweep.
    package var bindingCount: Int { word(.bindings) }
    /// Addresses of record with bindings.
    package var recordCount: Int { word(.records) }
    /// Bytes of the heap that were ever used.
    package var heapUsed: Int { word(.bumped) }

    // MARK: reading

    /// Keyed: nobody outside can aim at one bucket.
    package func hash(_ aor: Span<UInt8>) -> UInt64 {
        var hash = KeyedHash(key0: memory.load(cell(.key0)), key1: memory.load(cell(.key1)))
        hash.combine(aor)
        return hash.finalize()
    }

    func bucket(_ index: Int) -> Int { buckets + (index & (bucketCount - 1)) * 8 }
    func bucket(hash: UInt64) -> Int { bucket(Int(truncatingIfNeeded: hash)) }

    /// The bindings of an address of record (as `SIPURI.writeAddressOfRecord` writes it), expired ones
    /// included; nil where it has none. For processes with a turn counter, inside a turn, and not beyond its
    /// end.
    package func find(_ aor: Span<UInt8>) -> BindingSet? {
        let hash = hash(aor)
        let block = load(predecessor(aor, hash: hash))
        return block == 0 ? nil : BindingSet(memory: memory, block: block)
    }

    func load(_ cell: Int) -> Int { Int(truncatingIfNeeded: memory.loadAtomic(cell)) }

    /// The bucket or `next` that leads to the block of `aor`, or the last `next` of the chain, which is 0.
    func predecessor(_ aor: Span<UInt8>, hash: UInt64) -> Int {
        var cell = bucket(hash: hash)
        while true {
            let block = load(cell)
            if block == 0
                || memory.load(block + LocationTable.hashOffset) == hash
                    && BindingSet(memory: memory, block: block).isOf(aor)
            {
                return cell
            }
            cell = block
        }
    }

    /// The records of a stretch of the heap, from `position` on: looks at `bytes` of it and gives what is
    /// there and wanted and published; for the locator's sweep, which so touches no page that was not used.
    /// `position` is 0 at the end. To find out what is published costs more than to read what lies there.
    package func records(
        from position: inout Int, bytes: Int, where isWanted: (BindingSet) -> Bool,
        _ body: (BindingSet) -> Bool
    ) {
        let end = min(position + bytes, heapUsed)
        while position < end {
            let block = heap + position
            position += LocationTable.classBytes(
                Int(memory.load(block + LocationTable.classOffset, as: UInt32.self)))
            // Odd: a draft that a killed locator left.
            if memory.loadAtomic(block + LocationTable.countsOffset) & 1 != 0 { continue }
            let set = BindingSet(memory: memory, block: block)
            if isWanted(set)
                && load(predecessor(set.aor, hash: memory.load(block + LocationTable.hashOffset))) == block
                && !body(set)
            {
                return
            }
        }
        if position >= heapUsed { position = 0 }
    }

    // MARK: size classes

    /// 64, 128 … 4096, then 8, 16, 32 and 64 KiB.
    static let classCount = 68

    static func sizeClass(_ size: Int) -> Int {
        if size <= 4096 { return (size - 1) / granularity }
        return size <= 8192 ? 64 : size <= 16384 ? 65 : size <= 32768 ? 66 : 67
    }

    static func classBytes(_ sizeClass: Int) -> Int {
        precondition(sizeClass >= 0 && sizeClass < classCount, "damaged block")
        return sizeClass < 64 ? (sizeClass + 1) * granularity : 8192 << (sizeClass - 64)
    }
}
