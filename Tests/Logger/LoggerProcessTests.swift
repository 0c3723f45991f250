import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Logger

struct LoggerProcessTests {
    static func state() throws -> SharedState {
        let sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 100)
        let state = SharedState(
            memory: try Arena(name: "test", size: SharedState.bytes(sizes)).memory, sizes: sizes)
        state.setHeader(ArenaHeader(layoutHash: SharedState.layoutHash, sizes: sizes))
        return state
    }

    static func text(_ descriptor: Int32) -> [String] {
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress!, $0.count) }
        return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n").map(
            String.init)
    }

    @Test func writesWhatItFindsInOrder() throws {
        let state = try LoggerProcessTests.state()
        let mailbox = try Mailbox()
        let ends = try Pipe()
        // Before the logger runs.
        var worker = LogWriter(state: state, process: .worker(1), level: 7)
        for number in 0..<40 { worker.note(.note, .info, "worker \(number)") }
        var logger = try LoggerProcess(
            state: state, mailbox: mailbox.reading.number, output: .lines(ends.writing.number))
        var master = LogWriter(state: state, process: .master, level: 7)
        master.note(.started, .notice, "master")
        logger.drain()
        let lines = LoggerProcessTests.text(ends.reading.number)
        withExtendedLifetime(ends) {}
        withExtendedLifetime(mailbox) {}
        #expect(lines.filter { $0.hasPrefix("<6>worker") } == (0..<40).map { "<6>worker \($0)" })
        #expect(lines.contains("<5>master"))
        // Nothing is left, and the next entry wakes again.
        #expect(state.log(.worker(1)).isEmpty && state.log(.master).isEmpty)
        _ = worker.takeWake()
        worker.note(.note, .info, "again")
        let wakes = worker.takeWake()
        #expect(wakes)
    }

    @Test func tellsOfDropsOnce() throws {
        let state = try LoggerProcessTests.state()
        let mailbox = try Mailbox()
        let ends = try Pipe()
        var logger = try LoggerProcess(
            state: state, mailbox: mailbox.reading.number, output: .lines(ends.writing.number))
        let entry = [UInt8](repeating: 0, count: LogRing.maximumEntry + 1)
        for _ in 0..<5 { _ = state.log(.locator).append(entry.span) }
        logger.drain()
        logger.drain()
        let lines = LoggerProcessTests.text(ends.reading.number)
        withExtendedLifetime(ends) {}
        withExtendedLifetime(mailbox) {}
        #expect(lines == ["<4>5 log entries of locator dropped: the journal takes too long"])
    }

    /// SIGTERM, with entries that came after the last sleep.
    @Test func drainsBeforeItEnds() async {
        await #expect(processExitsWith: .success) {
            let state = try LoggerProcessTests.state()
            let mailbox = try Mailbox()
            let ends = try Pipe()
            var logger = try LoggerProcess(
                state: state, mailbox: mailbox.reading.number, output: .lines(ends.writing.number))
            var worker = LogWriter(state: state, process: .worker(0), level: 7)
            worker.note(.note, .info, "last words")
            _ = MailSender(state: state, process: .worker(0)).flush(
                state.shard(0).ring(to: .logger), to: .logger, descriptor: mailbox.writing.number)
            raise(SIGTERM)
            logger.run()
            let lines = LoggerProcessTests.text(ends.reading.number)
            // Both ends stay open until here.
            withExtendedLifetime(ends) {}
            withExtendedLifetime(mailbox) {}
            guard lines == ["<6>last words"], state.processes.isReady(.logger),
                state.processes.heartbeat(.logger) > 0
            else { exit(1) }
            exit(0)
        }
    }
}

/// A pipe with room for a megabyte.
struct Pipe: ~Copyable {
    let reading: Descriptor
    let writing: Descriptor

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("pipe") { unsafe pipe(&ends) }
        let first = Descriptor(owning: ends[0])
        try first.setNonBlocking()
        reading = first
        writing = Descriptor(owning: ends[1])
        _ = fcntl(ends[1], 1031 /* F_SETPIPE_SZ */, 1 << 20)
    }
}

/// What `status` shows of the last errors.
struct RemarkTests {
    private func drained(_ fill: (inout LogWriter, SharedState) -> Void) throws -> [Remark] {
        let state = try LoggerProcessTests.state()
        let mailbox = try Mailbox()
        let ends = try Pipe()
        var logger = try LoggerProcess(
            state: state, mailbox: mailbox.reading.number, output: .lines(ends.writing.number))
        var worker = LogWriter(state: state, process: .worker(1), level: 7)
        fill(&worker, state)
        logger.drain()
        withExtendedLifetime(ends) {}
        withExtendedLifetime(mailbox) {}
        return state.remarks.numbers.compactMap { state.remarks.element($0) }
    }

    @Test func keepsWarningsAndWorse() throws {
        let before = Clock.epochSeconds()
        let remarks = try drained { worker, _ in
            worker.note(.note, .notice, "a notice")
            worker.note(.hopFailed, .warning, "a warning")
            worker.note(.callFailed, .info, "a call")
            worker.note(.storageFailed, .error, "an error")
        }
        #expect(remarks.map(\.text) == ["a warning", "an error"])
        #expect(remarks.map(\.eventName) == ["hop-failed", "storage-failed"])
        #expect(remarks.allSatisfy { $0.process == .worker(1) && $0.time >= before && $0.time < before + 60 })
    }

    @Test func keepsTheLastEight() throws {
        let remarks = try drained { worker, _ in
            for number in 0..<30 { worker.note(.note, .warning, "warning \(number)") }
        }
        #expect(remarks.map(\.text) == (22..<30).map { "warning \($0)" })
    }

    @Test func masksAndCutsAsLinesAre() throws {
        let remarks = try drained { worker, _ in
            worker.note(.note, .warning, "a\u{1B}[2J\u{9B}é")
            // The 240th byte is the first half of a letter.
            worker.note(.note, .warning, String(repeating: "x", count: 239) + "éé")
            worker.note(.note, .warning, String(repeating: "é", count: 200))
            worker.note(.connectionFailed, .warning, "")
        }
        #expect(remarks[0].text == "a?[2J??é")
        #expect(remarks[1].text == String(repeating: "x", count: 239))
        #expect(remarks[2].text == String(repeating: "é", count: 120))
        #expect(remarks[3].text == "connection-failed")
    }

    @Test func tellsOfDrops() throws {
        let remarks = try drained { _, state in
            let entry = [UInt8](repeating: 0, count: LogRing.maximumEntry + 1)
            for _ in 0..<2 { _ = state.log(.locator).append(entry.span) }
        }
        #expect(remarks.map(\.text) == ["2 log entries of locator dropped: the journal takes too long"])
        #expect(remarks.map(\.eventName) == ["log-dropped"] && remarks[0].process == .locator)
    }
}
