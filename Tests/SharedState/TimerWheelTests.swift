import Platform
import SharedMemory
import SharedState
import Testing

/// The wheel beside a naive model: a dictionary of deadlines.
struct WheelModel {
    let shard: Shard
    let wheel: TimerWheel
    var now: UInt64
    /// Deadlines as scheduled.
    var due: [UInt32: UInt64] = [:]
    /// When the record is looked at at the latest: rounded up to a tick of 8 ms, the next one for what is
    /// past.
    var latest: [UInt32: UInt64] = [:]
    var cells: [UInt32] = []

    init(records: Int, now: UInt64) throws {
        shard = try TestArena(workers: 1, transactions: records).state.shard(0)
        wheel = shard.wheel
        self.now = now
        shard.initialize(now: now)
        for index in 0..<records {
            let cell = shard.table.insert(kind: 1, key: UInt64(index))
            cells.append(cell)
            if shard.undo.isFilling { shard.undo.forget() }
        }
        shard.undo.forget()
    }

    mutating func schedule(_ cell: UInt32, at time: UInt64) {
        wheel.schedule(cell, due: time)
        due[cell] = min(due[cell] ?? .max, time)
        latest[cell] = min(latest[cell] ?? .max, max((time + 7) & ~7, (now & ~7) + 8))
    }

    mutating func cancel(_ cell: UInt32) {
        wheel.cancel(cell)
        due[cell] = nil
        latest[cell] = nil
    }

    /// Advances the clock and takes out all that is due: compares with the model. Nothing fires early, all
    /// that is due fires now; the wheel asks for its attention no later than the earliest deadline.
    mutating func advance(to time: UInt64) {
        check()
        now = time
        var fired: Set<UInt32> = []
        while true {
            let cell = wheel.expire(now: now)
            if cell == 0 {
                // The undo log is full to half: the turn ends, and the next goes on.
                if !shard.undo.isFilling { break }
                shard.undo.forget()
                continue
            }
            #expect(fired.insert(cell).inserted)
            if shard.undo.isFilling { shard.undo.forget() }
            guard let deadline = due[cell] else {
                Issue.record("record \(cell) fired without a deadline")
                continue
            }
            #expect(deadline <= now, "fired \(deadline - now) ms early")
            due[cell] = nil
            latest[cell] = nil
        }
        for (cell, deadline) in latest where deadline <= now {
            Issue.record("record \(cell), due at \(deadline), was left at \(now)")
        }
        shard.undo.forget()
        check()
    }

    func check() {
        let wait = wheel.wait(now: now)
        if let earliest = latest.values.min() {
            #expect(wait >= 0)
            #expect(now + UInt64(max(wait, 0)) <= earliest, "waits \(wait) ms for \(earliest) at \(now)")
            #expect(!wheel.isEmpty)
        } else {
            #expect(wait == -1)
            #expect(wheel.isEmpty)
        }
    }
}

struct TimerWheelTests {
    /// RFC 3261's own values and the edges of every level of the wheel.
    @Test(
        arguments: [
            1, 7, 8, 9, 500, 504, 511, 512, 513, 4000, 5000, 32_000, 32_767, 32_768, 32_769, 185_000,
            2_097_151,
            2_097_152, 2_097_153, 3_600_000, 86_400_000,
        ] as [UInt64])
    func firesOnTime(_ delay: UInt64) throws {
        for start in [0, 7, 8, 500, 511, 32_760, 1_000_003, 134_217_720] as [UInt64] {
            var model = try WheelModel(records: 1, now: start)
            model.schedule(1, at: start + delay)
            let due = start + delay
            if due > start + 8 { model.advance(to: due - 1) }
            #expect(model.due[1] == due || delay <= 8)
            model.advance(to: due + 8)
            #expect(model.due.isEmpty)
        }
    }

