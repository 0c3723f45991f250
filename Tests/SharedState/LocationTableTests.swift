import Platform
import SharedMemory
import Testing

@testable import SharedState

@Suite struct LocationTableTests {
    @Test func findsWhatWasPublished() throws {
        let fixture = try Fixture()
        let writer = fixture.writer()
        put(
            writer, "bob@example.org",
            [Contact(uri: "sip:bob@192.0.2.1", expiresAt: 77, q: 500), Contact(uri: "sip:b")])
        let set = try #require(find(fixture.table, "bob@example.org"))
        #expect(set.count == 2 && text(set.aor) == "bob@example.org")
        #expect(text(set[0].uri) == "sip:bob@192.0.2.1" && text(set[0].callID) == "c@h")
        #expect(set[0].expiresAt == 77 && set[0].q == 500 && set[0].cseq == 7)
        #expect(text(set[1].uri) == "sip:b" && set[1].q == 1000)
        #expect(set.liveCount(now: 76) == 2 && set.liveCount(now: 77) == 1)
        #expect(set[0].path.count == 0 && set[0].userAgent.count == 0)
        #expect(contacts(fixture.table, "alice@example.org") == [])
        #expect(fixture.table.bindingCount == 2 && fixture.table.recordCount == 1)
    }

    @Test func replacesAndRemoves() throws {
        let fixture = try Fixture()
        let writer = fixture.writer()
        for index in 0..<40 { put(writer, "user\(index)", [Contact(uri: "sip:\(index)")]) }
        for index in stride(from: 0, to: 40, by: 2) {
            put(writer, "user\(index)", [Contact(uri: "sip:new\(index)")])
        }
        for index in stride(from: 0, to: 40, by: 3) { remove(writer, "user\(index)") }
        remove(writer, "nobody")
        for index in 0..<40 {
            let expected = index % 3 == 0 ? [] : index % 2 == 0 ? ["sip:new\(index)"] : ["sip:\(index)"]
            #expect(contacts(fixture.table, "user\(index)") == expected)
        }
        #expect(fixture.table.recordCount == 26 && fixture.table.bindingCount == 26)
    }

    @Test func keptBindingsAreCopied() throws {
        let fixture = try Fixture()
        let writer = fixture.writer()
        put(writer, "a", [Contact(uri: "sip:1", expiresAt: 5), Contact(uri: "sip:two", expiresAt: 6)])
        let name = Array("a".utf8)
        let old = try #require(find(fixture.table, "a"))
        let size = RecordDraft.bytes(aor: 1, bindings: old[1].size)
        let begun = writer.begin(name.span, size: size, bindings: 1)
        var draft = try #require(begun)
        draft.append(old[1])
        writer.publish(draft.seal())
        #expect(everything(fixture.table) == ["a": ["sip:two 6 1000 c@h 7"]])
        #expect(fixture.table.bindingCount == 1)
    }

    @Test func fullTableRefuses() throws {
        let fixture = try Fixture(capacity: 4)
        let writer = fixture.writer()
        put(writer, "a", [Contact(uri: "sip:1"), Contact(uri: "sip:2"), Contact(uri: "sip:3")])
        #expect(put(writer, "b", [Contact(uri: "sip:1"), Contact(uri: "sip:2")]) == 0)
        #expect(put(writer, "b", [Contact(uri: "sip:1")]) != 0)
        // Who is in may refresh.
        #expect(put(writer, "a", [Contact(uri: "sip:1"), Contact(uri: "sip:2"), Contact(uri: "sip:4")]) != 0)
        #expect(put(writer, "c", [Contact(uri: "sip:1")]) == 0)
        remove(writer, "b")
        #expect(put(writer, "c", [Contact(uri: "sip:1")]) != 0)
        let long = String(repeating: "x", count: 40_000)
        remove(writer, "a")
        #expect(put(writer, "d", [Contact(uri: "sip:" + long), Contact(uri: "sip:" + long)]) == 0)
        #expect(put(writer, "d", [Contact(uri: "sip:" + long)]) != 0)
    }

    @Test func discardedDraftIsUsedAgain() throws {
        let fixture = try Fixture()
        let writer = fixture.writer()
        let first = try #require(draft(writer, "a", [Contact(uri: "sip:1")]))
        _ = first.seal()
        #expect(fixture.table.bindingCount == 1)
        writer.discard(first)
        #expect(fixture.table.bindingCount == 0 && fixture.table.recordCount == 0)
        #expect(put(writer, "b", [Contact(uri: "sip:2")]) == first.block)
    }

    // MARK: reclaiming

    @Test func blockWaitsForEveryReader() throws {
        let fixture = try Fixture()
        var writer = fixture.writer()
        let first = put(writer, "a", [Contact(uri: "sip:1")])
        fixture.processes.beginTurn(.worker(1))
        let second = put(writer, "a", [Contact(uri: "sip:2")])
        #expect(second != first)
        for _ in 0..<4 {
            writer.reclaim()
            #expect(put(writer, "x", [Contact(uri: "sip:x")]) != first)
        }
        // A reader that began after the block went does not hold it back.
        fixture.processes.beginTurn(.worker(0))
        fixture.processes.endTurn(.worker(1))
        var seen = false
        for _ in 0..<3 {
            writer.reclaim()
            seen = seen || put(writer, "y", [Contact(uri: "sip:y")]) == first
        }
        #expect(seen)
    }

