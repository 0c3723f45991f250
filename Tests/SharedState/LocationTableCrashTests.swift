import Platform
import SharedMemory
import Testing

@testable import SharedState

/// What a locator that dies in the middle leaves behind.
@Suite struct LocationTableCrashTests {
    /// A turn of several changes is abandoned after each of its writes in turn; the successor finds the table
    /// of before, and repeating the turn gives the table of after.
    @Test func abandonedTurnIsTakenBack() throws {
        // Fixed keys and names of one bucket, so that the changes meet in one chain.
        func fixture() throws -> Fixture {
            let fixture = try Fixture()
            fixture.arena.memory.store(UInt64(1), at: fixture.table.cell(.key0))
            fixture.arena.memory.store(UInt64(2), at: fixture.table.cell(.key1))
            return fixture
        }
        let names = colliding(try fixture().table, count: 6)
        func changes(_ writer: LocationWriter) {
            var writer = writer
            writer.reclaim()
            put(writer, names[0], [Contact(uri: "sip:new"), Contact(uri: "sip:more")])
            put(writer, names[1], [Contact(uri: "sip:beside")])
            remove(writer, names[2])
            put(writer, names[3], [Contact(uri: "sip:d")])
            if let draft = draft(writer, names[4], [Contact(uri: "sip:e")]) {
                _ = draft.seal()
                writer.discard(draft)
            }
            put(writer, names[5], [Contact(uri: "sip:f")])
            remove(writer, names[3])
        }
        func prepared() throws -> Fixture {
            let fixture = try fixture()
            var writer = fixture.writer()
            for name in names[0..<5] { put(writer, name, [Contact(uri: "sip:\(name)")]) }
            remove(writer, names[4])
            writer.reclaim()
            put(writer, names[2], [Contact(uri: "sip:again")])
            fixture.undo.forget()
            return fixture
        }
        let whole = try prepared()
        let before = everything(whole.table)
        let counts = (whole.table.bindingCount, whole.table.recordCount)
        changes(whole.writer())
        let writes = whole.undo.count
        let after = everything(whole.table)
        #expect(writes > 15 && before != after)

        for written in 0...writes {
            let fixture = try prepared()
            changes(fixture.writer())
            // Back to the moment after that many writes: the later ones are taken back as if never done.
            rewind(fixture.undo, fixture.arena.memory, at: fixture.turnAt, to: written)
            var turn = Turn(memory: fixture.arena.memory, at: fixture.turnAt)
            _ = turn.recover()
            #expect(everything(fixture.table) == before)
            #expect(fixture.table.bindingCount == counts.0 && fixture.table.recordCount == counts.1)
            changes(fixture.writer())
            #expect(everything(fixture.table) == after)
            #expect(fixture.undo.count == writes)
        }
    }

    private func colliding(_ table: LocationTable, count: Int) -> [String] {
        var names: [String] = []
        var number = 0
        while names.count < count {
            let name = Array("user\(number)".utf8)
            if table.bucket(hash: table.hash(name.span)) == table.bucket(7) { names.append("user\(number)") }
            number += 1
        }
        return names
    }

    private func rewind(_ undo: UndoLog, _ memory: Memory, at turn: Int, to count: Int) {
        let log = turn + Turn.bytes - UndoLog.bytes(capacity: Turn.undoCapacity)
        for index in stride(from: undo.count - 1, through: count, by: -1) {
            let entry = log + 64 + index * 16
            memory.storeAtomic(memory.load(entry + 8), at: Int(memory.load(entry, as: UInt64.self)))
        }
        memory.store(UInt64(count), at: log)
    }

    @Test func successorWaitsForReadersOfAnUndoneTurn() throws {
        let fixture = try Fixture()
        let first = fixture.writer()
        fixture.processes.beginTurn(.worker(0))
        let shown = put(first, "a", [Contact(uri: "sip:1")])
        var turn = fixture.turn
        #expect(turn.recover() == .undone)
        var second = fixture.writer()
        let early = second.isSettled()
        #expect(!early)
        #expect(put(second, "b", [Contact(uri: "sip:2")]) == 0)
        second.reclaim()
        #expect(put(second, "b", [Contact(uri: "sip:2")]) == 0)
        fixture.processes.endTurn(.worker(0))
        let settled = second.isSettled()
        #expect(settled)
        #expect(put(second, "b", [Contact(uri: "sip:2")]) == shown)
    }
}
