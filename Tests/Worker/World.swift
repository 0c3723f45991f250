import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax

@testable import Worker

/// A worker's surroundings in one process: arena, keys, mailboxes, one listener, and what a master does.
final class World {
    let state: SharedState
    let keys: Keys
    private let arena: Arena
    private let keyArena: Arena
    /// Writing end of each worker's mailbox, and of logger and locator.
    private var boxes: [ProcessID: (reading: Int32, writing: Int32)] = [:]
    private let listener: Int32
    let listenerAddress: SocketAddress
    private let ownsListener: Bool
    var secondListener: Int32 = -1

    init(
        workers: Int = 2, maxTransactions: Int = 1000, t1: UInt32 = 500, maxBreadth: UInt32 = 60,
        routes: [RouteDraft] = [], fixture: WorldFixture? = nil,
        adjust: (inout ConfigurationSnapshot) -> Void = { _ in }
    ) throws {
        let sizes = ArenaSizes(workers: workers, transactions: maxTransactions, bindings: 100)
        arena = try Arena(name: "world", size: SharedState.bytes(sizes))
        keyArena = try Arena(name: "world-keys", size: Keys.bytes)
        if fixture == nil {
            try Keys.generate(in: keyArena.memory)
        } else {
            for word in 0..<6 { keyArena.memory.store(UInt64(word) &* 0x9E37_79B9_7F4A_7C15, at: word * 8) }
        }
        keys = Keys(memory: keyArena.memory)
        state = SharedState(memory: arena.memory, sizes: sizes)
        state.setHeader(ArenaHeader(layoutHash: StateLayout.hash, sizes: sizes))
        state.slots.initialize()
        try state.locations.initialize()
        let socket = fixture.map { ($0.listener, $0.address) } ?? World.socket()
        (listener, listenerAddress) = socket
        ownsListener = fixture == nil
        var snapshot = ConfigurationSnapshot()
        snapshot.workers = UInt32(workers)
        snapshot.listenerCount = 1
        snapshot.listeners[0] = listenerAddress
        snapshot.advertised[0] = listenerAddress
        snapshot.transactionsPerWorker = UInt64(maxTransactions / workers)
        snapshot.t1 = t1
        snapshot.maxBreadth = maxBreadth
        _ = snapshot.addDomain("example.org")
        snapshot.networks[0] = SocketAddress(ipv4: 0x7F00_0000, port: 0)
        snapshot.networkPrefixes[0] = 8
        snapshot.networkCount = 1
        adjust(&snapshot)
        precondition(state.publish(snapshot, routes))
        let now = fixture?.now ?? Clock.milliseconds()
        for index in 0..<workers { state.shard(index).initialize(now: now) }
        for process in [.logger, .locator, .resolver, .master] + (0..<workers).map({ ProcessID.worker($0) }) {
            boxes[process] = try Mailbox().takeEnds()
        }
    }

    deinit {
        for (_, ends) in boxes {
            close(ends.reading)
            close(ends.writing)
        }
        if ownsListener { close(listener) }
    }

