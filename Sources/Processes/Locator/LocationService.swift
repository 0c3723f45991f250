import Glibc
import Platform
import Registrar
import SharedMemory
import SharedState
import Syntax

/// What the locator does with REGISTER mail, without its sockets: rules, store, table, answers, one turn at a
/// time.
///
///     begin ─► register, register, … ─► settle ─────────────────────────────► commit ─► (flush) ─► finish
///              rules against published   SQLite commit, one fsync for all;    one store
///              or pending record;        publish; answers into the rings
///              draft; SQL statements
///
/// Nothing is published that is not durable: where the store fails, the drafts are thrown away and all whose
/// answer depended on them get 500. A turn abandoned anywhere is taken back and done again; rows written
/// twice are the same.
@safe struct LocationService: ~Copyable {
    let state: SharedState
    var turn: Turn
    var store: LocationStore
    var writer: LocationWriter
    /// Seconds since 1970, read once a turn.
    var now: UInt64 = 0
    /// What the store said when it last failed; for whoever logs it.
    var lastFailure: StoreError?
    /// True where the last turn has brought changes to the disk.
    private(set) var hasStored = false
    /// Where in the table the next sweep begins.
    var sweepPosition = 0
    /// Set when the store fails in this turn.
    private var failure: StoreError?
    private let seen: SeenMail
    private let limits: RegistrarLimits
    private let requests: [StoredMessages]
    private var pending: [PendingRecord] = []
    private var answers: [Answer] = []
    private var lastUpdate: UInt64 = 0
    /// The request, copied out of the worker's shard, and the texts that are made of it.
    private let requestBuffer: UnsafeMutableRawPointer
    private let aorBuffer: UnsafeMutableRawPointer
    private let pathBuffer: UnsafeMutableRawPointer
    private let userAgentBuffer: UnsafeMutableRawPointer

    /// Longest request that is looked at.
    private static let requestBytes = 65536

    /// A record that this turn changes.
    private struct PendingRecord {
        let hash: UInt64
        /// Stands for the address, whether published or not.
        var name: BindingSet
        /// Nil: the record goes.
        var draft: RecordDraft?
        var set: BindingSet?
    }

    private struct Answer {
        let mail: Mail
        var reason: RegisterReason
        /// Fails with the store.
        let needsStore: Bool
    }

    /// Takes over what a predecessor left; `recovery` says what that was. Flush before anything else where it
    /// is `.flush`.
    init(state: SharedState, store: consuming LocationStore, recovery: inout Turn.Recovery) {
        self.state = state
        var turn = Turn(memory: state.memory, at: state.locatorTurn)
        recovery = turn.recover()
        self.turn = turn
        self.store = store
        let workers = Int(state.sizes.workers)
        writer = LocationWriter(
            table: state.locations, undo: turn.undo, processes: state.processes, workers: workers)
        seen = state.locatorSeen(log: turn.undo)
        limits = RegistrarLimits(state.configuration.snapshot)
        requests = (0..<workers).map { state.shard($0).stored }
        unsafe requestBuffer = .allocate(byteCount: LocationService.requestBytes, alignment: 8)
        unsafe aorBuffer = .allocate(byteCount: Registrar.longestAddressOfRecord, alignment: 8)
        unsafe pathBuffer = .allocate(byteCount: Registrar.longestPath, alignment: 8)
        unsafe userAgentBuffer = .allocate(byteCount: Registrar.longestUserAgent, alignment: 8)
    }

    deinit {
        unsafe requestBuffer.deallocate()
        unsafe aorBuffer.deallocate()
        unsafe pathBuffer.deallocate()
        unsafe userAgentBuffer.deallocate()
    }

    // MARK: the turn

    /// - Parameter now: seconds since 1970.
    mutating func begin(now: UInt64) {
        self.now = now
        writer.reclaim()
    }

    /// True where the turn should be committed before more is handled.
    var isFilling: Bool { turn.isFilling }

    /// Handles one piece of mail, counted as consumed. False where it was handled before.
    ///
    /// - Parameter isRefused: answers 500, whatever it asks.
    mutating func handle(_ mail: Mail, isRefused: Bool = false) -> Bool {
        turn.consume()
        guard seen.isNew(mail) else { return false }
        if isRefused {
            answer(mail, .requestGone)
            return true
        }
        precondition(
            MailGraph.allows(mail.kind, from: mail.sender, to: .locator), "mail from the wrong process")
        register(mail)
        return true
    }

