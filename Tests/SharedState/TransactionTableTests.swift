import Platform
import SharedMemory
import SharedState
import Testing

struct TransactionTableTests {
    @Test func findsWhatWasInserted() throws {
        let table = try TestArena(workers: 1).state.shard(0).table
        let first = table.insert(kind: 1, key: 77)
        let second = table.insert(kind: 2, key: 77)
        #expect(first != 0 && second != 0 && first != second)
        #expect(table.find(kind: 1, key: 77) == first)
        #expect(table.find(kind: 2, key: 77) == second)
        #expect(table.find(kind: 3, key: 77) == 0)
        #expect(table.find(kind: 1, key: 78) == 0)
        #expect(table.isCurrent(first, kind: 1, generation: table.header(first).generation))
        #expect(!table.isCurrent(first, kind: 2, generation: table.header(first).generation))
        #expect(!table.isCurrent(0, kind: 1, generation: 0))
        #expect(!table.isCurrent(.max, kind: 1, generation: 0))
        table.remove(first)
        #expect(table.find(kind: 1, key: 77) == 0)
        #expect(table.find(kind: 2, key: 77) == second)
    }

    @Test func givesAReusedRecordANewGenerationAndNoOldBytes() throws {
        let shard = try TestArena(workers: 1).state.shard(0)
        let cell = shard.table.insert(kind: 1, key: 5)
        let generation = shard.table.header(cell).generation
        for word in stride(from: RecordHeader.bytes, to: TransactionTable.recordBytes, by: 8) {
            shard.undo.write(UInt64.max, at: shard.table.offset(cell) + word)
        }
        shard.table.remove(cell)
        #expect(!shard.table.isCurrent(cell, kind: 1, generation: generation))
        shard.recycle()
        #expect(shard.table.insert(kind: 1, key: 6) == cell)
        #expect(shard.table.header(cell).generation == generation + 1)
        #expect(!shard.table.isCurrent(cell, kind: 1, generation: generation))
        for word in stride(from: RecordHeader.bytes, to: TransactionTable.recordBytes, by: 8) {
            #expect(shard.undo.memory.load(shard.table.offset(cell) + word, as: UInt64.self) == 0)
        }
        // Generations have 24 bits, as references have.
        shard.undo.write32(0xFF_FFFF, at: shard.table.offset(cell))
        shard.table.remove(cell)
        shard.recycle()
        _ = shard.table.insert(kind: 1, key: 6)
        #expect(shard.table.header(cell).generation == 0)
    }

    /// What is cleared begins where the header ends: a record's first fields would keep the last one's else.
    @Test func clearsAllBehindTheHeader() { #expect(MemoryLayout<RecordHeader>.size == RecordHeader.bytes) }

    @Test func answersZeroWhenFull() throws {
        let arena = try TestArena(workers: 1, transactions: 1)
        let shard = arena.state.shard(0)
        for index in 0..<Int(arena.state.sizes.records) {
            #expect(shard.table.insert(kind: 1, key: UInt64(index)) != 0)
            if shard.undo.isFilling { shard.undo.forget() }
        }
        #expect(shard.table.insert(kind: 1, key: 1) == 0)
        #expect(shard.table.pool.inUse == Int(arena.state.sizes.records))
        #expect(shard.table.pool.isConsistent)
    }

    /// Few keys in fewer buckets: long chains, in turns of which some are taken back.
    @Test func agreesWithTheModel() throws {
        let shard = try TestArena(workers: 1, transactions: 100).state.shard(0)
        let table = shard.table
        var random = SystemRandomNumberGenerator()
        var model: [UInt32: (kind: UInt8, key: UInt64)] = [:]
        for _ in 0..<500 {
            let before = model
            shard.recycle()
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                // Keys that share a bucket (1024 of them) and keys that do not.
                let key =
                    UInt64.random(in: 0...3, using: &random) * 1024 + UInt64.random(in: 0...1, using: &random)
                let kind = UInt8.random(in: 1...2, using: &random)
                if Bool.random(using: &random) {
                    let cell = table.insert(kind: kind, key: key)
                    #expect(model[cell] == nil)
                    model[cell] = (kind, key)
                } else if let cell = model.keys.randomElement(using: &random) {
                    table.remove(cell)
                    model[cell] = nil
                }
                let found = table.find(kind: kind, key: key)
                let expected = model.filter { $0.value == (kind, key) }
                #expect(expected.isEmpty ? found == 0 : expected[found] != nil)
            }
            if Int.random(in: 0...2, using: &random) == 0 {
                shard.undo.undo()
                model = before
            } else {
                shard.undo.forget()
            }
            #expect(table.pool.inUse == model.count)
            #expect(table.pool.isConsistent)
            for (cell, entry) in model {
                #expect(table.header(cell).key == entry.key && table.header(cell).kind == entry.kind)
            }
        }
    }

    /// As many buckets as records, and every record is found at every stage; a turn that is taken back takes its
    /// buckets along.
    @Test func growsWithItsRecords() throws {
        let shard = try TestArena(workers: 1).state.shard(0)
        let table = shard.table
        var random = SystemRandomNumberGenerator()
        var keys: [UInt32: UInt64] = [:]
        #expect(table.bucketCount == 1024)
        for turn in 0..<60 {
            let before = (keys: keys, buckets: table.bucketCount)
            shard.recycle()
            for _ in 0..<100 {
                let key = random.next()
                keys[table.insert(kind: 1, key: key)] = key
            }
            #expect(table.bucketCount == max(1024, keys.count))
            if turn % 3 == 2 {
                shard.undo.undo()
                keys = before.keys
                #expect(table.bucketCount == before.buckets)
            } else {
                shard.undo.forget()
            }
            #expect(keys.allSatisfy { table.find(kind: 1, key: $0.value) == $0.key })
        }
        #expect(keys.count == 4000)
        for cell in keys.keys.prefix(3000) {
            table.remove(cell)
            keys[cell] = nil
        }
        #expect(keys.allSatisfy { table.find(kind: 1, key: $0.value) == $0.key })
        #expect(table.bucketCount == 4000)
    }

    @Test func refusesToRemoveWhatTheWheelHolds() async {
        await #expect(processExitsWith: .failure) {
            let shard = try TestArena(workers: 1).state.shard(0)
            let cell = shard.table.insert(kind: 1, key: 1)
            shard.wheel.schedule(cell, due: 1000)
            shard.table.remove(cell)
        }
        await #expect(processExitsWith: .failure) {
            let shard = try TestArena(workers: 1).state.shard(0)
            let cell = shard.table.insert(kind: 1, key: 1)
            shard.table.remove(cell)
            shard.table.remove(cell)
        }
    }
}