    /// A UDP socket on a free port of loopback, with a receive timeout.
    static func socket() -> (number: Int32, address: SocketAddress) {
        let number = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var address = SocketAddress(ipv4: 0x7F00_0001, port: 0)
        _ = unsafe withUnsafeBytes(of: &address) {
            unsafe bind(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), 16)
        }
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            _ = unsafe getsockname(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
        }
        var limit = timeval(tv_sec: 0, tv_usec: 300_000)
        unsafe setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return (number, SocketAddress(storage))
    }

    func worker(_ index: Int) throws -> WorkerProcess {
        try WorkerProcess(state: state, index: index, keys: keys, descriptors: descriptors(of: index))
    }

    func descriptors(of index: Int) -> WorkerDescriptors {
        var descriptors = WorkerDescriptors(
            mailbox: boxes[.worker(index)]!.reading, peers: .init(repeating: -1),
            sockets: .init(repeating: -1))
        for (process, ends) in boxes { descriptors.peers[process.index] = ends.writing }
        descriptors.sockets[0] = listener
        descriptors.sockets[1] = secondListener
        return descriptors
    }

    /// Reading end of a mailbox.
    func mailbox(of process: ProcessID) -> Int32 { boxes[process]!.reading }

    /// A message that worker 0 keeps and that contains `text`.
    func storedText(containing text: String) -> String? {
        let stored = state.shard(0).stored
        for sizeClass in 0..<10 {
            for cell in UInt32(1)..<8 {
                let bytes = stored.bytes(StoredReference(sizeClass: sizeClass, cell: cell, generation: 0))
                let found = String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
                if found.contains(text) { return found }
            }
        }
        return nil
    }

    /// The next datagram that the worker has sent to its own listener; nil where there is none.
    func hearOurselves() -> String? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe buffer.withUnsafeMutableBytes {
            unsafe recv(listener, $0.baseAddress!, $0.count, 0)
        }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// What a worker has sent to another process so far, oldest first.
    func sent(by worker: Int = 0, to receiver: ProcessID) -> [Mail] {
        let ring = state.shard(worker).ring(to: receiver)
        return (0..<ring.tail).map { ring.mail($0) }
    }

    /// The message in a slot.
    func text(in slot: SlotReference) -> String {
        let bytes = state.slots.bytes(slot.index)
        return String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }

    /// What the master does with a datagram: slot, scan, mail to `worker`.
    func deliver(_ text: String, from peer: SocketAddress, to worker: Int) {
        var endpoint = Endpoint()
        endpoint.peer = peer
        deliver(text, from: endpoint, to: worker)
    }

    /// The same with what comes by whichever transport.
    func deliver(_ text: String, from endpoint: Endpoint, to worker: Int) {
        let bytes = Array(text.utf8)
        let free = (0..<state.slots.incomingCount).first {
            state.slots.isFree($0) && state.slots.capacity($0) >= bytes.count
        }!
        let slot = state.slots.take(free)
        var writer = state.memory.writer(
            state.slots.bytesOffset(slot.index), capacity: state.slots.capacity(slot.index))
        writer.append(bytes.span)
        var header = SlotHeader()
        header.length = UInt32(bytes.count)
        header.endpoint = endpoint
        state.slots.setHeader(header, slot.index)
        var index = MessageIndex()
        if case .faulty(let fault) = Scanner.scan(state.slots.bytes(slot.index), into: &index) {
            header.fault = fault.rawValue + 1
        }
        state.slots.setHeader(header, slot.index)
        state.memory.store(index, at: state.slots.indexOffset(slot.index))
        var mail = Mail(index.isRequest ? .request : .response)
        mail.slot = slot
        if !index.isRequest, let branch = Branch(Message(state.slots.bytes(slot.index), index).branch) {
            mail.transaction = branch.transaction
            mail.fork = branch.fork
            mail.attempt = branch.attempt
        }
        post(mail, from: .master, ring: state.masterRing(to: .worker(worker)), to: worker)
    }

    /// What another worker sends.
    func deliver(_ mail: Mail, fromWorker sender: Int, to worker: Int) {
        var copy = mail
        copy.sender = .worker(sender)
        post(copy, from: .worker(sender), ring: state.shard(sender).ring(to: .worker(worker)), to: worker)
    }

    /// What the master tells of a message that it was to send.
    func fail(_ sending: Mail, by worker: Int = 0) {
        var mail = sending
        mail.rawKind = Mail.Kind.sendFailed.rawValue
        mail.slot = .none
        mail.status = UInt16(ECONNREFUSED)
        mail.sender = .master
        post(mail, from: .master, ring: state.masterRing(to: .worker(worker)), to: worker)
    }

    /// What the resolver tells of a question.
    func resolve(_ question: Mail, by worker: Int = 0) {
        var mail = Mail(.resolved)
        (mail.transaction, mail.fork, mail.attempt) = (question.transaction, question.fork, question.attempt)
        (mail.third, mail.sender) = (question.third, .resolver)
        post(mail, from: .resolver, ring: state.resolverRing(to: .worker(worker)), to: worker)
    }

    /// What the locator says of a REGISTER.
    func answer(_ question: Mail, status: UInt16, by worker: Int) {
        var mail = Mail(.registered)
        (mail.transaction, mail.status, mail.sender) = (question.transaction, status, .locator)
        post(mail, from: .locator, ring: state.locatorRing(to: .worker(worker)), to: worker)
    }

    /// What the resolver keeps: candidates, each a server of its own, the first of them preferred.
    func know(
        _ host: String, _ places: [(SIPTransport, SocketAddress)], kind: DNSQuestion.Kind = .naptr,
        status: DNSAnswer.Status = .found, for milliseconds: UInt64 = 60_000,
        at now: UInt64 = Clock.milliseconds()
    ) {
        var answer = DNSAnswer(status)
        for (transport, address) in places {
            var candidate = DNSCandidate()
            (candidate.transport, candidate.address) = (transport, address)
            (candidate.rank, candidate.server) = (UInt16(answer.count), UInt16(answer.count))
            answer.candidates[answer.count] = candidate
            answer.count += 1
        }
        let name = Array(host.utf8)
        state.dns.store(answer, to: kind, host: name.span, now: now, expires: now + milliseconds)
    }

    private func post(_ mail: Mail, from sender: ProcessID, ring: MailRing, to worker: Int) {
        precondition(ring.append(mail))
        let sender = MailSender(state: state, process: sender)
        precondition(sender.flush(ring, to: .worker(worker), descriptor: boxes[.worker(worker)]!.writing))
    }

    /// Mail of worker 0 to a process that reads none of it, until mailbox and ring are full.
    func fill(_ receiver: ProcessID, by worker: inout WorkerProcess) {
        let ring = state.shard(0).ring(to: receiver)
        var junk = Mail(receiver == .locator ? .register : .forkCancel)
        junk.sender = .worker(0)
        while ring.append(junk) {
            while ring.append(junk) {}
            worker.run(turns: 0)
        }
    }

    /// Bindings of an address of record, oldest first, as the locator publishes them.
    func register(_ aor: String, _ contacts: [String]) {
        let undo = Turn(memory: state.memory, at: state.locatorTurn).undo
        var writer = LocationWriter(
            table: state.locations, undo: undo, processes: state.processes, workers: Int(state.sizes.workers))
        precondition(writer.isSettled())
        let name = Array(aor.utf8)
        let id = Array("r@h".utf8)
        let sizes = contacts.map { BindingFields.bytes(texts: $0.utf8.count + id.count) }
        let size = RecordDraft.bytes(aor: name.count, bindings: sizes.reduce(0, +))
        var draft = writer.begin(name.span, size: size, bindings: contacts.count)!
        for contact in contacts {
            let uri = Array(contact.utf8)
            draft.append(BindingFields(uri: uri.span, callID: id.span, expiresAt: .max, q: 1000, cseq: 1))
        }
        writer.publish(draft.seal())
        undo.forget()
    }
}

