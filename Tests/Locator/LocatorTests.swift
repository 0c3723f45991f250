import Foundation
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Locator

/// A whole shared state, and a locator's service on it, without processes and sockets: the test plays worker.
private final class Fixture {
    let arena: Arena
    let state: SharedState
    let directory: String
    private let isInMemory: Bool
    private var sequences: [UInt64] = [0, 0]
    private var sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 100)
    var now: UInt64 = 1000

    init(isInMemory: Bool = false, directory: String? = nil, bindings: Int = 100) throws {
        sizes.bindings = UInt64(bindings)
        sizes.smallSlots = 16
        sizes.largeSlots = 1
        // Once to learn the size, once in the mapping.
        let planned = SharedState(memory: unsafe Memory(unsafe: Fixture.nowhere, size: 0), sizes: sizes)
        arena = try Arena(name: "locator", size: planned.size)
        state = SharedState(memory: arena.memory, sizes: sizes)
        try state.locations.initialize()
        state.configuration.publish(ConfigurationSnapshot())
        self.isInMemory = isInMemory
        self.directory = directory ?? NSTemporaryDirectory() + "locator-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private static var nowhere: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(bitPattern: 4096)! }

    var path: String { directory + "/location.db" }

    /// A locator that starts, as `LocatorProcess` does; gives what it found.
    func start(_ found: inout Turn.Recovery) -> LocationService {
        let store = isInMemory ? LocationStore() : LocationStore(path: path)
        var service = LocationService(state: state, store: store, recovery: &found)
        if found == .flush { service.turn.finish() }
        _ = service.writer.isSettled()
        do throws(StoreError) {
            try service.store.connect()
            _ = try service.load(now: now)
        } catch {}
        return service
    }

    func start() -> LocationService {
        var found = Turn.Recovery.clean
        return start(&found)
    }

    // MARK: the worker's part

    /// Stores a REGISTER in a worker's shard; the mail that speaks of it.
    func request(
        _ user: String, _ lines: [String], callID: String = "c@h", cseq: Int = 1, worker: Int = 0
    ) -> Mail {
        let text =
            ([
                "REGISTER sip:h SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:\(user)@h>;tag=1",
                "To: <sip:\(user)@h>", "Call-ID: \(callID)", "CSeq: \(cseq) REGISTER",
            ] + lines + ["", ""]).joined(separator: "\r\n")
        let bytes = Array(text.utf8)
        let shard = state.shard(worker)
        var mail = Mail(.register)
        mail.sender = .worker(worker)
        sequences[worker] += 1
        mail.sequence = sequences[worker]
        mail.transaction = TransactionReference(
            worker: worker, cell: UInt32(sequences[worker]), generation: 1)
        mail.first = shard.stored.store(bytes.span)!
        shard.undo.forget()
        return mail
    }

    /// Puts mail where the receive call would have put it, one datagram a piece.
    func deliver(_ mails: [Mail], to turn: Turn) {
        for (index, mail) in mails.enumerated() {
            let target = unsafe turn.mailAddress + index * Mail.bytes
            unsafe target.storeBytes(of: mail, as: Mail.self)
        }
    }

    /// Handles what is in flight, up to the commit.
    func handle(_ service: inout LocationService) {
        service.begin(now: now)
        while let mail = service.turn.next() { _ = service.handle(mail) }
        service.settle()
    }

    func finish(_ service: inout LocationService) {
        service.turn.commit()
        service.turn.finish()
        service.turn.clearInFlight()
    }

    /// One whole turn; the answers it appended.
    @discardableResult
    func turn(_ service: inout LocationService, _ mails: [Mail]) -> [String] {
        let before = (0..<2).map { state.locatorRing(to: .worker($0)).tail }
        deliver(mails, to: service.turn)
        handle(&service)
        finish(&service)
        return answers(since: before)
    }

    /// "worker cell status flags" of each answer.
    func answers(since before: [UInt64] = [0, 0]) -> [String] {
        (0..<2).flatMap { worker in
            let ring = state.locatorRing(to: .worker(worker))
            return (before[worker]..<ring.tail).map { position in
                let mail = ring.mail(position)
                return "\(worker) \(mail.transaction.cell) \(mail.status) \(mail.flags)"
            }
        }
    }

    // MARK: what there is

    /// Contacts with their expiry, as readers find them.
    func contacts(_ user: String) -> [String] {
        let name = Array("\(user)@h".utf8)
        guard let set = state.locations.find(name.span) else { return [] }
        return set.map { "\(text($0.uri)) \($0.expiresAt)" }
    }

    /// The same from the database, by another program.
    func rows(_ user: String) throws -> [String] {
        try sql("SELECT contact || ' ' || expires FROM bindings WHERE aor = '\(user)@h' ORDER BY updated")
    }

    func sql(_ statement: String) throws -> [String] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
        process.arguments = [path, statement]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return output.split(separator: "\n").map(String.init)
    }

    private func text(_ span: Span<UInt8>) -> String {
        var bytes: [UInt8] = []
        for index in span.indices { bytes.append(span[index]) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite struct LocatorTests {
    @Test func registersDurably() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let first = fixture.request("bob", ["Contact: <sip:bob@1>;expires=100, <sip:bob@2>"], worker: 1)
        let second = fixture.request("eve", ["Contact: <sip:eve@1>;expires=1"])
        #expect(fixture.turn(&service, [first, second]) == ["0 1 423 9", "1 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 1100", "sip:bob@2 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@1 1100", "sip:bob@2 4600"])
        #expect(fixture.contacts("eve") == [] && fixture.state.locations.recordCount == 1)
    }

    @Test func severalRequestsOfOneAddressInOneTurn() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>"], cseq: 1),
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                    fixture.request("bob", ["Contact: <sip:bob@1>;expires=0"], cseq: 3),
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 1),
                    fixture.request("amy", ["Contact: <sip:amy@1>"], cseq: 1),
                    fixture.request("amy", ["Contact: *", "Expires: 0"], cseq: 2),
                ]) == ["0 1 200 0", "0 2 200 0", "0 3 200 0", "0 4 500 7", "0 5 200 0", "0 6 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@2 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@2 4600"])
        #expect(fixture.contacts("amy") == [])
        #expect(try fixture.rows("amy") == [])
        #expect(fixture.state.locations.bindingCount == 1 && fixture.state.locations.recordCount == 1)
        // Removal and return in one turn.
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: *", "Expires: 0"], cseq: 4),
                    fixture.request("bob", ["Contact: <sip:bob@3>"], cseq: 5),
                ]) == ["0 7 200 0", "0 8 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@3 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@3 4600"])
        #expect(fixture.state.locations.bindingCount == 1 && fixture.state.locations.recordCount == 1)
    }

    @Test func repeatedMailIsHandledOnce() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let mail = fixture.request("bob", ["Contact: <sip:bob@1>"])
        #expect(fixture.turn(&service, [mail]) == ["0 1 200 0"])
        #expect(fixture.turn(&service, [mail]) == [])
    }

    @Test func requestThatIsGoneChangesNothing() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let mail = fixture.request("bob", ["Contact: <sip:bob@1>"])
        fixture.state.shard(0).stored.free(mail.first)
        #expect(fixture.turn(&service, [mail]) == ["0 1 500 12"])
        #expect(fixture.contacts("bob") == [])
    }

    @Test func fullTableIsAnswered() throws {
        let fixture = try Fixture(bindings: 2)
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("a", ["Contact: <sip:1@h>, <sip:2@h>"]),
                    fixture.request("b", ["Contact: <sip:1@h>"]),
                ]) == ["0 1 200 0", "0 2 503 11"])
        #expect(try fixture.rows("b") == [])
    }

    // MARK: restarts

    @Test func bindingsComeBack() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(
            &service,
            [
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=100;q=0.3, <sip:bob@0>;expires=200"]),
                fixture.request("amy", ["Contact: <sip:amy@1>;expires=60"]),
            ])
        // A fresh arena on the same database, when amy's binding has just expired.
        let later = try Fixture(directory: fixture.directory)
        later.now = 1060
        var second = later.start()
        #expect(later.contacts("bob") == ["sip:bob@1 1100", "sip:bob@0 1200"])
        #expect(later.contacts("amy") == [] && later.state.locations.bindingCount == 2)
        #expect(try later.rows("amy") == [])
        #expect(later.state.locations.isLoaded)
        // Call-ID and CSeq came back as well.
        #expect(later.turn(&second, [later.request("bob", ["Contact: <sip:bob@1>"])]) == ["0 1 500 7"])
        #expect(
            later.turn(&second, [later.request("bob", ["Contact: <sip:bob@1>"], cseq: 2)]) == ["0 2 200 0"])
        // In the same arena nothing is read again.
        var found = Turn.Recovery.undone
        let third = later.start(&found)
        let isConnected = third.store.isConnected
        #expect(found == .clean && isConnected)
        #expect(later.contacts("bob") == ["sip:bob@0 1200", "sip:bob@1 4660"])
    }

    @Test func memoryStoreKeepsNoFile() throws {
        let fixture = try Fixture(isInMemory: true)
        var service = fixture.start()
        #expect(fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])]) == ["0 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600"])
        #expect(!FileManager.default.fileExists(atPath: fixture.path))
    }

    /// A turn is abandoned after each of its writes; the successor does it again, and all is as if nothing
    /// had been.
    @Test func abandonedTurnIsDoneAgain() throws {
        var writes = 1
        var written = 0
        while written <= writes {
            let fixture = try Fixture(isInMemory: written % 8 != 0)
            var service = fixture.start()
            fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])])
            let mails = [
                fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                fixture.request("amy", ["Contact: <sip:amy@1>"], worker: 1),
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=0"], cseq: 3),
            ]
            fixture.deliver(mails, to: service.turn)
            fixture.handle(&service)
            writes = service.turn.undo.count
            rewind(fixture, to: written)
            var found = Turn.Recovery.clean
            var second = fixture.start(&found)
            #expect(found == .undone)
            #expect(fixture.contacts("bob") == ["sip:bob@1 4600"] && fixture.contacts("amy") == [])
            #expect(fixture.answers() == ["0 1 200 0"])
            fixture.handle(&second)
            fixture.finish(&second)
            #expect(fixture.answers() == ["0 1 200 0", "0 2 200 0", "0 3 200 0", "1 1 200 0"])
            #expect(
                fixture.contacts("bob") == ["sip:bob@2 4600"] && fixture.contacts("amy") == ["sip:amy@1 4600"]
            )
            #expect(fixture.state.locations.bindingCount == 2 && fixture.state.locations.recordCount == 2)
            if written % 8 == 0 { #expect(try fixture.rows("bob") == ["sip:bob@2 4600"]) }
            written += 1
        }
        #expect(writes > 15)
    }

    private func rewind(_ fixture: Fixture, to count: Int) {
        let memory = fixture.arena.memory
        let log = fixture.state.locatorTurn + Turn.bytes - UndoLog.bytes(capacity: Turn.undoCapacity)
        let all = Int(memory.load(log, as: UInt64.self))
        for index in stride(from: all - 1, through: count, by: -1) {
            let entry = log + 64 + index * 16
            memory.storeAtomic(memory.load(entry + 8), at: Int(memory.load(entry, as: UInt64.self)))
        }
        memory.store(UInt64(count), at: log)
    }

    @Test func committedTurnIsNotDoneAgain() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.deliver([fixture.request("bob", ["Contact: <sip:bob@1>"])], to: service.turn)
        fixture.handle(&service)
        service.turn.commit()
        var found = Turn.Recovery.clean
        var second = fixture.start(&found)
        #expect(found == .flush)
        fixture.handle(&second)
        fixture.finish(&second)
        #expect(fixture.answers() == ["0 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600"])
    }

    /// The rows were durable and the table was not yet changed, and the worker asks again with the same
    /// request.
    @Test func replayGetsTheSameBindings() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>;expires=100"], cseq: 8)])
        fixture.now = 1002
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>;expires=100"], cseq: 8)
                ]) == ["0 2 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 1100"])
    }

    // MARK: a store that fails

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
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600", "sip:bob@2 4600"])
        // The drafts of the failed turn were used again.
        #expect(fixture.state.locations.heapUsed <= heapUsed + 3 * 256)
        #expect(fixture.state.locations.bindingCount == 3)
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
        _ = try fixture.sql("PRAGMA user_version = 2")
        let service = fixture.start()
        let isConnected = service.store.isConnected
        #expect(!isConnected)
    }

    // MARK: expiry

    @Test func sweepDropsWhatHasExpired() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(
            &service,
            [
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=60, <sip:bob@2>;expires=90"]),
                fixture.request("amy", ["Contact: <sip:amy@1>;expires=60"]),
            ])
        func sweep(at now: UInt64) {
            fixture.now = now
            service.begin(now: now)
            service.sweep()
            service.settle()
            fixture.finish(&service)
        }
        sweep(at: 1059)
        #expect(fixture.state.locations.bindingCount == 3)
        sweep(at: 1060)
        #expect(fixture.contacts("bob") == ["sip:bob@2 1090"] && fixture.contacts("amy") == [])
        #expect(try fixture.rows("bob") == ["sip:bob@2 1090"])
        #expect(try fixture.rows("amy") == [])
        sweep(at: 1090)
        #expect(fixture.state.locations.bindingCount == 0 && fixture.state.locations.recordCount == 0)
        #expect(try fixture.sql("SELECT count(*) FROM bindings") == ["0"])
    }
}
