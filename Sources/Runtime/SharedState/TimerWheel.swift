import SharedMemory

/// Timers of a shard: four wheels of 64 slots, 8 ms, 512 ms, 33 s and 35 min a slot; lists of records (P14: a
/// record in a list is in use, expiry moves it out).
///
///     tick:            | level 3 | level 2 | level 1 | level 0 |   6 bits each
///     a record due at tick t, seen at tick n, lies in the lowest level whose higher bits of t and n agree;
///     when a level-0 round ends, the next slot of the level above is spread over the levels below
///
/// A record lies in one slot. Moving its deadline later costs nothing: it is found at the old one, looked at,
/// and put back. Everything goes through the undo log.
package struct TimerWheel: BitwiseCopyable {
    package static let tickShift: UInt64 = 3
    private static let levels = 4
    /// tick, occupancy per level, slot heads.
    package static let bytes = 8 + levels * 8 + levels * 64 * 4

    private let table: TransactionTable
    private let base: Int
    private var log: UndoLog { table.log }

    package init(table: TransactionTable, at base: Int) {
        self.table = table
        self.base = base
    }

    /// The tick that was last expired.
    private var tick: UInt64 { log.memory.load(base) }
    private func occupancy(_ level: Int) -> Int { base + 8 + level * 8 }
    private func head(_ slot: Int) -> Int { base + 8 + TimerWheel.levels * 8 + slot * 4 }

    /// Starts an empty wheel at `now` (milliseconds).
    package func initialize(now: UInt64) { log.memory.store(now >> TimerWheel.tickShift, at: base) }

    private func slot(for due: UInt64, at now: UInt64) -> Int {
        let differing = due ^ now
        var level = 0
        while level < TimerWheel.levels - 1 && differing >> UInt64(6 * (level + 1)) != 0 { level += 1 }
        return level * 64 + Int(due >> UInt64(6 * level) & 63)
    }

    private func link(_ cell: UInt32, _ header: inout RecordHeader, due: UInt64) {
        let now = tick
        // Never into the slot that is being expired, nor farther than the wheel turns once.
        let limit = now &+ (1 << 24) &- (1 << 18)
        let clamped = min(max(due, now &+ 1), limit)
        let slot = slot(for: clamped, at: now)
        let first: UInt32 = log.memory.load(head(slot))
        header.timerSlot = UInt16(slot + 1)
        header.timerTick = clamped
        header.timerNext = first
        header.timerPrevious = 0
        if first != 0 { log.write32(cell, at: table.offset(first) + RecordHeader.timerPreviousOffset) }
        log.write32(cell, at: head(slot))
        let bits: UInt64 = log.memory.load(occupancy(slot >> 6))
        log.write(bits | 1 << UInt64(slot & 63), at: occupancy(slot >> 6))
    }

    private func unlink(_ cell: UInt32, _ header: inout RecordHeader) {
        let slot = Int(header.timerSlot) - 1
        if header.timerPrevious == 0 {
            log.write32(header.timerNext, at: head(slot))
            if header.timerNext == 0 {
                let bits: UInt64 = log.memory.load(occupancy(slot >> 6))
                log.write(bits & ~(1 << UInt64(slot & 63)), at: occupancy(slot >> 6))
            }
        } else {
            log.write32(
                header.timerNext, at: table.offset(header.timerPrevious) + RecordHeader.timerNextOffset)
        }
        if header.timerNext != 0 {
            let next = table.offset(header.timerNext) + RecordHeader.timerPreviousOffset
            log.write32(header.timerPrevious, at: next)
        }
        header.timerSlot = 0
        header.timerNext = 0
        header.timerPrevious = 0
    }

    /// Makes sure that the record is looked at no later than `due` (milliseconds; 0: no deadline, nothing
    /// happens).
    package func schedule(_ cell: UInt32, due: UInt64) {
        if due == 0 { return }
        // Rounded up: a timer fires late by up to a tick, never early.
        let tick = (due &+ (1 << TimerWheel.tickShift) &- 1) >> TimerWheel.tickShift
        var header = table.header(cell)
        if header.timerSlot != 0 {
            if header.timerTick <= tick { return }
            unlink(cell, &header)
        }
        link(cell, &header, due: tick)
        log.write(header, at: table.offset(cell))
    }

    /// Takes the record out.
    package func cancel(_ cell: UInt32) {
        var header = table.header(cell)
        if header.timerSlot == 0 { return }
        unlink(cell, &header)
        log.write(header, at: table.offset(cell))
    }

    /// Takes out and returns one record that is due at `now` (milliseconds), 0 where none is: call until 0.
    /// The caller handles it and schedules it again by its next deadline.
    ///
    /// Also 0 where the undo log is filling: commit, and call again (`wait` says at once).
    package func expire(now: UInt64) -> UInt32 {
        let target = now >> TimerWheel.tickShift
        while true {
            let current = tick
            if !cascade(current) { return 0 }
            let slot = Int(current & 63)
            let first: UInt32 = log.memory.load(head(slot))
            if first != 0 {
                var header = table.header(first)
                unlink(first, &header)
                log.write(header, at: table.offset(first))
                return first
            }
            if current >= target { return 0 }
            // Straight to the next slot with anything in it, however far: a step per round would fill the
            // undo log after some hours of silence.
            guard let next = nextOccupied(after: current), next <= target else {
                log.write(target, at: base)
                return 0
            }
            log.write(next, at: base)
        }
    }

    /// The tick at which the next slot with a record in it begins; nil where all are empty. A slot of a level
    /// begins after all that lies ahead on the level below, so the first level with any has the nearest.
    private func nextOccupied(after current: UInt64) -> UInt64? {
        for level in 0..<TimerWheel.levels {
            let bits: UInt64 = log.memory.load(occupancy(level))
            if bits == 0 { continue }
            let shift = UInt64(6 * level)
            let position = current >> shift & 63
            let ahead = (bits >> position) >> 1
            if ahead != 0 { return ((current >> shift) &+ 1 &+ UInt64(ahead.trailingZeroBitCount)) << shift }
            // Only the highest level has slots of its next round.
            if level == TimerWheel.levels - 1 {
                return ((current >> shift) &+ 64 &- position &+ UInt64(bits.trailingZeroBitCount)) << shift
            }
        }
        return nil
    }

    /// The slot of a higher level that `now` lies in; empty but while it is being spread, since what is due
    /// within it goes to a level below.
    private func current(_ level: Int, _ now: UInt64) -> Int {
        level * 64 + Int(now >> UInt64(6 * level) & 63)
    }

    /// Spreads the slots whose round has begun at `now` over the levels below; false where the undo log
    /// filled before all was done, and the next turn is to go on.
    private func cascade(_ now: UInt64) -> Bool {
        for level in 1..<TimerWheel.levels {
            let slot = current(level, now)
            while true {
                let cell: UInt32 = log.memory.load(head(slot))
                if cell == 0 { break }
                if log.isFilling { return false }
                var header = table.header(cell)
                let due = header.timerTick
                unlink(cell, &header)
                if due <= now {
                    linkDue(cell, &header, now)
                } else {
                    link(cell, &header, due: due)
                }
                log.write(header, at: table.offset(cell))
            }
        }
        return true
    }

    /// Links a record that is due in the very tick whose slot is expired next.
    private func linkDue(_ cell: UInt32, _ header: inout RecordHeader, _ now: UInt64) {
        let slot = Int(now & 63)
        let first: UInt32 = log.memory.load(head(slot))
        header.timerSlot = UInt16(slot + 1)
        header.timerNext = first
        header.timerPrevious = 0
        if first != 0 { log.write32(cell, at: table.offset(first) + RecordHeader.timerPreviousOffset) }
        log.write32(cell, at: head(slot))
        let bits: UInt64 = log.memory.load(occupancy(0))
        log.write(bits | 1 << UInt64(slot), at: occupancy(0))
    }

    /// Milliseconds until the wheel wants to be looked at again; -1 where it is empty.
    package func wait(now: UInt64) -> Int32 {
        let tick = tick
        for level in 0..<TimerWheel.levels
        where log.memory.load(head(current(level, tick)), as: UInt32.self) != 0 {
            return 0
        }
        guard let next = nextOccupied(after: tick) else { return -1 }
        let due = next << TimerWheel.tickShift
        return due <= now ? 0 : Int32(min(due - now, 3_600_000))
    }

    package var isEmpty: Bool {
        for level in 0..<TimerWheel.levels where log.memory.load(occupancy(level), as: UInt64.self) != 0 {
            return false
        }
        return true
    }
}
