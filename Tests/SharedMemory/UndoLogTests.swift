import Platform
import SharedMemory
import Testing

/// A fresh arena with an undo log at 4096 and free bytes from 8192 on.
struct LoggedMemory {
    let memory: Memory
    let log: UndoLog
    static let logOffset = 4096
    static let dataOffset = 1 << 16
    static let capacity = 1024

    init(size: Int = 1 << 20) throws {
        memory = try Arena(name: "test", size: size).memory
        log = UndoLog(memory: memory, at: LoggedMemory.logOffset, capacity: LoggedMemory.capacity)
    }

    /// The bytes behind the log.
    func data() -> [UInt8] {
        let bytes = memory.bytes(LoggedMemory.dataOffset, count: memory.size - LoggedMemory.dataOffset)
        return unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) }
    }
}

struct UndoLogTests {
    struct Pair: BitwiseCopyable, Equatable {
        var first: UInt64
        var second: UInt64
    }

    @Test func restoresWhatWasWritten() throws {
        let place = try LoggedMemory()
        let at = LoggedMemory.dataOffset
        place.memory.store(Pair(first: 1, second: 2), at: at)
        let before = place.data()
        place.log.write(Pair(first: 1, second: 3), at: at)
        // The first word did not change: one entry.
        #expect(place.log.count == 1)
        place.log.write(7 as UInt64, at: at)
        place.log.write(8 as UInt64, at: at)
        place.log.write32(9, at: at + 20)
        #expect(place.memory.load(at + 16, as: UInt32.self) == 0)
        #expect(place.memory.load(at + 20, as: UInt32.self) == 9)
        place.log.write32(10, at: at + 16)
        #expect(place.memory.load(at + 20, as: UInt32.self) == 9)
        #expect(place.log.count == 5)
        place.log.undo()
        #expect(place.log.count == 0)
        #expect(place.data() == before)
    }

    @Test func keepsWhatWasForgotten() throws {
        let place = try LoggedMemory()
        place.log.write(7 as UInt64, at: LoggedMemory.dataOffset)
        place.log.forget()
        place.log.undo()
        #expect(place.memory.load(LoggedMemory.dataOffset, as: UInt64.self) == 7)
    }

    @Test func tellsWhenItFills() throws {
        let place = try LoggedMemory()
        for index in 0..<LoggedMemory.capacity {
            #expect(place.log.isFilling == (index > LoggedMemory.capacity / 2))
            place.log.write(UInt64(index + 1), at: LoggedMemory.dataOffset)
        }
        place.log.undo()
        #expect(place.memory.load(LoggedMemory.dataOffset, as: UInt64.self) == 0)
    }

    /// A process dies after `count` was raised and before the word was stored, or in the middle of an undo:
    /// the next undo leaves the same bytes.
    @Test func undoesAgainAfterDyingInBetween() throws {
        let place = try LoggedMemory()
        let at = LoggedMemory.dataOffset
        place.memory.store(5 as UInt64, at: at)
        let before = place.data()
        place.log.write(6 as UInt64, at: at)
        place.log.write(7 as UInt64, at: at + 8)
        // The second store did not happen.
        place.memory.store(0 as UInt64, at: at + 8)
        // The first half of an undo did.
        place.memory.store(5 as UInt64, at: at)
        place.log.undo()
        #expect(place.data() == before)
        // Entry written, count not yet raised: there is nothing to restore.
        let entry = LoggedMemory.logOffset + 64
        place.memory.store(UInt64(at), at: entry)
        place.memory.store(99 as UInt64, at: entry + 8)
        place.log.undo()
        #expect(place.data() == before)
    }

    @Test func restoresAfterRandomWrites() throws {
        let place = try LoggedMemory()
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let before = place.data()
            var expected = before
            for _ in 0..<Int.random(in: 1...300, using: &random) {
                if Bool.random(using: &random) {
                    let at = Int.random(in: 0..<64, using: &random) * 8
                    let value = UInt64.random(in: 0...3, using: &random)
                    place.log.write(value, at: LoggedMemory.dataOffset + at)
                    for byte in 0..<8 {
                        expected[at + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8))
                    }
                } else {
                    let at = Int.random(in: 0..<128, using: &random) * 4
                    let value = UInt32.random(in: 0...3, using: &random)
                    place.log.write32(value, at: LoggedMemory.dataOffset + at)
                    for byte in 0..<4 {
                        expected[at + byte] = UInt8(truncatingIfNeeded: value >> UInt32(byte * 8))
                    }
                }
            }
            #expect(place.data() == expected)
            if Bool.random(using: &random) {
                place.log.forget()
            } else {
                place.log.undo()
                #expect(place.data() == before)
            }
        }
    }
}
