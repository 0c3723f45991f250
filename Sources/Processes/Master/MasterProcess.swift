import CPlatform
import Configuration
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Systemd

/// The master's state and loop.
struct MasterProcess: ~Copyable {
    let state: SharedState
    let estate: Estate
    /// What systemd keeps for the next master.
    let store: DescriptorStore
    let starter: ChildStarter
    var children: [Child] = []
    var log: LogWriter
    let notifier: Notifier
    /// Those that messages are taken from; a reload changes them.
    var listeners: ListenerSet
    /// What children inherit.
    var datagramSockets: [Int32]
    /// As it holds now.
    var configuration: Configuration
    var reload: Reload?
    var isReady = false
    /// Messages are taken.
    private var isOpen = false
    var isStopping = false
    var stoppingSince: UInt64 = 0
    var isLoggerTold = false
    var reception: Reception
    var gathering: Gathering
    /// A socket holds more than one turn takes.
    private var isMore = false
    private var datagramErrors: DatagramErrors
    var connections: Connections
    private let control: ControlSocket
    var controlPeers = ControlPeers()
    var commands = WaitingCommands()
    private var mailboxes: PeerMailboxes
    var inbox: PlainReceiver
    var poller: Poller
    private let signals: Descriptor
    private var nextStatus: UInt64 = 0
    private var toldStatus = ""
    private var loadSampler = LoadSampler()
    var overloadEpisode = OverloadEpisode()
    private var nextWatchdog: UInt64 = 0
    let options: MasterOptions
    /// What is to be told of the start.
    private let remarks: [Beginning.Remark]

    enum Token {
        static let signals: UInt64 = 1
        static let control: UInt64 = 2
        static let inbox: UInt64 = 3
        static let connections: UInt64 = 4
        static let listener: UInt64 = 0x100
        static let mailbox: UInt64 = 0x200
        static let controlPeer: UInt64 = 0x1_0000_0000
    }

    init(_ options: MasterOptions) throws(SystemError) {
        let beginning = try Beginning(options)
        let state = beginning.state
        try check("sigaction") { unsafe cp_mark_traps(state.processes.trapMark(.master)) }
        let estate = beginning.estate
        let listeners = beginning.listeners
        let workers = Int(state.sizes.workers)
        let keys = Keys(memory: estate.keyMemory)
        let processes = ProcessID.all(workers: workers).filter { $0 != .master }
        children = processes.map { Child($0) }
        let starter = try ChildStarter(
            arena: estate.arena, keys: estate.keys, workers: workers)

        var wanted: [UInt64] = [SIGTERM, SIGINT, SIGHUP, SIGCHLD].map { UInt64($0) }
        let count = Int32(wanted.count)
        let signals = Descriptor(owning: try check("signalfd") { unsafe cp_signalfd(&wanted, count) })
        let poller = try Poller()
        try poller.add(signals.number, token: Token.signals)
        try poller.add(beginning.control.descriptor.number, token: Token.control)
        let mailbox = estate.reading[ProcessID.master.index]
        try poller.add(mailbox, token: Token.inbox)
        var mailboxes = PeerMailboxes(state: state, process: .master, firstToken: Token.mailbox)
        for process in processes { try mailboxes.add(process, estate.writing[process.index], poller) }

        let level = beginning.snapshot.logLevel
        var log = LogWriter(state: state, process: .master, level: level)
        let connections = try Connections(
            state: state, keys: keys, limits: ConnectionLimits(beginning.snapshot).granted(&log),
            listeners: listeners.streams, log: LogWriter(state: state, process: .master, level: level))

        datagramSockets = listeners.datagramSockets
        reception = Reception(state: state, keys: keys, sockets: datagramSockets)
        gathering = Gathering(longest: state.configuration.snapshot.longestPause)
        self.connections = connections
        datagramErrors = DatagramErrors()
        self.mailboxes = mailboxes
        inbox = PlainReceiver(mailbox: mailbox)
        self.log = log
        notifier = Notifier()
        self.options = options
        self.listeners = listeners
        configuration = beginning.configuration
        control = beginning.control
        remarks = beginning.remarks
        store = beginning.store
        self.estate = estate
        self.state = state
        self.starter = starter
        self.signals = signals
        self.poller = poller
    }

    /// Starts the children, serves until a signal says stop.
    mutating func run() -> Int32 {
        for remark in remarks { log.note(remark.event, remark.priority, remark.text) }
        if estate.isInherited { takeOver() }
        if state.locations.isLoaded { openSockets() }
        for child in children.indices { start(child) }
        while true {
            let now = Clock.milliseconds()
            tend(now)
            // What the turn before has left, and what this had to say.
            flushMail()
            if isStopping && !children.contains(where: \.isRunning) { break }
            let pause = gathering.pause(
                arrived: state.counters.value(.messagesReceived, .master), now: Clock.microseconds())
            if pause > 0 && !isMore { usleep(pause) }
            let events = poller.wait(milliseconds: patience(now))
            reception.measure(Clock.milliseconds())
            FaultPoint.masterWoken.pass(state.memory)
            let isReader = reception.stateless.isActive
            if isReader { state.processes.beginTurn(.master) }
            isMore = false
            for index in 0..<events { handle(poller.event(index)) }
            if inbox.isMailLeft { takeMail() }
            connections.tend(Clock.milliseconds(), &reception)
            if isReader { forwardStateless() } else { sendOutput(Clock.milliseconds()) }
        }
        control.remove()
        return 0
    }

