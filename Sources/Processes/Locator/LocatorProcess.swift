import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// The loop of the locator: mail in, one turn of the service, answers out.
struct LocatorProcess: ~Copyable {
    private let state: SharedState
    private var service: LocationService
    private let recovery: Turn.Recovery
    private var mailboxes: PeerMailboxes
    /// Whom we send mail: their mailboxes are watched by process number, as our own is.
    private let receivers: [ProcessID]
    private var log: LogWriter
    private var poller: Poller
    private var nextSweep: UInt64 = 0
    private var storageRemarks = StorageRemarks()
    private var quarantineLimit = RateLimit(perSecond: 1)

    private static let me = ProcessID.locator
    /// Milliseconds between sweeps for expired bindings, and attempts to open the store.
    private static let sweepInterval: UInt64 = 1000
    private static let connectInterval: UInt64 = 5000
    /// Milliseconds from one commit to disk to the next, at least. An fsync costs the same for one
    /// registration and for forty, and who sends us mail while we sleep need not wake us: under load one goes
    /// on with all that has come meanwhile.
    ///
    /// Nobody waits at the telephone for it, so it is five times the pause of the others.
    private let gatherTime: UInt64
    /// How long a successor waits at its start for the readers of an undone turn, in milliseconds.
    private static let longestSettling = 500

    init(state: SharedState) throws(SystemError) {
        let workers = Int(state.sizes.workers)
        receivers = [.master, .logger] + (0..<workers).map { ProcessID.worker($0) }
        let poller = try Poller()
        try poller.add(ChildDescriptors.mailbox, token: UInt64(LocatorProcess.me.index))
        var mailboxes = PeerMailboxes(state: state, process: LocatorProcess.me)
        for process in receivers {
            try mailboxes.add(process, ChildDescriptors.mailbox(of: process), poller)
        }
        let snapshot = state.configuration.snapshot
        let store =
            snapshot.storeInMemory != 0
            ? LocationStore()
            : LocationStore(path: snapshot.stateDirectoryPath + "/" + LocatorMain.databaseName)
        gatherTime = UInt64(snapshot.longestPause) * 5
        FaultPoint.locatorAttached.pass(state.memory)
        var found = Turn.Recovery.clean
        service = LocationService(state: state, store: store, recovery: &found)
        recovery = found
        self.mailboxes = mailboxes
        log = LogWriter(state: state, process: LocatorProcess.me, level: snapshot.logLevel)
        self.state = state
        self.poller = poller
    }

    /// What a predecessor left, then turns without end.
    mutating func run() {
        recover()
        state.processes.setReady(true, LocatorProcess.me)
        FaultPoint.locatorReady.pass(state.memory)
        while true {
            let now = Clock.milliseconds()
            state.processes.beat(now, LocatorProcess.me)
            let wait = nextSweep > now ? Int32(min(nextSweep - now, LocatorProcess.sweepInterval)) : 0
            let events = poller.wait(milliseconds: wait)
            for event in 0..<events {
                let ready = poller.event(event)
                let process = ProcessID(rawValue: UInt8(ready.token))
                if process != LocatorProcess.me && ready.writable { resume(process) }
            }
            let woken = Clock.milliseconds()
            let received = MailReceiver.receiveClose(from: ChildDescriptors.mailbox, into: service.turn)
            FaultPoint.locatorReceived.pass(state.memory)
            if received > 0 { handleMail(received: received) }
            // With a full array there is more, which has waited already.
            if received > 0 && MailReceiver.hasRoom(behind: received) { gather(since: woken) }
            if Clock.milliseconds() >= nextSweep { handleTime() }
        }
    }

    /// Lets mail come in after a commit to disk.
    private func gather(since begin: UInt64) {
        let spent = Clock.milliseconds() &- begin
        if service.hasStored && spent < gatherTime {
            usleep(UInt32(gatherTime - spent) * 1000)
        }
    }

    /// Design §5.2: flush a committed turn again or take an uncommitted one back, fill the table, do what was
    /// in flight.
    private mutating func recover() {
        if recovery == .flush { flush() }
        FaultPoint.locatorRecovered.pass(state.memory)
        var waited = 0
        while !service.writer.isSettled() && waited < LocatorProcess.longestSettling {
            usleep(1000)
            waited += 1
        }
        open()
        FaultPoint.locatorOpened.pass(state.memory)
        handleMail(received: Turn.inFlightCapacity)
        nextSweep = Clock.milliseconds() + LocatorProcess.sweepInterval
    }

