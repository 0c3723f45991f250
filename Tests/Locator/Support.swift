import Foundation
import Platform
import SharedMemory
import SharedState

@testable import Locator

/// A whole shared state, and a locator's service on it, without processes and sockets: the test plays worker.
final class Fixture {
    let arena: Arena
    let state: SharedState
    let directory: String
    private let isInMemory: Bool
    private var sequences: [UInt64] = [0, 0]
    private var masterSequence: UInt64 = 0
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
        state.slots.initialize()
        precondition(state.publish(ConfigurationSnapshot(), []))
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

    // MARK: the parts of worker and master

    private func text(_ user: String, _ lines: [String], callID: String, cseq: Int) -> [UInt8] {
        let lines =
            [
                "REGISTER sip:h SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:\(user)@h>;tag=1",
                "To: <sip:\(user)@h>", "Call-ID: \(callID)", "CSeq: \(cseq) REGISTER",
            ] + lines + ["", ""]
        return Array(lines.joined(separator: "\r\n").utf8)
    }

    /// Stores a REGISTER in a worker's shard; the mail that speaks of it.
    func request(
        _ user: String, _ lines: [String], callID: String = "c@h", cseq: Int = 1, worker: Int = 0
    ) -> Mail {
        let bytes = text(user, lines, callID: callID, cseq: cseq)
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

    /// Puts a REGISTER into a slot of the master, as a command of the control tool; the mail for it.
    func command(_ user: String, _ lines: [String], callID: String = "ctl@h", mustChange: Bool = false)
        -> Mail
    {
        let bytes = text(user, lines, callID: callID, cseq: 1)
        let slot = state.slots.take((0..<state.slots.count).first { state.slots.isFree($0) }!)
        var writer = state.memory.writer(
            state.slots.bytesOffset(slot.index), capacity: state.slots.capacity(slot.index))
        writer.append(bytes.span)
        var header = SlotHeader()
        header.length = UInt32(bytes.count)
        state.slots.setHeader(header, slot.index)
        var mail = Mail(.register)
        masterSequence += 1
        mail.sequence = masterSequence
        mail.transaction = TransactionReference(rawValue: masterSequence)
        mail.second = slot.rawValue
        mail.flags = mustChange ? 1 : 0
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
        let before = Fixture.askers.map { state.locatorRing(to: $0).tail }
        deliver(mails, to: service.turn)
        handle(&service)
        finish(&service)
        return answers(since: before)
    }

    private static let askers: [ProcessID] = [.worker(0), .worker(1), .master]

    /// "worker cell status flags" of each answer; with "master" where a command is answered.
    func answers(since before: [UInt64] = [0, 0, 0]) -> [String] {
        zip(Fixture.askers, before).flatMap { asker, position in
            let ring = state.locatorRing(to: asker)
            return (position..<ring.tail).map { position in
                let mail = ring.mail(position)
                let name = asker.workerIndex.map { "\($0)" } ?? asker.name
                return "\(name) \(mail.transaction.cell) \(mail.status) \(mail.flags)"
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

    /// What each contact's REGISTER said besides.
    func origins(_ user: String) -> [String] {
        let name = Array("\(user)@h".utf8)
        guard let set = state.locations.find(name.span) else { return [] }
        return set.map { "\(text($0.uri)) '\(text($0.path))' '\(text($0.userAgent))'" }
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
