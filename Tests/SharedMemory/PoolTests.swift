import Platform
import SharedMemory
import Testing

struct PoolTests {
    static let cellBytes = 64

    static func pool(in place: LoggedMemory, capacity: Int) -> Pool {
        Pool(
            log: place.log, header: LoggedMemory.dataOffset, cells: LoggedMemory.dataOffset + 4096,
            cellBytes: cellBytes, capacity: capacity, link: 8)
    }

    @Test func handsOutTheLowestCellsFirst() throws {
        let pool = PoolTests.pool(in: try LoggedMemory(), capacity: 3)
        #expect([pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()] == [1, 2, 3, 0])
        #expect(pool.inUse == 3)
    }

    @Test func keepsFreedCellsUntilTheNextTurn() throws {
        let pool = PoolTests.pool(in: try LoggedMemory(), capacity: 2)
        let first = pool.allocate()
        _ = pool.allocate()
        pool.free(first)
        #expect(pool.inUse == 1)
        #expect(pool.allocate() == 0)
        pool.recycle()
        #expect(pool.allocate() == first)
    }

    /// One free cell is not four because others were freed in this very turn.
    @Test func handsOutNothingThatThisTurnFreed() throws {
        let pool = PoolTests.pool(in: try LoggedMemory(), capacity: 4)
        let cells = (0..<4).map { _ in pool.allocate() }
        pool.free(cells[0])
        pool.recycle()
        for cell in cells[1...] { pool.free(cell) }
        #expect(pool.allocate() == cells[0])
        #expect(pool.allocate() == 0)
    }

    /// Turns of random operations, some taken back after any number of steps: bytes as before, no cell twice.
    @Test(arguments: [1, 7, 40])
    func survivesAbandonedTurns(_ capacity: Int) throws {
        let place = try LoggedMemory(size: 1 << 17)
        let pool = PoolTests.pool(in: place, capacity: capacity)
        var random = SystemRandomNumberGenerator()
        var held: [UInt32] = []
        for turn in 0..<600 {
            let before = place.data()
            let heldBefore = held
            pool.recycle()
            var freed: Set<UInt32> = []
            for _ in 0..<Int.random(in: 0...30, using: &random) {
                if Int.random(in: 0...99, using: &random) < (turn / 100 % 2 == 0 ? 60 : 40) {
                    let cell = pool.allocate()
                    #expect((cell != 0) == (held.count + freed.count < capacity))
                    if cell == 0 { continue }
                    #expect(!held.contains(cell) && !freed.contains(cell) && Int(cell) <= capacity)
                    held.append(cell)
                } else if let index = held.indices.randomElement(using: &random) {
                    let cell = held.remove(at: index)
                    freed.insert(cell)
                    pool.free(cell)
                }
                #expect(pool.inUse == held.count)
            }
            #expect(pool.isConsistent)
            if Int.random(in: 0...2, using: &random) == 0 {
                place.log.undo()
                held = heldBefore
                #expect(place.data() == before)
            } else {
                place.log.forget()
            }
            #expect(pool.isConsistent)
            #expect(pool.inUse == held.count)
        }
    }

    /// A turn cut off after every single store of it.
    @Test func isRestoredFromEveryStepOfATurn() throws {
        let place = try LoggedMemory(size: 1 << 17)
        let pool = PoolTests.pool(in: place, capacity: 8)
        let old = (0..<4).map { _ in pool.allocate() }
        pool.free(old[1])
        pool.free(old[3])
        place.log.forget()
        let before = place.data()
        let steps: [() -> Void] = [
            { pool.recycle() }, { _ = pool.allocate() }, { pool.free(old[0]) }, { _ = pool.allocate() },
            { _ = pool.allocate() }, { pool.free(old[2]) }, { _ = pool.allocate() },
        ]
        for last in steps.indices {
            for step in steps[...last] { step() }
            #expect(pool.isConsistent)
            // Died after the first n of the logged stores: the later ones never happened.
            let count = place.log.count
            for kept in 0...count {
                // Take back the newest (count - kept) stores by hand, as if they were not made.
                let after = place.data()
                for index in stride(from: count - 1, through: kept, by: -1) {
                    let entry = LoggedMemory.logOffset + 64 + index * 16
                    let offset = Int(place.memory.load(entry, as: UInt64.self))
                    place.memory.store(place.memory.load(entry + 8, as: UInt64.self), at: offset)
                }
                place.memory.store(UInt64(kept), at: LoggedMemory.logOffset)
                let log = (0..<count * 2).map { index in
                    place.memory.load(LoggedMemory.logOffset + 64 + index * 8, as: UInt64.self)
                }
                place.log.undo()
                #expect(place.data() == before)
                // Put the turn back for the next cut.
                for index in after.indices {
                    place.memory.store(after[index], at: LoggedMemory.dataOffset + index)
                }
                for (index, word) in log.enumerated() {
                    place.memory.store(word, at: LoggedMemory.logOffset + 64 + index * 8)
                }
                place.memory.store(UInt64(count), at: LoggedMemory.logOffset)
            }
            place.log.undo()
            #expect(place.data() == before)
        }
    }

    @Test func noticesALostCell() throws {
        let place = try LoggedMemory()
        let pool = PoolTests.pool(in: place, capacity: 4)
        _ = pool.allocate()
        pool.free(pool.allocate())
        #expect(pool.isConsistent)
        place.memory.store(0 as UInt64, at: LoggedMemory.dataOffset + 24)
        #expect(!pool.isConsistent)
    }
}
