import Platform
import SharedState

/// The master's hand of free slots. Workers give slots back by marking them free; the master looks for those
/// when its hand is empty, and takes the lowest, not many: the same few are used again and again, so that they
/// stay in the processor's cache and the others' pages are never touched.
struct SlotPool: ~Copyable {
    private let slots: Slots
    private var small: [Int] = []
    private var large: [Int] = []
    /// Free slots, of those in the hand and the others, as of the last look at all, less those taken since.
    private var smallLeft = 0
    /// Slots per process at that look, and those handed out since.
    private var held = InlineArray<68, Int>(repeating: 0)
    private let quota: Int
    private static let handSize = 256

    /// Who looks for slots.
    private enum Seeker: Int { case small, large, smallStream, largeStream }

    /// The millisecond in which one looked in vain, at all slots: under an overload, when each message would have
    /// that done, it waits for the next one.
    private var vainAt = InlineArray<4, UInt64>(repeating: 0)

    init(slots: Slots) {
        self.slots = slots
        // One process that stands still leaves the others a quarter.
        quota = slots.smallCount * 3 / 4
        small.reserveCapacity(SlotPool.handSize)
        large.reserveCapacity(slots.largeCount)
    }

    /// Looks for free slots.
    private mutating func refill(_ seeker: Seeker) {
        let now = Clock.milliseconds()
        if vainAt[seeker.rawValue] == now { return }
        if seeker == .small { takeLowest() } else { refill() }
        let isVain =
            switch seeker {
            case .small: small.isEmpty
            case .large: large.isEmpty
            case .smallStream: smallLeft <= slots.smallCount / 8
            case .largeStream: large.count <= slots.largeCount / 8
            }
        if isVain { vainAt[seeker.rawValue] = now }
    }

    /// The lowest free slots are near the begin: most looks end there.
    private mutating func takeLowest() {
        for index in 0..<slots.smallCount where slots.isFree(index) {
            small.append(index)
            if small.count == SlotPool.handSize { break }
        }
        smallLeft = max(smallLeft, small.count)
        small.reverse()
    }

    /// Looks at all slots, and at who has them.
    private mutating func refill() {
        small.removeAll(keepingCapacity: true)
        large.removeAll(keepingCapacity: true)
        smallLeft = 0
        for process in 0..<ProcessID.limit { held[process] = 0 }
        for index in 0..<slots.incomingCount {
            if let holder = slots.holder(index) {
                held[holder.index] += 1
            } else if index < slots.smallCount {
                smallLeft += 1
                if small.count < SlotPool.handSize { small.append(index) }
            } else {
                large.append(index)
            }
        }
        // The lowest is the first to be taken.
        small.reverse()
        large.reverse()
    }

    private mutating func popSmall() -> SlotReference? {
        guard let index = small.popLast() else { return nil }
        smallLeft -= 1
        return slots.take(index)
    }

    /// A slot for a datagram of usual size; nil where none is free.
    mutating func takeSmall() -> SlotReference? {
        if small.isEmpty { refill(.small) }
        return popSmall()
    }

    mutating func takeLarge() -> SlotReference? {
        if large.isEmpty { refill(.large) }
        return large.popLast().map { slots.take($0) }
    }

    /// A slot for a message of a stream, which can wait: the last eighth is for datagrams, which cannot.
    mutating func takeForStream(_ count: Int) -> SlotReference? {
        if count <= Slots.smallCapacity {
            if small.isEmpty || smallLeft <= slots.smallCount / 8 { refill(.smallStream) }
            return smallLeft > slots.smallCount / 8 ? popSmall() : nil
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