/// What two worlds share that are to send the very same bytes: listener, keys, and when they begin.
struct WorldFixture {
    let listener: Int32
    let address: SocketAddress
    let now: UInt64
}

/// A phone: a socket that says and hears text.
final class Phone {
    let number: Int32
    let address: SocketAddress

    init() { (number, address) = World.socket() }
    deinit { close(number) }

    /// The next datagram, nil where none comes within the socket's timeout.
    func hear() -> String? {
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(number, $0.baseAddress!, $0.count, 0) }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// True where nothing has come up to now.
    var isSilent: Bool {
        var byte: UInt8 = 0
        return unsafe recv(number, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) < 0
    }
}

/// A request of `phone` to `uri`.
func request(
    _ method: String, _ uri: String, from phone: Phone, branch: String, callID: String = "call-1",
    cseq: Int = 1,
    extra: String = "", toTag: String? = nil, body: String = ""
) -> String {
    """
    \(method) \(uri) SIP/2.0\r
    Via: SIP/2.0/UDP \(phone.address.text);branch=z9hG4bK\(branch)\r
    \(extra)From: <sip:alice@example.org>;tag=a1\r
    To: <sip:bob@example.org>\(toTag.map { ";tag=\($0)" } ?? "")\r
    Call-ID: \(callID)\r
    CSeq: \(cseq) \(method)\r
    Max-Forwards: 70\r
    Content-Length: \(body.utf8.count)\r
    \r

    """ + body
}

/// The answer of a phone to `request`.
func response(_ status: Int, to request: String) -> String {
    var lines = ["SIP/2.0 \(status) Whatever"]
    for line in request.split(separator: "\r\n") {
        let name = line.prefix(while: { $0 != ":" }).lowercased()
        if ["via", "from", "call-id", "cseq", "record-route"].contains(name) { lines.append(String(line)) }
        if name == "to" { lines.append(line.contains("tag=") ? String(line) : line + ";tag=b1") }
    }
    lines.append("Content-Length: 0")
    return lines.joined(separator: "\r\n") + "\r\n\r\n"
}
