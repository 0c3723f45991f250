import Configuration
import Glibc
import Platform
import Proxy
import SharedMemory
import SharedState
import Systemd

/// What a master begins with: all made anew, or taken over from a former one (design §5.5).
///
///     $LISTEN_FDS ─► memory, mailboxes ─► same layout: its sizes win, the new configuration is published in it
///                 │                     └► another one: all anew, and the log says so; bindings come from the disk
///                 └► sockets ─► those that the configuration wants serve on; others are opened, or closed
struct Beginning: ~Copyable {
    let store: DescriptorStore
    let estate: Estate
    let state: SharedState
    /// As it holds: the file's, but for what waits for stop and start.
    let configuration: Configuration
    let snapshot: ConfigurationSnapshot
    let listeners: ListenerSet
    let control: ControlSocket
    /// What the log is to say of the start.
    let remarks: [Remark]

    struct Remark {
        let event: LogEvent
        let priority: LogPriority
        let text: String

        init(_ event: LogEvent, _ priority: LogPriority, _ text: String) {
            self.event = event
            self.priority = priority
            self.text = text
        }
    }

    init(_ options: MasterOptions) throws(SystemError) {
        var remarks = options.warnings.map { Remark(.configurationWarning, .warning, $0) }
        let store = DescriptorStore()
        var left = try Inheritance(store)
        let kept = left.takeListeners()
        let former = Beginning.inherit(&left, store, &remarks)
        left.discard(from: store)
        do throws(SystemError) {
            try self.init(options, store, kept, former, remarks)
        } catch {
            // The reason lies outside of the memory, which the next start may go on with.
            former?.setFailedStarts(0)
            throw error
        }
    }

    private init(
        _ options: MasterOptions, _ store: DescriptorStore, _ kept: [ListenerSet.Kept], _ former: Estate?,
        _ found: [Remark]
    ) throws(SystemError) {
        var remarks = found
        let configuration = Beginning.configuration(options.configuration, former, &remarks)
        // Sockets before memory: a port that is taken is the most likely reason not to start.
        let listeners = try ListenerSet(configuration.listen, kept)
        let control = try ControlSocket(path: options.runtimeDirectory + "/control.sock")
        let workers = ConfigurationSnapshot.workers(configuration)
        var snapshot = try ConfigurationSnapshot(
            configuration, listeners: listeners, workers: workers, stateDirectory: options.stateDirectory)
        let estate: Estate
        if let former {
            estate = former
        } else {
            estate = try Estate(
                ArenaSizes(
                    workers: workers, transactions: configuration.maxTransactions,
                    bindings: configuration.maxBindings))
        }
        let state = SharedState(attaching: estate.memory)
        if estate.isInherited {
            snapshot.remember(state.configuration.snapshot)
            remarks.append(Beginning.takenOver(state))
        } else if let error = RouteKey.install(in: estate.keyMemory, directory: options.stateDirectory) {
            remarks.append(
                Remark(
                    .note, .warning,
                    "calls set up before this start may not be hung up from outside relay-from: \(error)"))
        }
        try Beginning.prepare(state, snapshot, configuration, isFresh: !estate.isInherited)
        if !estate.isInherited { estate.store(in: store) }
        Beginning.store(listeners, kept, in: store)
        self.store = store
        self.control = control
        self.estate = estate
        self.state = state
        self.configuration = configuration
        self.snapshot = snapshot
        self.listeners = listeners
        self.remarks = remarks
    }

    /// Has systemd keep the sockets that it does not, and forget those that are closed by now.
    private static func store(_ listeners: ListenerSet, _ kept: [ListenerSet.Kept], in store: DescriptorStore)
    {
        let isKept = { (one: ListenerSet.Kept) in
            one.number.map { 0..<listeners.count ~= $0 && listeners[$0]?.socket == one.socket } ?? false
        }
        for one in kept where !isKept(one) { store.drop(one.name) }
        for number in listeners.numbers
        where !kept.contains(where: { isKept($0) && $0.number == number }) {
            store.keep(listeners[number]!.socket, Inheritance.listener(number))
        }
    }

    /// The estate of a former master, where there is one that can be used.
    private static func inherit(
        _ left: inout Inheritance, _ store: DescriptorStore, _ remarks: inout [Remark]
    ) -> Estate? {
        if left.isEmpty { return nil }
        do throws(Unusable) {
            return try Estate(&left)
        } catch {
            left.drop(from: store)
            remarks.append(
                Remark(
                    .memoryDiscarded, .warning,
                    "the memory of the former process is not taken over: \(error.reason); calls in setup are lost"
                ))
            return nil
        }
    }

    /// What holds: the sizes of the memory, the mode and the store stay until stop and start.
    private static func configuration(
        _ wanted: Configuration, _ former: Estate?, _ remarks: inout [Remark]
    ) -> Configuration {
        guard let former else { return wanted }
        let sizes = former.header.sizes
        let snapshot = SharedState(attaching: former.memory).configuration.snapshot
        var running = wanted
        if ConfigurationSnapshot.workers(wanted) != Int(sizes.workers) {
            running.workers = Int(sizes.workers)
        }
        running.maxTransactions = Int(sizes.transactions)
        running.maxBindings = Int(sizes.bindings)
        running.mode = snapshot.isStateless != 0 ? .stateless : .stateful
        running.store = snapshot.storeInMemory != 0 ? .memory : .sqlite
        for key in wanted.changes(from: running) {
            remarks.append(Remark(.configurationWarning, .warning, key.waitingText))
        }
        return running
    }

    /// Says what the former master has left.
    private static func takenOver(_ state: SharedState) -> Remark {
        let now = Clock.milliseconds()
        let silence = now - min(state.processes.heartbeat(.master), now)
        return Remark(
            .tookOver, .notice,
            "took over from the former process (pid \(state.header.masterPid)), silent for at most \(silence) ms: "
                + "\(state.serverTransactions) transactions, \(state.locations.bindingCount) registrations")
    }

    /// Writes what those find who attach; before any does.
    private static func prepare(
        _ state: SharedState, _ snapshot: ConfigurationSnapshot, _ configuration: Configuration, isFresh: Bool
    ) throws(SystemError) {
        let now = Clock.milliseconds()
        var header = state.header
        header.startedAt = now
        header.startedEpoch = Clock.epochSeconds()
        header.masterPid = UInt64(getpid())
        state.setHeader(header)
        FaultPoint.masterAttached.pass(state.memory)
        guard state.publish(snapshot, configuration.drafts) else {
            throw SystemError("[[route]]: more than the shared memory holds", code: E2BIG)
        }
        FaultPoint.masterPublished.pass(state.memory)
        if isFresh {
            state.slots.initialize()
            try state.locations.initialize()
            try state.dns.initialize()
            try state.trace.initialize()
            try state.quarantine.initialize()
            for worker in 0..<Int(state.sizes.workers) { state.shard(worker).initialize(now: now) }
        } else {
            state.blameMaster(now: now)
            for process in ProcessID.all(workers: Int(state.sizes.workers)) {
                state.processes.setPid(0, process)
                state.processes.setReady(false, process)
                // Its turn, if it was in one, holds nothing any more.
                state.processes.endTurn(process)
            }
            state.processes.countRestart(.master)
        }
        // Which hops have failed is forgotten, as it is with a reload.
        try state.deadPeers.initialize()
        state.processes.setPid(getpid(), .master)
        FaultPoint.masterFollowed.pass(state.memory)
    }
}
