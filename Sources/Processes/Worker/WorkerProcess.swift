import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax
import Transaction
import Transport

/// The state of a worker besides its shard; everything that must survive it lies in shared memory.
///
/// Its methods are mutating, also those that change nothing: another one, called by a mutating one, is handed a copy
/// of these three kilobytes.
package struct WorkerProcess: ~Copyable {
    let state: SharedState
    let memory: Memory
    let shard: Shard
    let me: ProcessID
    let index: Int
    let workers: Int
    let keys: Keys
    let core: ProxyCore
    let settings: WorkerSettings
    let values: TimerValues
    var turn: Turn
    var log: LogWriter
    /// Milliseconds, read once a turn.
    var now: UInt64 = 0
    /// A test's time, which stands still; 0: the clock's.
    package var virtualTime: UInt64 = 0
    /// Mail to ourselves, handled before the turn commits: a fork in the same process takes the same path as
    /// one in another.
    var ownMail: [Mail] = []
    /// Where header lines are made before they are copied: Via, Record-Route, extra lines of an answer.
    var line: ByteWriter { core.line }
    var malformedLimit = RateLimit(perSecond: 5)
    var fullLimit = RateLimit(perSecond: 1)
    var unreachableLimit = RateLimit(perSecond: 5)
    var quarantineLimit = RateLimit(perSecond: 1)
    /// Messages without a transaction that wait for the resolver.
    var parked = 0
    private var nextOwnMail = 0
    /// The request that was stored or forked last: most forks begin in the turn in which theirs has come, and others
    /// of it beside them.
    var scanned = ScannedRequest()
    /// Requests that the kernel has refused to send; their forks hear of it in the next turn.
    private var unsent: [Mail] = []
    /// Where the next outgoing slot is looked for.
    var nextOutgoing = 0
    /// Outgoing slots that were taken since somebody looked how many are left.
    var posted = 0
    /// What others than the master have sent. It gathers what it sends; what they do comes between, and is gathered
    /// here.
    private var peerMail: UInt64 = 0
    private var gathering: Gathering
    /// The mailbox may hold more than the last receive took.
    private var isMore = false
    private let descriptors: WorkerDescriptors
    private let sender: DatagramSender
    private let trace: SentTrace
    private var mailboxes: PeerMailboxes
    private var poller: Poller
    /// Places of the in-flight array that the last receive may have filled.
    private(set) var received = 0

    package init(state: SharedState, index: Int, keys: Keys, descriptors: WorkerDescriptors)
        throws(SystemError)
    {
        self.state = state
        self.index = index
        self.keys = keys
        memory = state.memory
        me = .worker(index)
        workers = Int(state.sizes.workers)
        shard = state.shard(index)
        turn = Turn(memory: state.memory, at: shard.turn)
        core = ProxyCore(state, keys: keys)
        let snapshot = state.configuration.snapshot
        settings = WorkerSettings(snapshot)
        values = TimerValues(t1: snapshot.t1, t2: snapshot.t2, t4: snapshot.t4, c: snapshot.timerC)
        log = LogWriter(state: state, process: .worker(index), level: snapshot.logLevel)
        ownMail.reserveCapacity(4096)
        let poller = try Poller()
        try poller.add(descriptors.mailbox, token: UInt64(index + 4))
        var mailboxes = PeerMailboxes(state: state, process: .worker(index))
        for peer in [.master, .locator, .resolver, .logger] + (0..<workers).map({ ProcessID.worker($0) })
        where peer.index != index + 4 && descriptors.peers[peer.index] >= 0 {
            try mailboxes.add(peer, descriptors.peers[peer.index], poller)
        }
        gathering = Gathering(longest: snapshot.longestPause)
        self.descriptors = descriptors
        sender = DatagramSender(memory: state.memory, sockets: descriptors.sockets)
        trace = SentTrace(state, .worker(index))
        self.mailboxes = mailboxes
        self.poller = poller
    }

    /// The loop: what a predecessor left, then turns, in practice without end.
    mutating func run(turns: Int = .max) {
        // Counted, for tests that want so many turns.
        let taken = recover()
        state.processes.setReady(true, me)
        FaultPoint.workerReady.pass(memory)
        for _ in 0..<max(turns - taken, 0) {
            let pause = gathering.pause(arrived: peerMail, now: Clock.microseconds())
            if pause > 0 && !isMore { usleep(pause) }
            let wait = unsent.isEmpty ? shard.wheel.wait(now: Clock.milliseconds()) : 0
            let events = poller.wait(milliseconds: wait)
            FaultPoint.workerWoken.pass(memory)
            for event in 0..<events {
                let ready = poller.event(event)
                let process = ProcessID(rawValue: UInt8(ready.token))
                if process != me && ready.writable { resume(process) }
            }
            if hasRoomToSend() {
                receive()
            } else {
                // The master, which never waits for a worker, tells nobody when it has sent.
                usleep(200)
            }
            handleTurn()
        }
    }

    /// Takes what has arrived into the in-flight array.
    package mutating func receive() {
        received = MailReceiver.receive(from: descriptors.mailbox, into: turn)
        isMore = !MailReceiver.hasRoom(behind: received)
        FaultPoint.workerReceived.pass(memory)
    }

    /// Takes over the predecessor's turn: flushes a committed one again, or takes back an uncommitted one.
    mutating func recoverTurn() {
        now = time()
        FaultPoint.workerAttached.pass(memory)
        let found = turn.recover()
        FaultPoint.workerRecovered.pass(memory)
        received = Turn.inFlightCapacity
        if found == .flush { flush() }
    }

    /// One or more turns: handles what is in flight and what is due.
    ///
    /// - Parameter expires: false where timers are to wait for mail that is there.
    package mutating func handleTurn(expires: Bool = true) {
        work(expires: expires)
        FaultPoint.workerWorked.pass(memory)
        commit()
        if received > 0 { turn.clearInFlight(received: received) }
        received = 0
    }

    /// All of a turn but its commit; commits before that whenever the logs fill.
    mutating func work(expires: Bool = true) {
        begin()
        if !unsent.isEmpty { takeUnsent() }
        while let next = turn.next() {
            if turn.isFilling {
                commit()
                begin()
            }
            state.processes.setEvent(CurrentEvent.mail(place: turn.consumedCount).rawValue, me)
            turn.consume()
            if shard.seen.isNew(next) {
                precondition(
                    MailGraph.allows(next.kind, from: next.sender, to: me), "mail from the wrong process")
                if state.quarantine.isActive && isQuarantined(next) { continue }
                if next.sender != .master { peerMail &+= 1 }
                handle(next)
                handleOwnMail()
                FaultPoint.workerHandled.pass(memory)
            } else {
                state.counters.add(.mailRepeated, me)
            }
        }
        while expires {
            let due = shard.wheel.expire(now: now)
            if due == 0 { break }
            if turn.isFilling {
                // The record was taken out of the wheel in this turn: put it back before that is final.
                shard.wheel.schedule(due, due: now)
                commit()
                begin()
                continue
            }
            let generation: UInt32 = memory.load(shard.table.offset(due))
            state.processes.setEvent(CurrentEvent.timer(cell: due, generation: generation).rawValue, me)
            // It is out of the wheel, and stays out.
            if state.quarantine.isActive && isQuarantined(timerOf: due, generation) { continue }
            #if DEBUG
                meetTrigger(timerOf: due)
            #endif
            expire(due)
            handleOwnMail()
            FaultPoint.workerExpired.pass(memory)
        }
    }

    private mutating func takeUnsent() {
        // Each commit may add to the list anew.
        let failures = unsent
        unsent = []
        for failure in failures {
            if turn.isFilling {
                commit()
                begin()
            }
            takeSendFailed(failure)
            handleOwnMail()
        }
    }

    private mutating func time() -> UInt64 { virtualTime == 0 ? Clock.milliseconds() : virtualTime }

    mutating func begin() {
        now = time()
        state.processes.beginTurn(me)
        state.processes.beat(now, me)
        shard.recycle()
        FaultPoint.workerBegun.pass(memory)
    }

    mutating func commit() {
        state.processes.setEvent(0, me)
        if log.takeWake() { send(Mail(.logged), to: .logger) }
        turn.commit()
        flush()
        FaultPoint.workerFlushed.pass(memory)
        state.processes.endTurn(me)
        FaultPoint.workerEnded.pass(memory)
    }

    /// Sends what the committed turn left in the outbox and the rings, then gives the slots back.
    private mutating func flush() {
        let entries = turn.entryCount
        if entries > 0 {
            // Before it leaves, or its answer would seem to have come first.
            let time = trace.isOn ? Clock.epochMicroseconds() : 0
            let result = sender.flush(
                turn, count: entries, isWatched: trace.isOn, &unsent, &log,
                onFailure: { failures, entry, code in
                    if entry.transaction.isNone { return }
                    var failure = WorkerProcess.failure(of: entry)
                    failure.status = UInt16(truncatingIfNeeded: code)
                    failures.append(failure)
                }, onEnd: { [trace] log, entry, code in trace.note(entry, code, time, &log) })
            state.counters.add(.messagesSent, me, UInt64(result.sent))
            if result.failed > 0 { state.counters.add(.sendErrors, me, UInt64(result.failed)) }
            FaultPoint.outboxSent.pass(memory)
            turn.forgetOutbox()
        }
        // After the commit: should this process end before the flush does, its successor finds the mail all
        // the same.
        if log.takeWake() { send(Mail(.logged), to: .logger) }
        FaultPoint.loggerTold.pass(memory)
        flushRing(.master)
        flushRing(.locator)
        flushRing(.resolver)
        flushRing(.logger)
        for worker in 0..<workers where worker != index { flushRing(.worker(worker)) }
        // Slots that were handed on have another owner by now, and stay.
        for place in 0..<turn.consumedCount {
            let slot = turn.mail(place).slot
            if !slot.isNone { state.slots.release(slot, by: me) }
        }
        turn.finish()
    }

    private mutating func flushRing(_ receiver: ProcessID) {
        mailboxes.flush(shard.ring(to: receiver), to: receiver, poller)
    }

    private mutating func resume(_ receiver: ProcessID) {
        mailboxes.resume(shard.ring(to: receiver), to: receiver, poller)
    }

    // MARK: mail

    /// Appends mail to another process, or to ourselves, which is handled in this turn. False where the
    /// receiver has not read for so long that there is no more room: it is dropped and counted.
    @discardableResult
    mutating func send(_ message: Mail, to receiver: ProcessID) -> Bool {
        if receiver == me {
            ownMail.append(message)
            return true
        }
        var copy = message
        copy.sender = me
        if shard.ring(to: receiver).append(copy, undo: turn.undo) { return true }
        state.counters.add(.mailDropped, me)
        return false
    }

    private mutating func handleOwnMail() {
        while nextOwnMail < ownMail.count {
            let next = ownMail[nextOwnMail]
            nextOwnMail += 1
            handle(next)
        }
        ownMail.removeAll(keepingCapacity: true)
        nextOwnMail = 0
    }

    /// Everything that others may ask of a worker.
    private mutating func handle(_ mail: Mail) {
        switch mail.kind {
        case .request: receiveRequest(mail)
        case .response: receiveResponse(mail)
        case .forkStart: startFork(mail)
        case .forkCancel: cancelFork(mail)
        case .forkResponse: takeForkResponse(mail)
        case .forkDone: takeForkDone(mail)
        case .registered: takeRegistered(mail)
        case .sendFailed: takeSendFailed(mail)
        case .resolved: takeResolved(mail)
        case .none, .register, .logged, .send, .resolve: break
        }
    }

    private mutating func expire(_ cell: UInt32) {
        switch shard.table.header(cell).kind {
        case RecordKind.server: expireServer(cell)
        case RecordKind.fork, RecordKind.cancel: expireFork(cell)
        case RecordKind.waiting: expireWaiting(cell)
        default: preconditionFailure("a free record in the timer wheel")
        }
    }

    /// The bytes and index of a message in a slot.
    @_lifetime(immortal)
    mutating func message(in slot: SlotReference) -> Message {
        Message(state.slots.bytes(slot.index), memory.load(state.slots.indexOffset(slot.index)))
    }
}

/// A request that a worker has stored, and its index, which need not be made again as long as it is current.
struct ScannedRequest: BitwiseCopyable {
    private var reference = StoredReference.none
    private var worker = 0
    private var count = 0
    private(set) var index = MessageIndex()

    init() {}

    init(_ reference: StoredReference, by worker: Int, count: Int, _ index: MessageIndex) {
        self.reference = reference
        self.worker = worker
        self.count = count
        self.index = index
    }

    /// - Parameter count: of the bytes that the index is to be used with.
    func isOf(_ reference: StoredReference, by worker: Int, count: Int) -> Bool {
        reference == self.reference && worker == self.worker && count == self.count
    }
}