    // MARK: turns

    private mutating func handleMail(received: Int) {
        begin()
        while let mail = service.turn.next() {
            if service.isFilling {
                commit()
                begin()
            }
            let place = service.turn.consumedCount
            state.processes.setEvent(CurrentEvent.mail(place: place).rawValue, LocatorProcess.me)
            let isRefused = state.quarantine.isActive && isQuarantined(mail)
            if !service.handle(mail, isRefused: isRefused) {
                state.counters.add(.mailRepeated, LocatorProcess.me)
            }
            FaultPoint.locatorHandled.pass(state.memory)
        }
        commit()
        service.turn.clearInFlight(received: received)
    }

    /// Everything that happens once a second.
    private mutating func handleTime() {
        if !service.store.isConnected || !state.locations.isLoaded { open() }
        begin()
        service.sweep()
        FaultPoint.locatorSwept.pass(state.memory)
        commit()
        let pause = service.store.isConnected ? LocatorProcess.sweepInterval : LocatorProcess.connectInterval
        nextSweep = Clock.milliseconds() + pause
    }

    private mutating func begin() {
        state.processes.beginTurn(LocatorProcess.me)
        state.processes.beat(Clock.milliseconds(), LocatorProcess.me)
        service.begin(now: Clock.epochSeconds())
    }

    private mutating func commit() {
        // What follows is of no single event.
        state.processes.setEvent(0, LocatorProcess.me)
        service.settle()
        if let failure = service.lastFailure {
            complain(failure)
            service.lastFailure = nil
        } else if service.hasStored, storageRemarks.stored() {
            log.note(.storageAnswers, .notice, "registrations can be stored again")
        }
        if log.takeWake() {
            var mail = Mail(.logged)
            mail.sender = LocatorProcess.me
            _ = state.locatorRing(to: .logger).append(mail, undo: service.turn.undo)
        }
        FaultPoint.locatorSettled.pass(state.memory)
        service.turn.commit()
        flush()
        state.processes.endTurn(LocatorProcess.me)
        FaultPoint.locatorEnded.pass(state.memory)
    }

    /// Design §5.3: a REGISTER that has ended the locator twice is not handled again. Whoever sent it gets 500.
    private mutating func isQuarantined(_ mail: Mail) -> Bool {
        let strikes = state.quarantine.strikes(state.quarantine.hash(ofFields: mail))
        if strikes < Quarantine.limit { return false }
        state.counters.add(.quarantined, LocatorProcess.me)
        guard quarantineLimit.allows(now: Clock.milliseconds()) else { return true }
        var entry = log.begin(.quarantined, .error)
        entry.add(.message, "a registration has ended the locator twice, and is refused")
        // More often: perhaps because the message was to be shown here.
        if strikes == Quarantine.limit { service.describe(mail, in: &entry) }
        log.commit(entry)
        return true
    }

    // MARK: store

    /// Connects the store, and loads from it where the table is fresh. A failure is told; the loop tries
    /// again.
    private mutating func open() {
        do throws(StoreError) {
            try service.store.connect()
            let (loaded, left) = try service.load(now: Clock.epochSeconds())
            if loaded > 0 {
                log.note(.note, .info, "loaded \(loaded) \(loaded == 1 ? "registration" : "registrations")")
            }
            if left > 0 {
                log.note(
                    .limitReached, .warning, "\(left) stored registrations do not fit server.max-bindings")
            }
        } catch {
            service.store.disconnect()
            complain(error)
        }
    }

    private mutating func complain(_ failure: StoreError) {
        guard storageRemarks.failed(now: Clock.milliseconds()) else { return }
        log.note(.storageFailed, .error, "registrations are refused: \(failure)")
    }

    // MARK: sending

    private mutating func flush() {
        for process in receivers { flush(to: process) }
        service.turn.finish()
    }

    private mutating func flush(to receiver: ProcessID) {
        mailboxes.flush(state.locatorRing(to: receiver), to: receiver, poller)
    }

    private mutating func resume(_ receiver: ProcessID) {
        mailboxes.resume(state.locatorRing(to: receiver), to: receiver, poller)
    }
}
