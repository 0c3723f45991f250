import SharedMemory

/// Timers of a shard: four wheels of 64 slots, 8 ms, 512 ms, 33 s and 35 min a slot; lists of records (P14: a record
/// in a list is in use, expiry moves it out).
///
///     tick:            | level 3 | level 2 | level 1 | level 0 |   6 bits each
///     a record due at tick t, seen at tick n, lies in the lowest level whose higher bits of t and n agree;
///     when a level-0 round ends, the next slot of the level above is spread over the levels below
///
/// A record lies in one slot. Moving its deadline later costs nothing: it is found at the old one, looked at, and
/// put back. Everything goes through the undo log.
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
            log.write32(header.timerNext, at: table.offset(header.timerPrevious) + RecordHeader.timerNextOffset)
        }
        if header.timerNext != 0 {
            let next = table.offset(header.timerNext) + RecordHeader.timerPreviousOffset
            log.write32(header.timerPrevious, at: next)
        }
        header.timerSlot = 0
        header.timerNext = 0
        header.timerPrevious = 0
    }

    /// Makes sure that the record is looked at no later than `due` (milliseconds; 0: no deadline, nothing happens).
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

    /// Takes out and returns one record that is due at `now` (milliseconds), 0 where none is: call until 0. The
    /// caller handles it and schedules it again by its next deadline.
    package func expire(now: UInt64) -> UInt32 {
        let target = now >> TimerWheel.tickShift
        var current = tick
        while true {
            let slot = Int(current & 63)
            let first: UInt32 = log.memory.load(head(slot))
            if first != 0 {
                var header = table.header(first)
                unlink(first, &header)
                log.write(header, at: table.offset(first))
                return first
            }
            if current >= target { return 0 }
            // Nothing before the end of the round: go there at once.
            let ahead = (log.memory.load(occupancy(0), as: UInt64.self) >> (current & 63)) >> 1
            let roundEnd = (current | 63) &+ 1
            let next = ahead == 0 ? roundEnd : current &+ 1 &+ UInt64(ahead.trailingZeroBitCount)
            if next > target {
                log.write(target, at: base)
                // The slots up to the target are empty, and the target is within this round.
                return 0
            }
            log.write(next, at: base)
            if next & 63 == 0 { cascade(next) }
            current = next
        }
    }

    /// Spreads the slot of each level whose round begins at `now` over the levels below.
    private func cascade(_ now: UInt64) {
        var level = 1
        while level < TimerWheel.levels {
            let index = Int(now >> UInt64(6 * level) & 63)
            let slot = level * 64 + index
            var cell: UInt32 = log.memory.load(head(slot))
            while cell != 0 {
                var header = table.header(cell)
                let next = header.timerNext
                let due = header.timerTick
                unlink(cell, &header)
                if due <= now {
                    linkDue(cell, &header, now)
                } else {
                    link(cell, &header, due: due)
                }
                log.write(header, at: table.offset(cell))
                cell = next
            }
            if index != 0 { return }
            level += 1
        }
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
        let current = tick
        var nearest: UInt64 = .max
        for level in 0..<TimerWheel.levels {
            let bits: UInt64 = log.memory.load(occupancy(level))
            if bits == 0 { continue }
            let shift = UInt64(6 * level)
            let position = current >> shift & 63
            // Slots ahead in this round, else those of the next round.
            let ahead = position == 63 ? 0 : bits >> (position &+ 1)
            let distance =
                ahead != 0
                ? UInt64(ahead.trailingZeroBitCount) &+ 1 : 64 &- position &+ UInt64(bits.trailingZeroBitCount)
            let at = ((current >> shift) &+ distance) << shift
            nearest = min(nearest, at)
        }
        if log.memory.load(head(Int(current & 63)), as: UInt32.self) != 0 { return 0 }
        if nearest == .max { return -1 }
        let due = nearest << TimerWheel.tickShift
        return due <= now ? 0 : Int32(min(due - now, 3_600_000))
    }

    package var isEmpty: Bool {
        for level in 0..<TimerWheel.levels where log.memory.load(occupancy(level), as: UInt64.self) != 0 { return false }
        return true
    }
}
