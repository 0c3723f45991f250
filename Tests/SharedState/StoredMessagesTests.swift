import Platform
import SharedMemory
import SharedState
import Testing

struct StoredMessagesTests {
    @Test func keepsMessagesOfEveryLength() throws {
        let stored = try TestArena(workers: 1).state.shard(0).stored
        var kept: [(StoredReference, [UInt8])] = []
        for length in [
            0, 1, 239, 240, 241, 496, 497, 1008, 1500, 2545, 4081, 8177, 16369, 60000,
            StoredMessages.maximumLength,
        ] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) }
            let reference = try #require(stored.store(array: bytes))
            #expect(!reference.isNone && stored.isCurrent(reference))
            kept.append((reference, bytes))
        }
        #expect(stored.inUse == kept.count)
        // Each in the smallest cell that holds it and its head.
        let needed = kept.reduce(0) { sum, entry in
            let classes = StoredMessages.classes.indices.map { StoredMessages.classes[$0] }
            return sum + classes.first { $0 >= entry.1.count + 16 }!
        }
        #expect(stored.bytesInUse == needed)
        for (reference, bytes) in kept { #expect(stored.bytes(reference).array == bytes) }
        #expect(stored.reserve(StoredMessages.maximumLength + 1) == nil)
        for (reference, _) in kept {
            stored.free(reference)
            #expect(!stored.isCurrent(reference))
        }
        #expect(stored.inUse == 0 && stored.isConsistent)
        stored.free(.none)
        #expect(!stored.isCurrent(.none))
    }

    @Test func isFilledAndSealed() throws {
        let shard = try TestArena(workers: 1).state.shard(0)
        let room = try #require(shard.stored.reserve(700))
        #expect(room.capacity == 768 - 16)
        var writer = shard.undo.memory.writer(room.offset, capacity: room.capacity)
        writer.append("abc")
        let reference = shard.stored.seal(room, length: writer.count)
        #expect(shard.stored.bytes(reference).array == Array("abc".utf8))
        #expect(shard.stored.locate(reference) == (room.offset, 3))
    }

    @Test func survivesForeignReferences() throws {
        let stored = try TestArena(workers: 1).state.shard(0).stored
        var random = SystemRandomNumberGenerator()
        for _ in 0..<10_000 {
            let reference = StoredReference(rawValue: UInt64.random(in: 1...UInt64.max, using: &random))
            if stored.isCurrent(reference) { #expect(reference.generation == 0 && reference.sizeClass < 14) }
        }
    }

    @Test func answersNilWhenAClassIsFull() throws {
        let shard = try TestArena(workers: 1, transactions: 1).state.shard(0)
        let long = [UInt8](repeating: 1, count: 60_000)
        var count = 0
        while shard.stored.store(array: long) != nil { count += 1 }
        #expect(count == 1024 / 128 + 64)
        #expect(shard.stored.store(array: [1]) != nil)
    }

    @Test func agreesWithTheModel() throws {
        let shard = try TestArena(workers: 1, transactions: 100).state.shard(0)
        let stored = shard.stored
        var random = SystemRandomNumberGenerator()
        var model: [UInt64: [UInt8]] = [:]
        for _ in 0..<300 {
            let before = model
            shard.recycle()
            for _ in 0..<Int.random(in: 1...15, using: &random) {
                if Int.random(in: 0...9, using: &random) < 5 {
                    let length = Int.random(in: 0...3000, using: &random)
                    let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
                    let reference = try #require(stored.store(array: bytes))
                    #expect(model[reference.rawValue] == nil)
                    model[reference.rawValue] = bytes
                } else if let raw = model.keys.randomElement(using: &random) {
                    stored.free(StoredReference(rawValue: raw))
                    model[raw] = nil
                }
            }
            if Int.random(in: 0...2, using: &random) == 0 {
                shard.undo.undo()
                model = before
            } else {
                shard.undo.forget()
            }
            #expect(stored.inUse == model.count && stored.isConsistent)
            for (raw, bytes) in model {
                let reference = StoredReference(rawValue: raw)
                #expect(stored.isCurrent(reference))
                #expect(stored.bytes(reference).array == bytes)
            }
        }
    }

    @Test func trapsWhenFreedTwice() async {
        await #expect(processExitsWith: .failure) {
            let stored = try TestArena(workers: 1).state.shard(0).stored
            let reference = stored.store(array: [1, 2])!
            stored.free(reference)
            stored.free(reference)
        }
    }
}