    /// Makes durable, publishes, answers. Then `turn.commit` is to follow, flush and `turn.finish`.
    mutating func settle() {
        hasStored = store.hasChanges
        FaultPoint.locatorStoring.pass(state.memory)
        if failure == nil {
            do throws(StoreError) { try store.commit() } catch { failure = error }
        }
        FaultPoint.locatorStored.pass(state.memory)
        let isDurable = failure == nil
        if !isDurable { hasStored = false }
        if let failure { giveUp(failure) }
        for record in pending {
            if let draft = record.draft, let set = record.set {
                if isDurable { writer.publish(set) } else { writer.discard(draft) }
            } else if isDurable {
                writer.remove(record.name.aor)
            }
            FaultPoint.locatorPublished.pass(state.memory)
        }
        pending.removeAll(keepingCapacity: true)
        for answer in answers { send(answer, isDurable: isDurable) }
        FaultPoint.locatorAnswered.pass(state.memory)
        answers.removeAll(keepingCapacity: true)
    }

    private mutating func giveUp(_ failure: StoreError) {
        store.rollback()
        // What time may mend by itself needs no new connection.
        if !failure.isPassing { store.disconnect() }
        lastFailure = failure
        self.failure = nil
    }

    private func send(_ answer: Answer, isDurable: Bool) {
        let reason = !isDurable && answer.needsStore ? .storageFailed : answer.reason
        var mail = Mail(.registered)
        mail.sender = .locator
        mail.transaction = answer.mail.transaction
        mail.status = reason.status
        mail.flags = UInt16(reason.rawValue)
        if !state.locatorRing(to: answer.mail.sender).append(mail, undo: turn.undo) {
            state.counters.add(.mailDropped, .locator)
        }
    }

    // MARK: REGISTER

    /// Copies the request that mail speaks of: its owner may end what it belongs to, and use the memory
    /// again, while the rules run. The number of bytes, nil where it was gone.
    private func copyRequest(_ mail: Mail) -> Int? {
        if let worker = mail.sender.workerIndex {
            guard worker < requests.count, requests[worker].isCurrent(mail.first) else { return nil }
            let place = requests[worker].locate(mail.first)
            let count = copy(place.offset, place.count)
            return requests[worker].isCurrent(mail.first) ? count : nil
        }
        let slot = SlotReference(rawValue: mail.second)
        guard state.slots.isHeld(slot, by: mail.sender) else { return nil }
        let count = copy(state.slots.bytesOffset(slot.index), state.slots.bytes(slot.index).count)
        return state.slots.isHeld(slot, by: mail.sender) ? count : nil
    }

    private func copy(_ offset: Int, _ length: Int) -> Int {
        let count = min(length, LocationService.requestBytes)
        unsafe requestBuffer.copyMemory(from: state.memory.address(offset, count: count), byteCount: count)
        Ordering.fullFence()
        return count
    }

    /// Adds the request that mail speaks of to a log entry, where it is still there.
    func describe(_ mail: Mail, in entry: inout LogEntry) {
        guard let count = copyRequest(mail) else { return }
        let bytes = unsafe Span<UInt8>(
            _unsafeStart: requestBuffer.assumingMemoryBound(to: UInt8.self), count: count)
        entry.add(.rawMessage) { MaskedMessage.write(bytes, to: &$0) }
    }

    private mutating func register(_ mail: Mail) {
        guard let count = copyRequest(mail) else { return answer(mail, .requestGone) }
        let bytes = unsafe Span<UInt8>(
            _unsafeStart: requestBuffer.assumingMemoryBound(to: UInt8.self), count: count)
        #if DEBUG
            FaultTrigger.locator.meet(bytes, state.memory)
        #endif
        var index = MessageIndex()
        guard Scanner.scan(bytes, into: &index) == .complete, index.method == .register else {
            return answer(mail, .requestGone)
        }
        let request = Message(bytes, index)
        var aor = unsafe ByteWriter(unsafe: aorBuffer, capacity: Registrar.longestAddressOfRecord)
        guard Registrar.writeAddressOfRecord(request, to: &aor) else { return answer(mail, .badTo) }
        var path = unsafe ByteWriter(unsafe: pathBuffer, capacity: Registrar.longestPath)
        let pathReason = Registrar.writePath(request, to: &path)
        guard pathReason == .accepted else { return answer(mail, pathReason) }
        var userAgent = unsafe ByteWriter(unsafe: userAgentBuffer, capacity: Registrar.longestUserAgent)
        Registrar.writeUserAgent(request, to: &userAgent)
        apply(
            mail, RegisterRequest(request, path: path.written, userAgent: userAgent.written), aor.written)
    }

    private mutating func answer(_ mail: Mail, _ reason: RegisterReason, needsStore: Bool = false) {
        answers.append(Answer(mail: mail, reason: reason, needsStore: needsStore))
    }

