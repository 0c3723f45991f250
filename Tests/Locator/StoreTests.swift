import Foundation
import SharedState
import Testing

@testable import Locator

/// A store that fails, and one that an earlier version has made.
@Suite struct StoreTests {
    @Test func lockedStoreIsAnswered() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])])
        let heapUsed = fixture.state.locations.heapUsed
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
        shell.arguments = [fixture.path]
        let input = Pipe()
        let output = Pipe()
        shell.standardInput = input
        shell.standardOutput = output
        try shell.run()
        input.fileHandleForWriting.write(Data("BEGIN IMMEDIATE;\nSELECT 'locked';\n".utf8))
        #expect(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self) == "locked\n")
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                    fixture.request("bob", [], cseq: 3),
                    fixture.request("eve", ["Contact: <sip:eve@1>;q=7"]),
                    fixture.request("amy", ["Contact: <sip:amy@1>"]),
                ]) == ["0 2 500 10", "0 3 500 10", "0 4 400 2", "0 5 500 10"])
        let isPassing = service.lastFailure?.isPassing
        #expect(isPassing == true)
        let hasStored = service.hasStored
        #expect(!hasStored)
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600"] && fixture.contacts("amy") == [])
        input.fileHandleForWriting.closeFile()
        shell.waitUntilExit()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                    fixture.request("amy", ["Contact: <sip:amy@1>"]),
                ]) == ["0 6 200 0", "0 7 200 0"])
        let hasStoredNow = service.hasStored
        #expect(hasStoredNow)
        // A turn that stores nothing says nothing of the store.
        fixture.turn(&service, [fixture.request("bob", [], cseq: 4)])
        let hasStoredLater = service.hasStored
        #expect(!hasStoredLater)
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600", "sip:bob@2 4600"])
        // The drafts of the failed turn were used again.
        #expect(fixture.state.locations.heapUsed <= heapUsed + 3 * 256)
        #expect(fixture.state.locations.bindingCount == 3)
    }

    /// A failure at once and every ten seconds; that it works again once, and only where a failure was told.
    @Test func isToldOfOnce() {
        var remarks = StorageRemarks()
        func failed(_ now: UInt64) -> Bool { remarks.failed(now: now) }
        func stored() -> Bool { remarks.stored() }
        #expect(!stored(), "nothing has failed")
        #expect(failed(1000))
        #expect(!failed(10_999))
        #expect(failed(11_000))
        #expect(stored())
        #expect(!stored())
        #expect(!failed(12_000), "ten seconds after the last one")
        #expect(!stored(), "what was not told is not taken back")
        #expect(failed(21_000))
        #expect(stored())
    }

    @Test func damagedStoreIsAnswered() throws {
        let fixture = try Fixture()
        try Data(
            "this is no database, and it is longer than a header of a hundred bytes, so that it is read as one"
                .utf8
        )
        .write(to: URL(fileURLWithPath: fixture.path))
        var service = fixture.start()
        let isConnected = service.store.isConnected
        #expect(!isConnected && !fixture.state.locations.isLoaded)
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>"]), fixture.request("bob", [], cseq: 2),
                ]) == ["0 1 500 10", "0 2 500 10"])
        try FileManager.default.removeItem(atPath: fixture.path)
        try service.store.connect()
        #expect(fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])]) == ["0 3 200 0"])
    }

    @Test func newerSchemaIsRefused() throws {
        let fixture = try Fixture()
        _ = try fixture.sql("PRAGMA user_version = 3")
        let service = fixture.start()
        let isConnected = service.store.isConnected
        #expect(!isConnected)
    }

    /// A database that version 0.1.0 made, schema 1: its bindings survive, and go on as all others.
    @Test func firstSchemaIsBroughtUp() throws {
        let fixture = try Fixture()
        _ = try fixture.sql(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE bindings (
                aor TEXT NOT NULL, contact TEXT NOT NULL, expires INTEGER NOT NULL, q INTEGER NOT NULL,
                callid TEXT NOT NULL, cseq INTEGER NOT NULL, updated INTEGER NOT NULL,
                PRIMARY KEY (aor, contact)
            ) WITHOUT ROWID;
            INSERT INTO bindings VALUES ('bob@h', 'sip:bob@1', 2000, 700, 'c@h', 7, 2);
            INSERT INTO bindings VALUES ('bob@h', 'sip:bob@2', 2001, 1000, 'c@h', 7, 1);
            INSERT INTO bindings VALUES ('amy@h', 'sip:amy@1', 1000, 1000, 'd@h', 1, 3);
            PRAGMA user_version = 1;
            """)
        var service = fixture.start()
        #expect(fixture.contacts("bob") == ["sip:bob@2 2001", "sip:bob@1 2000"])
        #expect(fixture.origins("bob") == ["sip:bob@2 '' ''", "sip:bob@1 '' ''"])
        #expect(try fixture.sql("PRAGMA user_version") == ["2"])
        // Call-ID, CSeq and q are the old ones; amy's binding had expired.
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>;q=0.7"], cseq: 7),
                    fixture.request("bob", ["Contact: <sip:bob@1>"], cseq: 7),
                    fixture.request("bob", ["Contact: <sip:bob@2>", "Path: <sip:p;lr>"], cseq: 8),
                ]) == ["0 1 200 0", "0 2 500 7", "0 3 200 0"])
        #expect(
            try fixture.sql("SELECT contact, path, useragent FROM bindings ORDER BY updated") == [
                "sip:bob@1||", "sip:bob@2|<sip:p;lr>|",
            ])
        let later = try Fixture(directory: fixture.directory)
        _ = later.start()
        #expect(later.origins("bob") == ["sip:bob@1 '' ''", "sip:bob@2 '<sip:p;lr>' ''"])
    }
}