    /// Waking up only when the wheel asks for it, as the loop does. (Beyond 36 hours the wheel looks early.)
    @Test func firesOnTimeWhenWokenByItself() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<40 {
            var model = try WheelModel(records: 30, now: UInt64.random(in: 0...1 << 28, using: &random))
            for cell in model.cells {
                model.schedule(
                    cell,
                    at: model.now
                        + UInt64.random(
                            in: 1...1 << UInt64.random(in: 1...26, using: &random), using: &random))
            }
            var wakes = 0
            while !model.due.isEmpty && wakes < 20_000 {
                let wait = model.wheel.wait(now: model.now)
                #expect(wait >= 0)
                model.advance(to: model.now + UInt64(wait))
                wakes += 1
            }
            #expect(model.due.isEmpty)
            #expect(model.wheel.wait(now: model.now) == -1)
        }
    }

    @Test(arguments: [20 as UInt64, 600, 5000, 40_000, 3_000_000, 100_000_000])
    func agreesWithTheModel(_ span: UInt64) throws {
        var random = SystemRandomNumberGenerator()
        var model = try WheelModel(records: 60, now: UInt64.random(in: 0...1 << 30, using: &random))
        for _ in 0..<4000 {
            let cell = model.cells.randomElement(using: &random)!
            switch Int.random(in: 0...9, using: &random) {
            case 0...4: model.schedule(cell, at: model.now + UInt64.random(in: 1...span, using: &random))
            case 5: model.cancel(cell)
            case 6: model.advance(to: model.now + UInt64.random(in: 0...span, using: &random))
            case 7: model.advance(to: model.now + UInt64.random(in: 0...8, using: &random))
            case 8:
                model.schedule(
                    cell, at: model.now &- min(model.now - 1, UInt64.random(in: 0...100, using: &random)))
            default: model.advance(to: model.now + UInt64.random(in: 0...span / 8, using: &random))
            }
        }
        model.advance(to: model.now + 2 * span + 16)
        #expect(model.due.isEmpty)
    }

    /// Nothing happens for a week; then a call comes. The undo log holds 131,072 words.
    @Test func idlesForAWeek() throws {
        var model = try WheelModel(records: 2, now: 1000)
        model.advance(to: 1000 + 7 * 86_400_000)
        model.schedule(1, at: model.now + 500)
        model.advance(to: model.now + 512)
        #expect(model.due.isEmpty)
        // The same with one far timer in the wheel, and the loop asleep for longer than it asked for.
        model.schedule(2, at: model.now + 30 * 3_600_000)
        model.advance(to: model.now + 29 * 3_600_000)
        #expect(model.due.count == 1)
        model.advance(to: model.now + 2 * 3_600_000)
        #expect(model.due.isEmpty)
    }

    /// More timers in one far slot than the undo log has room for when they are spread at once.
    @Test func spreadsACrowdedSlotOverTurns() throws {
        var model = try WheelModel(records: 40_000, now: 8)
        for (index, cell) in model.cells.enumerated() {
            model.schedule(cell, at: 185_000 + UInt64(index % 100))
            if model.shard.undo.isFilling { model.shard.undo.forget() }
        }
        model.shard.undo.forget()
        model.advance(to: 184_000)
        #expect(model.due.count == 40_000)
        model.advance(to: 185_200)
        #expect(model.due.isEmpty)
    }

    @Test func movesAnEarlierDeadlineOnly() throws {
        var model = try WheelModel(records: 1, now: 0)
        model.schedule(1, at: 1000)
        model.wheel.schedule(1, due: 2000)
        model.wheel.schedule(1, due: 0)
        #expect(model.shard.table.header(1).timerTick == 125)
        model.schedule(1, at: 800)
        #expect(model.shard.table.header(1).timerTick == 100)
        model.advance(to: 800)
        #expect(model.due.isEmpty)
        model.wheel.cancel(1)
        #expect(model.wheel.isEmpty)
    }

    /// A turn that was taken back leaves wheel and records as they were.
    @Test func isRestoredByUndo() throws {
        let arena = try TestArena(workers: 1, transactions: 100)
        let shard = arena.state.shard(0)
        var random = SystemRandomNumberGenerator()
        for index in 0..<100 { _ = shard.table.insert(kind: 1, key: UInt64(index)) }
        shard.undo.forget()
        var now: UInt64 = 0
        let begin = shard.table.offset(1)
        let header = begin - TransactionTable.bucketCount(records: Int(arena.state.sizes.records)) * 4 - 8192
        for round in 0..<200 {
            let records = arena.bytes(begin, 100 * TransactionTable.recordBytes)
            let page = arena.bytes(header, 8192)
            for _ in 0..<50 {
                let cell = UInt32.random(in: 1...100, using: &random)
                switch Int.random(in: 0...3, using: &random) {
                case 0, 1:
                    shard.wheel.schedule(cell, due: now + UInt64.random(in: 1...100_000, using: &random))
                case 2: shard.wheel.cancel(cell)
                default:
                    now += UInt64.random(in: 0...2000, using: &random)
                    while shard.wheel.expire(now: now) != 0 {}
                }
            }
            if round % 2 == 0 {
                shard.undo.undo()
                #expect(arena.bytes(begin, 100 * TransactionTable.recordBytes) == records)
                #expect(arena.bytes(header, 8192) == page)
            } else {
                shard.undo.forget()
            }
        }
    }
}
