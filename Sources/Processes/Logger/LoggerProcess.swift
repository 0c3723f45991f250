import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Systemd

/// The loop: sleep until mail, a second, or SIGTERM; rearm the rings; drain them.
///
///     producer:  append entry ─► armed? ─► mail to the logger          logger:  rearm ─► drain ─► sleep
///                                └ already woken: nothing                         └ entry after that: mail again
struct LoggerProcess: ~Copyable {
    private let state: SharedState
    private let mailbox: Int32
    private var poller: Poller
    private let signals: Descriptor
    private var output: LogOutput
    private var remarks: RemarkWriter
    /// The entry at hand.
    private var entry: ByteWriter

    private static let mailToken: UInt64 = 0
    private static let signalToken: UInt64 = 1
    /// Milliseconds: a process that died between its entry and its mail leaves the entry unseen no longer
    /// than this.
    private static let patience: Int32 = 1000

    init(state: SharedState, mailbox: Int32, output: LogDestination) throws(SystemError) {
        var wanted = [UInt64(SIGTERM)]
        let signals = Descriptor(owning: try check("signalfd") { unsafe cp_signalfd(&wanted, 1) })
        let poller = try Poller()
        try poller.add(mailbox, token: LoggerProcess.mailToken)
        try poller.add(signals.number, token: LoggerProcess.signalToken)
        self.state = state
        self.mailbox = mailbox
        self.output = LogOutput(output)
        remarks = RemarkWriter(state.remarks)
        self.signals = signals
        self.poller = poller
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        entry = unsafe ByteWriter(unsafe: buffer, capacity: LogRing.maximumEntry)
    }

    private var processes: Range<Int> { 0..<min(4 + Int(state.sizes.workers), ProcessID.limit) }

    /// Until SIGTERM; what was in the rings by then is written.
    mutating func run() {
        // Before the first entry: a journal that stands still must not keep the service from starting.
        state.processes.setReady(true, .logger)
        FaultPoint.loggerReady.pass(state.memory)
        drain()
        while true {
            state.processes.beat(Clock.milliseconds(), .logger)
            var isTold = false
            let events = poller.wait(milliseconds: LoggerProcess.patience)
            for index in 0..<events {
                if poller.event(index).token == LoggerProcess.signalToken {
                    isTold = true
                } else {
                    emptyMailbox()
                    FaultPoint.loggerWoken.pass(state.memory)
                }
            }
            drain()
            if isTold { return }
        }
    }

    /// The mail says nothing that the rings do not.
    private func emptyMailbox() {
        var bytes = InlineArray<2048, UInt8>(repeating: 0)
        var span = bytes.mutableSpan
        while true {
            let count = unsafe span.withUnsafeMutableBufferPointer {
                unsafe recv(mailbox, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT))
            }
            if count <= 0 { return }
        }
    }

    /// Writes every entry that is there. A few of each process in turn, so that one that logs without end
    /// does not hide the others.
    mutating func drain() {
        for index in processes { state.log(ProcessID(rawValue: UInt8(index))).rearm() }
        FaultPoint.loggerRearmed.pass(state.memory)
        var isDone = false
        while !isDone {
            isDone = true
            for index in processes where !drain(ProcessID(rawValue: UInt8(index))) { isDone = false }
        }
    }

    /// Up to 16 entries of one process; true where none is left.
    private mutating func drain(_ process: ProcessID) -> Bool {
        let ring = state.log(process)
        for _ in 0..<16 {
            entry.reset()
            if !ring.peek(into: &entry) {
                tellDropped(process, ring)
                return true
            }
            FaultPoint.entryRead.pass(state.memory)
            // Before it is written, which a stalled journal does not let end.
            remarks.add(LogRecord(entry.written), of: process)
            FaultPoint.entryRemarked.pass(state.memory)
            // Written first: an entry may appear twice when we are killed here, but none is lost.
            if !output.write(LogRecord(entry.written), of: process) {
                ring.countLost()
                state.counters.add(.logEntriesDropped, .logger)
            }
            FaultPoint.entryPrinted.pass(state.memory)
            ring.drop()
            FaultPoint.entryDropped.pass(state.memory)
        }
        return false
    }

    /// Once the journal takes entries again, as often as it takes.
    private mutating func tellDropped(_ process: ProcessID, _ ring: LogRing) {
        let missing = ring.dropped &+ ring.lost
        let count = missing &- ring.told
        guard count > 0, output.writeDropped(count, of: process) else { return }
        ring.setTold(missing)
        remarks.add(dropped: count, of: process)
    }
}