    private mutating func apply(_ mail: Mail, _ request: borrowing RegisterRequest, _ aor: Span<UInt8>) {
        let hash = state.locations.hash(aor)
        let known = pending.firstIndex { $0.hash == hash && $0.name.isOf(aor) }
        let set = known.map { pending[$0].set } ?? state.locations.find(aor)
        let outcome = Registrar.apply(request, to: set, now: now, limits: limits)
        guard outcome.isChange else {
            let isFutile = outcome.reason == .accepted && mail.flags == 1
            return answer(mail, isFutile ? .noSuchBinding : outcome.reason, needsStore: known != nil)
        }
        var draft: RecordDraft?
        if !outcome.entries.isEmpty {
            let size = size(of: outcome, set, request, aor)
            guard size <= LocationTable.largestBlock else { return answer(mail, .tooManyContacts) }
            draft = makeDraft(outcome, set, request, aor, size: size)
            guard draft != nil else { return answer(mail, .tableFull) }
        }
        if failure == nil {
            do throws(StoreError) { try write(outcome, set, request, aor) } catch { failure = error }
        }
        remember(draft, aor, hash, known)
        answer(mail, outcome.reason, needsStore: true)
    }

    private func size(
        of outcome: RegisterOutcome, _ set: BindingSet?, _ request: borrowing RegisterRequest,
        _ aor: Span<UInt8>
    ) -> Int {
        var size = 0
        for entry in outcome.entries {
            switch entry {
            case .kept(let index): size += set![index].size
            case .updated(let contact): size += request.binding(contact).size
            }
        }
        return RecordDraft.bytes(aor: aor.count, bindings: size)
    }

    private func makeDraft(
        _ outcome: RegisterOutcome, _ set: BindingSet?, _ request: borrowing RegisterRequest,
        _ aor: Span<UInt8>, size: Int
    ) -> RecordDraft? {
        let begun = writer.begin(aor, size: size, bindings: outcome.entries.count)
        guard var draft = begun else { return nil }
        for entry in outcome.entries {
            switch entry {
            case .kept(let index): draft.append(set![index])
            case .updated(let contact): draft.append(request.binding(contact))
            }
        }
        return draft
    }

    private mutating func write(
        _ outcome: RegisterOutcome, _ set: BindingSet?, _ request: borrowing RegisterRequest,
        _ aor: Span<UInt8>
    ) throws(StoreError) {
        for index in outcome.dropped { try store.delete(aor, uri: set![index].uri) }
        for entry in outcome.entries {
            guard case .updated(let contact) = entry else { continue }
            lastUpdate = max(lastUpdate + 1, LocationService.microseconds())
            try store.put(aor, request.binding(contact), updated: lastUpdate)
        }
    }

    private static func microseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1000
    }

    /// Keeps the new record of an address until the turn settles, in place of an earlier one of this turn.
    private mutating func remember(_ draft: RecordDraft?, _ aor: Span<UInt8>, _ hash: UInt64, _ known: Int?) {
        let published = state.locations.find(aor)
        let set = draft?.seal()
        if let known {
            if let earlier = pending[known].draft { writer.discard(earlier) }
            pending.remove(at: known)
        }
        if let name = set ?? published {
            pending.append(PendingRecord(hash: hash, name: name, draft: draft, set: set))
        }
    }

    // MARK: expiry

    /// A whole pass over the table takes this many sweeps, or one where it is small.
    private static let sweepsPerPass = 60
    private static let leastSwept = 1 << 18
    private static let mostExpired = 256

    /// Drops expired bindings from a part of the table and from the store; in a turn without mail. Nobody
    /// waits for this: expired bindings count nowhere.
    mutating func sweep() {
        guard store.isConnected else { return }
        var expired: [BindingSet] = []
        let bytes = max(state.locations.heapUsed / LocationService.sweepsPerPass, LocationService.leastSwept)
        let now = now
        state.locations.records(
            from: &sweepPosition, bytes: bytes, where: { $0.liveCount(now: now) < $0.count }
        ) { set in
            expired.append(set)
            return expired.count < LocationService.mostExpired
        }
        for set in expired {
            guard failure == nil else { break }
            dropExpired(set)
        }
    }

    private mutating func dropExpired(_ set: BindingSet) {
        let aor = set.aor
        var draft: RecordDraft?
        let live = set.liveCount(now: now)
        if live > 0 {
            var size = 0
            for binding in set where binding.expiresAt > now { size += binding.size }
            let begun = writer.begin(
                aor, size: RecordDraft.bytes(aor: aor.count, bindings: size), bindings: live)
            // No room for the smaller record: next time.
            guard var made = begun else { return }
            for binding in set where binding.expiresAt > now { made.append(binding) }
            draft = made
        }
        do throws(StoreError) {
            for binding in set where binding.expiresAt <= now { try store.delete(aor, uri: binding.uri) }
        } catch {
            failure = error
        }
        remember(draft, aor, state.locations.hash(aor), nil)
    }
}