    @Test func memoryStaysBounded() throws {
        let fixture = try Fixture()
        var writer = fixture.writer()
        for round in 0..<5000 {
            writer.reclaim()
            put(writer, "a", [Contact(uri: "sip:\(round % 10)")])
            if round % 7 == 0 { remove(writer, "a") }
            fixture.undo.forget()
        }
        #expect(fixture.table.heapUsed <= 5 * 128)
    }

    @Test func largerFreeBlockServesWhenHeapIsUsedUp() throws {
        let fixture = try Fixture(capacity: 4096)
        var writer = fixture.writer()
        let long = String(repeating: "x", count: 60_000)
        var count = 0
        while put(writer, "user\(count)", [Contact(uri: "sip:" + long)]) != 0 {
            count += 1
            fixture.undo.forget()
        }
        #expect(count > 100)
        #expect(
            put(writer, "small", [Contact(uri: "sip:1")]) == 0
                || fixture.table.heapUsed <= fixture.table.heapBytes)
        for index in 0..<count { remove(writer, "user\(index)") }
        writer.reclaim()
        writer.reclaim()
        for index in 0..<count { #expect(put(writer, "small\(index)", [Contact(uri: "sip:1")]) != 0) }
    }

    /// Design §10: at most 400 bytes for a binding at one million, buckets included; ordinary phones, one
    /// each.
    @Test func bytesPerBinding() throws {
        let count = 1 << 16
        let fixture = try Fixture(capacity: count)
        let writer = fixture.writer()
        for index in 0..<count {
            let made = draft(
                writer, "subscriber\(1_000_000 + index)@sip.example.org",
                [
                    Contact(
                        uri:
                            "sip:subscriber\(1_000_000 + index)@192.168.100.100:50600;transport=udp;line=abcdef0123456"
                    )
                ],
                callID: "0123456789abcdef0123456789abcdef@192.168.100.100")
            writer.publish(try #require(made).seal())
            fixture.undo.forget()
        }
        let bytes = fixture.table.heapUsed + fixture.table.bucketCount * 8
        #expect(bytes / count <= 400)
        #expect(fixture.table.bindingCount == count)
    }

    // MARK: the control tool

    @Test func cursorSeesEveryRecordOnce() throws {
        let fixture = try Fixture(capacity: 4096)
        let writer = fixture.writer()
        for index in 0..<3000 { put(writer, "user\(index)", [Contact(uri: "sip:\(index)")]) }
        var cursor = LocationCursor(fixture.table)
        var seen: Set<String> = []
        while let set = cursor.next() {
            #expect(seen.insert(text(set.aor)).inserted)
            #expect("user" + text(set[0].uri).dropFirst(4) == text(set.aor))
        }
        #expect(seen.count == 3000)
        let name = Array("user17".utf8)
        let found = cursor.find(name.span)
        #expect(found.map { text($0[0].uri) } == "sip:17")
        let nobody = Array("nobody".utf8)
        let missing = cursor.find(nobody.span)
        #expect(missing == nil)
    }

    @Test func cursorLeavesLoops() throws {
        let fixture = try Fixture()
        let block = put(fixture.writer(), "a", [Contact(uri: "sip:a")])
        fixture.arena.memory.storeAtomic(UInt64(block), at: block)
        var cursor = LocationCursor(fixture.table)
        var count = 0
        while cursor.next() != nil { count += 1 }
        #expect(count == 1)
    }

    @Test func cursorStandsTornChains() throws {
        let fixture = try Fixture(capacity: 1024)
        let writer = fixture.writer()
        for index in 0..<100 { put(writer, "user\(index)", [Contact(uri: "sip:\(index)")]) }
        let memory = fixture.arena.memory
        let table = fixture.table
        // Loops, offsets far away and between blocks, sizes beyond the heap: nothing traps, the walk ends.
        var random = SystemRandomNumberGenerator()
        for round in 0..<2000 {
            let block = table.heap + 64 * Int.random(in: 0..<200, using: &random)
            let target =
                round % 3 == 0
                ? UInt64.random(in: 0...UInt64.max, using: &random)
                : UInt64(table.heap + 8 * Int.random(in: 0..<2000, using: &random))
            memory.storeAtomic(target, at: round % 2 == 0 ? block : table.bucket(round))
            memory.storeAtomic(
                UInt64.random(in: 0...UInt64.max, using: &random), at: block + LocationTable.sizeOffset)
            if round % 100 == 0 {
                var cursor = LocationCursor(table)
                var count = 0
                while cursor.next() != nil { count += 1 }
                #expect(count <= 100_000)
            }
        }
    }
}