    private mutating func handle(_ event: Poller.Event) {
        switch event.token {
        case Token.signals: takeSignals()
        case Token.control: acceptControl()
        case Token.inbox: takeMail()
        case Token.connections: connections.serve(Clock.milliseconds(), &reception)
        case Token.controlPeer...: serve(Int32(event.token - Token.controlPeer))
        case Token.mailbox...:
            let process = ProcessID(rawValue: UInt8(event.token - Token.mailbox))
            if event.writable { resume(process) }
        case Token.listener...:
            receive(UInt16(event.token - Token.listener), event)
        default: break
        }
    }

    /// The rest of what the master forwards by itself; after that it reads no bindings.
    private mutating func forwardStateless() {
        let now = Clock.milliseconds()
        reception.expireWaiting(now)
        sendOutput(now)
        state.processes.endTurn(.master)
    }

    /// From now on messages are taken. A fresh memory has no bindings before the locator has loaded them: what comes
    /// earlier waits in the sockets, or users would seem not to be registered.
    private mutating func openSockets() {
        isOpen = true
        do throws(SystemError) {
            for number in listeners.numbers where listeners[number]!.listener.transport == .udp {
                try poller.add(listeners[number]!.socket, token: Token.listener + UInt64(number))
            }
            try poller.add(connections.pollerNumber, token: Token.connections)
        } catch { preconditionFailure("a socket cannot be watched") }
    }

    private mutating func receive(_ listener: UInt16, _ event: Poller.Event) {
        // A reload may have taken it away in this very turn.
        guard let entry = listeners[Int(listener)] else { return }
        let socket = entry.socket
        if event.failed { datagramErrors.drain(socket, reception) }
        let address = entry.listener.address
        // A few batches, then the others' turn; level-triggered, so what is left comes again.
        for _ in 0..<4 {
            _ = reception.receive(
                from: socket, listener: listener, address: address, isLeaving: reload != nil)
            if !reception.mayHoldMore { return }
        }
        isMore = true
    }

    private mutating func acceptControl() {
        while let peer = control.accept() {
            let number = peer.number
            let dropped = controlPeers.add(peer)
            if dropped >= 0 {
                poller.remove(dropped)
                controlPeers.remove(dropped)
            }
            do { try poller.add(number, token: Token.controlPeer + UInt64(number)) } catch {
                controlPeers.remove(number)
            }
        }
    }

    // MARK: mail

    mutating func flushMail() {
        let wakes = (log.takeWake(), connections.log.takeWake(), reception.trace.log.takeWake())
        if wakes.0 || wakes.1 || wakes.2 { _ = state.masterRing(to: .logger).append(Mail(.logged)) }
        for child in children { flushRing(child.process) }
    }

    private mutating func flushRing(_ process: ProcessID) {
        mailboxes.flush(state.masterRing(to: process), to: process, poller)
    }

    private mutating func resume(_ process: ProcessID) {
        mailboxes.resume(state.masterRing(to: process), to: process, poller)
    }

    // MARK: signals

    private mutating func takeSignals() {
        while true {
            switch cp_signal_next(signals.number) {
            case 0: return
            case SIGCHLD: reap()
            case SIGTERM, SIGINT: stop()
            default: reload(for: nil)
            }
        }
    }

    // MARK: systemd

    /// What is due by the clock: restarts, readiness, status line, watchdog.
    private mutating func tend(_ now: UInt64) {
        state.processes.beat(now, .master)
        restartChildren(now)
        goOnReloading(now)
        expireCommands(now)
        tellOverload(now)
        if isStopping {
            escalate(now)
            return
        }
        if !isReady, children.allSatisfy({ state.processes.isReady($0.process) }) {
            isReady = true
            nextStatus = 0
            if !isOpen { openSockets() }
            estate.setFailedStarts(0)
            FaultPoint.masterReady.pass(state.memory)
            log.note(
                .started, .notice,
                "started: \(configuration.listen.map(\.text).joined(separator: ", "))")
            notifier.ready(status: statusLine())
        }
        if now >= nextStatus && isReady {
            nextStatus = now + 1000
            killHanging(now)
            state.quarantine.forget(now: now)
            tellStatus()
            loadSampler.sample(state, now)
        }
        if let interval = notifier.watchdogInterval, now >= nextWatchdog {
            nextWatchdog = now + UInt64(interval / 2)
            notifier.watchdog()
        }
    }

    private func patience(_ now: UInt64) -> Int32 {
        // Children say that they serve through shared memory, which wakes nobody.
        if (!isReady || reload != nil) && !isStopping { return 2 }
        if inbox.isMailLeft { return 0 }
        var next = isStopping ? now + 20 : nextStatus
        if notifier.watchdogInterval != nil { next = min(next, nextWatchdog) }
        for child in children where child.restartAt != 0 { next = min(next, child.restartAt) }
        if let deadline = commands.nextDeadline { next = min(next, deadline) }
        if let deadline = reception.stateless.nextDeadline { next = min(next, deadline) }
        if let deadline = connections.nextDeadline(now) { next = min(next, deadline) }
        return next <= now ? 0 : Int32(min(next - now, 60_000))
    }

    /// Only what has changed: systemd logs and wakes for each.
    private mutating func tellStatus() {
        let line = statusLine()
        if line == toldStatus { return }
        toldStatus = line
        notifier.status(line)
    }

    private func statusLine() -> String {
        return
            "\(state.serverTransactions) transactions, \(state.locations.bindingCount) registrations, \(state.sizes.workers) workers"
    }
}
