import Platform
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

    /// Who looks for slots.
    private enum Seeker: Int { case small, large, smallStream, largeStream }

    /// The millisecond in which one looked in vain. All slots are looked at each time, so under an overload, when
    /// each message would have that done, it waits for the next one.
    private var vainAt = InlineArray<4, UInt64>(repeating: 0)

    init(slots: Slots) {
        self.slots = slots
        // One process that stands still leaves the others a quarter.
        quota = slots.smallCount * 3 / 4
        small.reserveCapacity(slots.smallCount)
        large.reserveCapacity(slots.largeCount)
    }

    /// Looks for free slots.
    private mutating func refill(_ seeker: Seeker) {
        let now = Clock.milliseconds()
        if vainAt[seeker.rawValue] == now { return }
        refill()
        let isVain =
            switch seeker {
            case .small: small.isEmpty
            case .large: large.isEmpty
            case .smallStream: small.count <= slots.smallCount / 8
            case .largeStream: large.count <= slots.largeCount / 8
            }
        if isVain { vainAt[seeker.rawValue] = now }
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
        if small.isEmpty { refill(.small) }
        return small.popLast().map { slots.take($0) }
    }

    mutating func takeLarge() -> SlotReference? {
        if large.isEmpty { refill(.large) }
        return large.popLast().map { slots.take($0) }
    }

    /// A slot for a message of a stream, which can wait: the last eighth is for datagrams, which cannot.
    mutating func takeForStream(_ count: Int) -> SlotReference? {
        if count <= Slots.smallCapacity {
            if small.count <= slots.smallCount / 8 { refill(.smallStream) }
            return small.count > slots.smallCount / 8 ? small.popLast().map { slots.take($0) } : nil
        }
        if large.count <= slots.largeCount / 8 { refill(.largeStream) }
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
