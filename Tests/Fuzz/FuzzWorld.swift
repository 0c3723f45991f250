// Two workers in one process for libFuzzer targets, with what surrounds them: memory, mailboxes, a master
// that hands out messages. It is compiled as part of the worker's module. Nothing leaves: there is no socket
// to send with.
import Glibc
import Mailbox
import Platform
import Proxy
import Registrar
import SharedMemory
import SharedState
import Syntax

/// A worker that an array can hold.
final class Seat {
    var worker: WorkerProcess
    init(_ worker: consuming WorkerProcess) { self.worker = worker }
}

/// Lives as long as the process; `reset` makes its memory fresh for the next input.
final class FuzzWorld {
    static let workers = 2
    static let start: UInt64 = 1_000_000

    let state: SharedState
    let keys: Keys
    private(set) var now = FuzzWorld.start
    private let arena: Arena
    private let keyArena: Arena
    private let sizes = ArenaSizes(workers: FuzzWorld.workers, transactions: 100, bindings: 100)
    private var boxes: [ProcessID: (reading: Int32, writing: Int32)] = [:]
    private var seats: [Seat] = []

    init() throws {
        arena = try Arena(name: "fuzz", size: SharedState.bytes(sizes))
        keyArena = try Arena(name: "fuzz-keys", size: Keys.bytes)
        for word in 0..<6 { keyArena.memory.store(UInt64(word) &* 0x9E37_79B9_7F4A_7C15, at: word * 8) }
        keys = Keys(memory: keyArena.memory)
        state = SharedState(memory: arena.memory, sizes: sizes)
        for process in ProcessID.all(workers: FuzzWorld.workers) { boxes[process] = try Mailbox().takeEnds() }
        prepare()
        for index in 0..<FuzzWorld.workers {
            let worker = try WorkerProcess(
                state: state, index: index, keys: keys, descriptors: descriptors(index))
            seats.append(Seat(worker))
        }
    }

    private func descriptors(_ index: Int) -> WorkerDescriptors {
        var descriptors = WorkerDescriptors(
            mailbox: boxes[.worker(index)]!.reading, peers: .init(repeating: -1),
            sockets: .init(repeating: -1))
        for (process, ends) in boxes { descriptors.peers[process.index] = ends.writing }
        return descriptors
    }

    /// As a master does with fresh memory.
    private func prepare() {
        state.setHeader(ArenaHeader(layoutHash: StateLayout.hash, sizes: sizes))
        state.slots.initialize()
        try! state.locations.initialize()
        try! state.dns.initialize()
        var snapshot = ConfigurationSnapshot()
        snapshot.workers = UInt32(FuzzWorld.workers)
        snapshot.listenerCount = 2
        for listener in 0..<2 {
            snapshot.listeners[listener] = SocketAddress(ipv4: 0x7F00_0001, port: 5060)
            snapshot.advertised[listener] = snapshot.listeners[listener]
        }
        snapshot.transports[1] = .tcp
        snapshot.transactionsPerWorker = 50
        snapshot.t1 = 500
        snapshot.maxBreadth = 60
        snapshot.recurse = 1
        _ = snapshot.addDomain("example.org")
        snapshot.networks[0] = SocketAddress(ipv4: 0x7F00_0000, port: 0)
        snapshot.networkPrefixes[0] = 8
        snapshot.networkCount = 1
        precondition(state.publish(snapshot, []))
        for index in 0..<FuzzWorld.workers { state.shard(index).initialize(now: FuzzWorld.start) }
        register("u1@example.org", ["sip:a@127.0.0.2:5070", "sip:b@127.0.0.3:5070;transport=tcp"])
        register("u2@example.org", ["sip:c@gw.example.net", "sip:u1@example.org"])
    }

    private func register(_ aor: String, _ contacts: [String]) {
        let undo = Turn(memory: state.memory, at: state.locatorTurn).undo
        var writer = LocationWriter(
            table: state.locations, undo: undo, processes: state.processes, workers: FuzzWorld.workers)
        precondition(writer.isSettled())
        let name = Array(aor.utf8)
        let id = Array("r@h".utf8)
        let size = contacts.map { BindingFields.bytes(texts: $0.utf8.count + id.count) }.reduce(0, +)
        var draft = writer.begin(
            name.span, size: RecordDraft.bytes(aor: name.count, bindings: size), bindings: contacts.count)!
        for contact in contacts {
            let uri = Array(contact.utf8)
            draft.append(BindingFields(uri: uri.span, callID: id.span, expiresAt: .max, q: 1000, cseq: 1))
        }
        writer.publish(draft.seal())
        undo.forget()
    }

    /// What the last input has left is gone: pages that were touched are given back, and come again as zeros.
    func reset() {
        // Nobody may be in the middle of anything.
        for _ in 0..<3 { turns() }
        now = FuzzWorld.start
        let size = state.memory.size
        let result = unsafe madvise(state.memory.address(0, count: size), size, MADV_REMOVE)
        precondition(result == 0, "memory cannot be given back")
        for (_, ends) in boxes { while take(ends.reading) > 0 {} }
        prepare()
    }

