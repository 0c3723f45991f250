import SharedState

/// The master's hand of free slots. Workers give slots back by marking them free; the master looks for those
/// when its hand is empty, lowest first, so that few pages stay warm.
struct SlotPool: ~Copyable {
    private let slots: Slots
    private var small: [Int] = []
    private var large: [Int] = []
    /// Slots per process at the last look, and those handed out since.
    private var held = InlineArray<68, Int>(repeating: 0)
    private let quota: Int

    init(slots: Slots) {
        self.slots = slots
        // One process that stands still leaves the others a quarter.
        quota = slots.smallCount * 3 / 4
        small.reserveCapacity(slots.smallCount)
        large.reserveCapacity(slots.largeCount)
    }

    private mutating func refill() {
        small.removeAll(keepingCapacity: true)
        large.removeAll(keepingCapacity: true)
        for process in 0..<ProcessID.limit { held[process] = 0 }
        for index in stride(from: slots.incomingCount - 1, through: 0, by: -1) {
            if let holder = slots.holder(index) {
                held[holder.index] += 1
            } else if index < slots.smallCount {
                small.append(index)
            } else {
                large.append(index)
            }
        }
    }

    /// A slot for a datagram of usual size; nil where none is free.
    mutating func takeSmall() -> SlotReference? {
        if small.isEmpty { refill() }
        return small.popLast().map { slots.take($0) }
    }

    mutating func takeLarge() -> SlotReference? {
        if large.isEmpty { refill() }
        return large.popLast().map { slots.take($0) }
    }

    /// A slot for a message of a stream, which can wait: the last eighth is for datagrams, which cannot.
    mutating func takeForStream(_ count: Int) -> SlotReference? {
        if count <= Slots.smallCapacity {
            if small.count <= slots.smallCount / 8 { refill() }
            return small.count > slots.smallCount / 8 ? small.popLast().map { slots.take($0) } : nil
        }
        if large.count <= slots.largeCount / 8 { refill() }
        return large.count > slots.largeCount / 8 ? large.popLast().map { slots.take($0) } : nil
    }

    /// Takes back a slot that was not handed out.
    mutating func giveBack(_ slot: SlotReference) { slots.release(slot, by: .master) }

    /// False where `process` holds as many slots as one may.
    mutating func mayHand(to process: ProcessID) -> Bool {
        if held[process.index] >= quota {
            refill()
            if held[process.index] >= quota { return false }
        }
        held[process.index] += 1
        return true
    }
}
