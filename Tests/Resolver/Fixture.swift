import Platform
import SharedMemory
import SharedState

@testable import Resolver

/// A shared state and the resolver's service on it, without processes: the test plays worker 0, worker 1 and
/// master.
final class Fixture {
    let arena: Arena
    let state: SharedState
    var service: ResolverService
    private let servers: [any TestServer]
    private var sequence: UInt64 = 0
    private var read = InlineArray<68, UInt64>(repeating: 0)
    private var poller: Poller
    private var watched: Set<Int32> = []

    /// - Parameter servers: asked, and kept as long as this.
    init(_ servers: [any TestServer], timeout: Int = 300) throws {
        self.servers = servers
        let sizes = ArenaSizes(workers: 2, transactions: 100, bindings: 100)
        arena = try Arena(name: "resolver", size: SharedState.bytes(sizes))
        state = SharedState(memory: arena.memory, sizes: sizes)
        state.setHeader(ArenaHeader(layoutHash: SharedState.layoutHash, sizes: sizes))
        state.slots.initialize()
        try state.dns.initialize()
        var snapshot = ConfigurationSnapshot()
        snapshot.resolverTimeout = UInt32(timeout)
        snapshot.listenerCount = 2
        snapshot.listeners[0] = SocketAddress(ipv4: 0x7F00_0001, port: 5060)
        snapshot.listeners[1] = SocketAddress(host: "::1", port: 5060)!
        snapshot.transports[1] = .tcp
        precondition(state.publish(snapshot, []))
        let names = NameServers(servers.map(\.address), timeout: Int32(timeout))
        service = ResolverService(state: state, names: names, hosts: LocalHosts(path: "/nonexistent"))
        poller = try Poller()
    }

    /// Ends what c-ares still has.
    deinit { service.names.close() }

    // MARK: questions

    /// Stores a question in worker 0's shard; the mail that speaks of it.
    func question(_ kind: UInt8, _ host: String, third: UInt64 = 0) -> Mail {
        let shard = state.shard(0)
        let text = [kind] + Array(host.utf8)
        sequence += 1
        var mail = Mail(.resolve)
        mail.sender = .worker(0)
        mail.sequence = sequence
        mail.transaction = TransactionReference(worker: 0, cell: UInt32(sequence), generation: 1)
        mail.fork = 3
        mail.attempt = 4
        mail.third = third
        mail.first = shard.stored.store(text.span)!
        shard.undo.forget()
        return mail
    }

    @discardableResult
    func ask(_ kind: DNSQuestion.Kind, _ host: String, third: UInt64 = 0) -> Mail {
        let mail = question(kind.rawValue, host, third: third)
        service.take(mail, now: Clock.milliseconds())
        return mail
    }

    // MARK: answers

    /// Serves name servers until `isDone`, ten seconds at most; false where that came first.
    func serve(until isDone: (ResolverService) -> Bool) -> Bool {
        let end = Clock.milliseconds() + 10_000
        while true {
            service.advance(now: Clock.milliseconds())
            if isDone(service) { return true }
            if Clock.milliseconds() > end { return false }
            watch()
            let wait = min(service.names.patience ?? 20, 20)
            let events = poller.wait(milliseconds: wait)
            for index in 0..<events {
                let event = poller.event(index)
                service.names.process(
                    Int32(event.token), isReadable: event.readable || event.failed, isWritable: event.writable
                )
            }
            service.names.processTime()
        }
    }

    /// Serves until nothing is under way.
    func finish() -> Bool { serve { $0.underWay == 0 } }

    private func watch() {
        for change in service.names.takeSocketChanges() {
            if watched.remove(change.number) != nil { poller.remove(change.number) }
            var interest: Poller.Interest = []
            if change.isReadable { interest.insert(.readable) }
            if change.isWritable { interest.insert(.writable) }
            if interest.isEmpty { continue }
            if (try? poller.add(change.number, token: UInt64(change.number), interest)) != nil {
                watched.insert(change.number)
            }
        }
    }

    /// Mail to a process since the last time.
    func answers(to process: ProcessID = .worker(0)) -> [Mail] {
        let ring = state.resolverRing(to: process)
        let mails = (read[process.index]..<ring.tail).map { ring.mail($0) }
        read[process.index] = ring.tail
        return mails
    }

    /// Status and candidates of an answer in the cache.
    func cached(_ kind: DNSQuestion.Kind, _ host: String) -> [String]? {
        let name = Array(host.utf8)
        guard let answer = state.dns.find(kind, host: name.span, now: Clock.milliseconds()) else {
            return nil
        }
        return ["\(answer.status)"] + Outcome(answer: answer, ttl: 0).lines
    }

    /// Messages of log entries, in short: what is printable.
    func entries() -> [String] {
        var texts: [String] = []
        let ring = state.log(.resolver)
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        defer { unsafe buffer.deallocate() }
        while !ring.isEmpty {
            var writer = unsafe ByteWriter(unsafe: buffer, capacity: LogRing.maximumEntry)
            _ = ring.peek(into: &writer)
            var bytes: [UInt8] = []
            for index in 14..<writer.written.count { bytes.append(writer.written[index]) }
            texts.append(String(decoding: bytes, as: UTF8.self))
            ring.drop()
        }
        return texts
    }
}