    private func take(_ mailbox: Int32) -> Int {
        var bytes = InlineArray<2048, UInt8>(repeating: 0)
        var span = bytes.mutableSpan
        return unsafe span.withUnsafeMutableBytes {
            unsafe recv(mailbox, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT))
        }
    }

    // MARK: what happens

    func turn(_ index: Int) {
        seats[index].worker.virtualTime = now
        seats[index].worker.receive()
        seats[index].worker.handleTurn()
    }

    func turns() { for index in seats.indices { turn(index) } }

    /// Time goes by, and each timer is met at its time, but for a worker that is late.
    func wait(_ milliseconds: UInt64) {
        let end = now + milliseconds
        for _ in 0..<200 {
            let waits = seats.indices.map { state.shard($0).wheel.wait(now: now) }.filter { $0 >= 0 }
            guard let next = waits.min(), now + UInt64(next) <= end else { break }
            now += UInt64(max(next, 1))
            turns()
        }
        now = max(now, end)
        turns()
    }

    /// Everybody's timers run off; false where something is left after that.
    func end() -> Bool {
        wait(400_000)
        wait(400_000)
        for index in seats.indices {
            let shard = state.shard(index)
            guard shard.serverTransactions == 0, shard.table.pool.inUse == 0, shard.stored.inUse == 0,
                shard.wheel.isEmpty, shard.stored.isConsistent, shard.table.pool.isConsistent
            else { return false }
        }
        return true
    }

    /// A message that the master has received, scanned, and hands to a worker; nil where it is no SIP.
    ///
    /// - Parameter change: makes of the mail what the input says.
    func deliver(
        _ bytes: Span<UInt8>, to worker: Int, byStream: Bool = false,
        _ change: (inout Mail) -> Void = { _ in }
    ) {
        guard bytes.count <= Slots.largeCapacity,
            let free = (0..<state.slots.incomingCount).first(where: {
                state.slots.isFree($0) && state.slots.capacity($0) >= bytes.count
            })
        else { return }
        let slot = state.slots.take(free)
        var writer = state.memory.writer(
            state.slots.bytesOffset(slot.index), capacity: state.slots.capacity(slot.index))
        writer.append(bytes)
        var header = SlotHeader()
        header.length = UInt32(bytes.count)
        header.endpoint = Endpoint(
            byStream ? .tcp : .udp, SocketAddress(ipv4: 0x7F00_0002, port: 5070), listener: byStream ? 1 : 0)
        if byStream { header.endpoint.connection = ConnectionReference(index: 1, generation: 1) }
        state.slots.setHeader(header, slot.index)
        var index = MessageIndex()
        let result = Scanner.scan(state.slots.bytes(slot.index), into: &index)
        if result == .notSIP || result != .complete && !index.isRequest {
            return state.slots.release(slot, by: .master)
        }
        if case .faulty(let fault) = result {
            header.fault = fault.rawValue + 1
            state.slots.setHeader(header, slot.index)
        }
        state.memory.store(index, at: state.slots.indexOffset(slot.index))
        var mail = Mail(index.isRequest ? .request : .response)
        mail.slot = slot
        if !index.isRequest, let branch = Branch(Message(state.slots.bytes(slot.index), index).branch) {
            (mail.transaction, mail.fork, mail.attempt) = (branch.transaction, branch.fork, branch.attempt)
        }
        change(&mail)
        post(mail, from: .master, to: worker)
    }

    /// Mail of another process, as its sender appends and sends it.
    func post(_ mail: Mail, from sender: ProcessID, to worker: Int) {
        precondition(MailGraph.allows(mail.kind, from: sender, to: .worker(worker)))
        let receiver = ProcessID.worker(worker)
        let ring: MailRing =
            switch sender {
            case .master: state.masterRing(to: receiver)
            case .locator: state.locatorRing(to: receiver)
            case .resolver: state.resolverRing(to: receiver)
            default: state.shard(sender.workerIndex!).ring(to: receiver)
            }
        var copy = mail
        copy.sender = sender
        guard ring.append(copy) else { return }
        _ = MailSender(state: state, process: sender).flush(
            ring, to: receiver, descriptor: boxes[receiver]!.writing)
    }

    /// Whether the master has got a message from a worker; its slot is free again.
    func masterTakes() {
        var bytes = InlineArray<32, Mail>(repeating: Mail())
        while true {
            var span = bytes.mutableSpan
            let count = unsafe span.withUnsafeMutableBytes {
                unsafe recv(boxes[.master]!.reading, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT))
            }
            if count <= 0 { return }
            for place in 0..<count / Mail.bytes where !bytes[place].slot.isNone {
                state.slots.release(bytes[place].slot, by: .master)
            }
        }
    }
}
