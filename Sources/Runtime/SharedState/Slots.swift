import Platform
import SharedMemory

/// Where received messages lie: the bytes, and the index that the master's scan made of them.
///
///     owners: one word a slot  | generation : 32 | owner : 8 |    owner 0xFF: free
///     small slot, 4096 bytes:  | SlotHeader, 128 | index, 640 | message, 3328 |
///     large slot:              | the same        |            | message, 65536 |
///     outgoing slots: large ones as well, some for each worker
///
/// Only its owner changes a slot's word, before it hands the slot over. The master takes free slots and gives
/// them a new generation, a worker its outgoing ones; whoever finishes with one marks it free.
package struct Slots: BitwiseCopyable {
    package static let headerBytes = 128
    package static let indexBytes = 640
    package static let smallBytes = 4096
    package static let smallCapacity = smallBytes - headerBytes - indexBytes
    package static let largeBytes = headerBytes + indexBytes + 65536
    package static let largeCapacity = 65536
    /// Messages of one worker that are on their way to the master at once.
    package static let outgoingPerWorker = 1024
    private static let free: UInt64 = 0xFF

    package let memory: Memory
    package let smallCount: Int
    package let largeCount: Int
    package let workers: Int
    private let owners: Int
    private let small: Int
    private let large: Int

    /// Those that the master receives into.
    package var incomingCount: Int { smallCount + largeCount }
    package var count: Int { Slots.count(small: smallCount, large: largeCount, workers: workers) }

    package static func count(small: Int, large: Int, workers: Int) -> Int {
        small + large + workers * outgoingPerWorker
    }

    /// - Parameter large: offset of the large slots, and of the outgoing ones behind them.
    package init(
        memory: Memory, owners: Int, small: Int, smallCount: Int, large: Int, largeCount: Int, workers: Int
    ) {
        self.workers = workers
        self.memory = memory
        self.owners = owners
        self.small = small
        self.smallCount = smallCount
        self.large = large
        self.largeCount = largeCount
    }

    /// Marks every slot free; by the master that made the arena.
    package func initialize() {
        for index in 0..<count { memory.storeAtomic(Slots.free, at: owners + index * 8) }
    }

    // MARK: ownership

    package func isFree(_ index: Int) -> Bool { memory.loadAtomic(owners + index * 8) & 0xFF == Slots.free }

    package func owner(_ index: Int) -> ProcessID {
        ProcessID(rawValue: UInt8(truncatingIfNeeded: memory.loadAtomic(owners + index * 8)))
    }

    /// Who has the slot, nil where it is free: one look, for it may be given back between two.
    package func holder(_ index: Int) -> ProcessID? {
        let owner = memory.loadAtomic(owners + index * 8) & 0xFF
        return owner == Slots.free ? nil : ProcessID(rawValue: UInt8(truncatingIfNeeded: owner))
    }

    /// Takes a free slot for the master, in a new generation.
    package func take(_ index: Int) -> SlotReference {
        let word = memory.loadAtomic(owners + index * 8)
        precondition(word & 0xFF == Slots.free, "slot is not free")
        let generation = UInt32(truncatingIfNeeded: word >> 32) &+ 1
        // Or a next master would take what was in it before for received.
        setHeader(SlotHeader(), index)
        memory.storeAtomic(
            UInt64(generation) << 32 | UInt64(ProcessID.master.rawValue), at: owners + index * 8)
        FaultPoint.slotTaken.pass(memory)
        return SlotReference(index: index, generation: generation)
    }

    /// The outgoing slots of a worker.
    package func outgoing(of worker: Int) -> Range<Int> {
        let first = incomingCount + worker * Slots.outgoingPerWorker
        return first..<first + Slots.outgoingPerWorker
    }

    /// Takes one of the worker's own outgoing slots in a turn, looking from place `start` of them on; nil
    /// where all are on their way.
    package func takeOutgoing(_ worker: Int, from start: Int, undo: UndoLog) -> SlotReference? {
        let range = outgoing(of: worker)
        for step in 0..<range.count {
            let index = range.lowerBound + (start + step) % range.count
            guard isFree(index) else { continue }
            let generation = UInt32(truncatingIfNeeded: memory.loadAtomic(owners + index * 8) >> 32) &+ 1
            undo.write(
                UInt64(generation) << 32 | UInt64(ProcessID.worker(worker).rawValue), at: owners + index * 8)
            return SlotReference(index: index, generation: generation)
        }
        return nil
    }

    /// The slot as it is now.
    package func reference(_ index: Int) -> SlotReference {
        SlotReference(
            index: index,
            generation: UInt32(truncatingIfNeeded: memory.loadAtomic(owners + index * 8) >> 32))
    }

    /// How many of the worker's outgoing slots are free.
    package func freeOutgoing(_ worker: Int) -> Int {
        var free = 0
        for index in outgoing(of: worker) where isFree(index) { free += 1 }
        return free
    }

    /// True where `holder` owns the slot in that generation.
    package func isHeld(_ slot: SlotReference, by holder: ProcessID) -> Bool {
        guard slot.index >= 0 && slot.index < count else { return false }
        return memory.loadAtomic(owners + slot.index * 8) == UInt64(slot.generation) << 32
            | UInt64(holder.rawValue)
    }

    /// Hands a slot over; nothing happens where `holder` has handed it over before (a repeated flush).
    package func hand(_ slot: SlotReference, from holder: ProcessID, to next: ProcessID) {
        if isHeld(slot, by: holder) {
            memory.storeAtomic(
                UInt64(slot.generation) << 32 | UInt64(next.rawValue), at: owners + slot.index * 8)
            FaultPoint.slotHanded.pass(memory)
        }
    }

    /// Gives a slot back; nothing happens where `holder` no longer has it.
    package func release(_ slot: SlotReference, by holder: ProcessID) {
        if isHeld(slot, by: holder) {
            memory.storeAtomic(UInt64(slot.generation) << 32 | Slots.free, at: owners + slot.index * 8)
            FaultPoint.slotReleased.pass(memory)
        }
    }

    /// Frees what a master that is gone has held, but for those of `kept`.
    package func reclaim(except kept: Set<Int>) {
        for index in 0..<count where holder(index) == .master && !kept.contains(index) {
            let generation = memory.loadAtomic(owners + index * 8) >> 32
            memory.storeAtomic(generation << 32 | Slots.free, at: owners + index * 8)
        }
    }

    /// Slots that are not free.
    package var inUse: Int {
        var used = 0
        for index in 0..<count where !isFree(index) { used += 1 }
        return used
    }

    // MARK: content

    private func base(_ index: Int) -> Int {
        precondition(index >= 0 && index < count, "no such slot")
        return index < smallCount
            ? small + index * Slots.smallBytes : large + (index - smallCount) * Slots.largeBytes
    }

    package func capacity(_ index: Int) -> Int {
        index < smallCount ? Slots.smallCapacity : Slots.largeCapacity
    }

    package func header(_ index: Int) -> SlotHeader { memory.load(base(index)) }
    package func setHeader(_ header: SlotHeader, _ index: Int) { memory.store(header, at: base(index)) }

    /// Where the parsed index lies: `indexBytes`, of the syntax layer's type.
    package func indexOffset(_ index: Int) -> Int { base(index) + Slots.headerBytes }

    package func bytesOffset(_ index: Int) -> Int { base(index) + Slots.headerBytes + Slots.indexBytes }

    /// The received bytes.
    @_lifetime(immortal)
    package func bytes(_ index: Int) -> Span<UInt8> {
        memory.bytes(bytesOffset(index), count: min(Int(header(index).length), capacity(index)))
    }
}

/// What is known of a message in a slot besides its bytes.
package struct SlotHeader: BitwiseCopyable {
    package var length: UInt32 = 0
    /// A `Fault` of the syntax layer, 0 where the message is sound.
    package var fault: UInt8 = 0
    /// It has come by a datagram, and all of it is here.
    package var isReceived = false
    private var padding: UInt16 = 0
    /// Where it came from; of an outgoing message, where it goes.
    package var endpoint = Endpoint()

    package init() {}
}
