import CPlatform
import Glibc
import Mailbox
import Platform
import SharedState

/// The processes that the master keeps alive: which there are, how each is started, what happens when one
/// ends.
///
///     state      started            exits                    back-off over
///     ─────────────────────────────────────────────────────────────────────
///     stopped    running            –                        running
///     running    –                  running (at once), or    –
///                                   stopped (back-off)
///     stopping   –                  stopped for good         –
struct Child {
    let process: ProcessID
    var pid: Int32 = 0
    /// Monotonic milliseconds of the last start.
    var startedAt: UInt64 = 0
    /// When to start it again; 0: it runs.
    var restartAt: UInt64 = 0
    /// Deaths within a second of the start, in a row.
    var quickDeaths: UInt64 = 0

    /// It was sent SIGTERM, for a successor with another configuration.
    var isReplaced = false
    /// It hangs, and was sent SIGABRT.
    var isAborted = false
    /// Mail that it had handled at the last look, whether more waited then, and since when nothing of it
    /// changed.
    private var handledBefore: UInt64 = 0
    private var wasBehind = false
    private var unchangedSince: UInt64 = 0
    /// Its heartbeat at the last look, and looks since that has changed.
    private var beatBefore: UInt64 = 0
    private var missed: UInt64 = 0

    init(_ process: ProcessID) { self.process = process }

    var isRunning: Bool { pid != 0 }

    /// Milliseconds that mail has been waiting without any of it being handled; 0 where none waits. A process
    /// that was idle for long and has just got mail is none that hangs, so its heartbeat alone says nothing.
    mutating func silence(now: UInt64, heartbeat: UInt64, handled: UInt64, sent: UInt64) -> UInt64 {
        let isBehind = handled < sent
        if !isBehind || !wasBehind || handled != handledBefore { unchangedSince = now }
        wasBehind = isBehind
        handledBefore = handled
        let latest = max(heartbeat, startedAt, unchangedSince)
        return now > latest ? now - latest : 0
    }

    /// Looks, this one included, at which the heartbeat was that of the one before. Of a process that beats at
    /// least as often as it is looked at. They are counted, not timed: while the master stands still, so does
    /// perhaps the machine.
    mutating func missedBeats(_ heartbeat: UInt64) -> UInt64 {
        missed = heartbeat == beatBefore ? missed + 1 : 0
        beatBefore = heartbeat
        return missed
    }

    /// Milliseconds of silence after which a process counts as hanging. The locator waits for a disk that may be
    /// slow, and the logger for journald, however long that takes.
    static func longestSilence(_ process: ProcessID) -> UInt64 {
        switch process {
        case .locator: 20_000
        case .logger: .max
        default: 5000
        }
    }

    /// Notes a death; the next start is at once, or later for one that fails again and again: 50 ms doubled
    /// up to 2 s. Being killed from outside is no failure of its own.
    mutating func died(now: UInt64, wasKilled: Bool) {
        pid = 0
        quickDeaths = now &- startedAt < 1000 && !wasKilled ? quickDeaths + 1 : 0
        let delay: UInt64 = quickDeaths < 3 ? 0 : min(50 << min(quickDeaths - 3, 10), 2000)
        restartAt = now + delay
    }
}

/// Starts children: fork and exec of our own binary, with numbered descriptors (`ChildDescriptors`).
struct ChildStarter: ~Copyable {
    private let arena: Int32
    private let keys: Int32
    private let null: Descriptor
    private let workers: Int

    init(arena: Int32, keys: Int32, workers: Int) throws(SystemError) {
        self.arena = arena
        self.keys = keys
        self.workers = workers
        let opened = Descriptor(
            owning: try check("open /dev/null") { unsafe open("/dev/null", O_RDWR | O_CLOEXEC) })
        null = try opened.raised()
    }

    /// - Parameters: reading: own mailbox; writing: writing ends by process number; sockets: listeners.
    func start(
        _ process: ProcessID, reading: Int32, writing: [Int32], sockets: [Int32]
    ) throws(SystemError) -> Int32 {
        var sources = [Int32](repeating: -1, count: Int(ChildDescriptors.count))
        sources[0] = null.number
        sources[1] = try raisedStandard(1)
        sources[2] = try raisedStandard(2)
        sources[Int(ChildDescriptors.arena)] = arena
        sources[Int(ChildDescriptors.mailbox)] = reading
        let isWorker = process.workerIndex != nil
        if isWorker { sources[Int(ChildDescriptors.keys)] = keys }
        for peer in writing.indices where writing[peer] >= 0 {
            let other = ProcessID(rawValue: UInt8(peer))
            if MailGraph.connects(process, other) {
                sources[Int(ChildDescriptors.mailbox(of: other))] = writing[peer]
            }
        }
        if isWorker {
            for listener in sockets.indices {
                sources[Int(ChildDescriptors.listener(listener))] = sockets[listener]
            }
        }
        defer {
            close(sources[1])
            close(sources[2])
        }
        return try spawn(process, sources)
    }

    /// stdout and stderr have low numbers, which the numbered descriptors would overwrite.
    private func raisedStandard(_ number: Int32) throws(SystemError) -> Int32 {
        try check("fcntl") { fcntl(number, F_DUPFD_CLOEXEC, 100) }
    }

    private func spawn(_ process: ProcessID, _ sources: [Int32]) throws(SystemError) -> Int32 {
        var environment = ["\(ChildDescriptors.environment)=\(process.rawValue):\(getpid())"]
        for name in ["INVOCATION_ID", "JOURNAL_STREAM", "PATH", "TZ", "LANG", "SWIFT_BACKTRACE"] {
            if let value = unsafe getenv(name) {
                unsafe environment.append("\(name)=\(String(cString: value))")
            }
        }
        let strings = unsafe environment.map { unsafe strdup($0) }
        let title = unsafe strdup("sipforkd: \(process.name)")
        defer {
            unsafe strings.forEach { unsafe free($0) }
            unsafe free(title)
        }
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe [title, nil]
        var variables: [UnsafeMutablePointer<CChar>?] = unsafe strings + [nil]
        let pid = unsafe cp_spawn("/proc/self/exe", &arguments, &variables, sources, Int32(sources.count))
        if pid < 0 { throw .last("posix_spawn") }
        return pid
    }
}
