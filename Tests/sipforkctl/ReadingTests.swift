import Glibc
import Platform
import Proxy
import SharedMemory
import SharedState
import Testing
import Transaction

@testable import sipforkctl

/// Views read from an arena as a master and its workers leave it.
struct ReadingTests {
    static func arena(workers: Int = 3) throws -> SharedState {
        let sizes = ArenaSizes(workers: workers, transactions: 300, bindings: 100)
        let state = SharedState(
            memory: try Arena(name: "test", size: SharedState.bytes(sizes)).memory, sizes: sizes)
        var header = ArenaHeader(layoutHash: StateLayout.hash, sizes: sizes)
        header.startedAt = Clock.milliseconds() - 10_000
        state.setHeader(header)
        state.slots.initialize()
        try state.locations.initialize()
        for worker in 0..<workers { state.shard(worker).initialize(now: 0) }
        return state
    }

    @Test func readsStatus() throws {
        let state = try ReadingTests.arena()
        var snapshot = ConfigurationSnapshot()
        snapshot.listenerCount = 2
        for index in 0..<2 { snapshot.listeners[index] = SocketAddress(ipv4: 0x7F00_0001, port: 5070) }
        snapshot.transports[1] = .tcp
        snapshot.isStateless = 1
        precondition(state.publish(snapshot, []))
        state.processes.setPid(1, .master)
        state.processes.setPid(22, .worker(2))
        state.processes.countRestart(.worker(2))
        state.processes.setReady(true, .worker(2))
        state.counters.add(.callsFailed, .worker(1), 7)
        // Three in a worker's hands, and the master's batch of empty ones.
        for slot in 0..<70 {
            let taken = state.slots.take(slot)
            if slot < 3 { state.slots.hand(taken, from: .master, to: .worker(0)) }
        }
        let shard = state.shard(2)
        shard.setServerTransactions(4)
        _ = shard.table.insert(kind: RecordKind.server, key: 1)
        _ = shard.stored.store([1, 2, 3].span)
        let view = StatusView(reading: state)
        #expect(view.pid == 1 && (10...11).contains(view.uptime) && view.mode == "stateless")
        #expect(view.listeners == ["udp:127.0.0.1:5070", "tcp:127.0.0.1:5070"])
        #expect(
            view.workers.map(\.pid) == [0, 0, 22] && view.workers[2].restarts == 1 && view.workers[2].isReady)
        #expect(
            view.transactions == 4 && view.records == 1 && view.stored == 1 && view.slots == 3 + 3
                && view.bindings == 0)
        #expect(view.counters.first { $0.name == "calls_failed" }?.value == 7)
        #expect(view.counters.count == Counter.allCases.count)
        #expect(view.rates == nil && view.lastErrors.isEmpty && view.workers[2].load == nil)
        #expect(view.workers.map(\.transactions) == [0, 0, 4] && view.locator.transactions == nil)
    }

    @Test func readsLimitsRatesAndErrors() throws {
        let state = try ReadingTests.arena()
        var snapshot = ConfigurationSnapshot()
        snapshot.transactionsPerWorker = 100
        state.configuration.publish(snapshot)
        state.counters.set(.connectionsLimit, 77)
        let now = Clock.milliseconds()
        for second in 0..<2 {
            var sample = LoadSample()
            sample.time = now - 1000 + UInt64(second) * 1000
            sample.callsStarted = UInt64(second) * 5
            sample.processorTime[ProcessID.worker(2).index] = UInt64(1 + second) * 250_000_000
            state.load.append(sample)
        }
        for text in ["first", "second"] {
            var remark = Remark()
            remark.time = 1_795_378_500
            remark.process = .worker(1)
            remark.event = LogEvent.limitReached.rawValue
            remark.setText(Array(text.utf8).span)
            state.remarks.append(remark)
        }
        for _ in 0..<3 { _ = state.shard(0).ring(to: .master).append(Mail(.forkStart)) }
        _ = state.resolverRing(to: .worker(2)).append(Mail(.forkStart))
        let view = StatusView(reading: state)
        #expect(
            view.limits
                == .init(
                    transactions: 300, bindings: 100, connections: 77, slots: state.slots.count))
        #expect(view.rates == .init(started: 5000))
        #expect(view.workers[2].load == 250 && view.workers[2].processorTime == 500)
        #expect(view.master.mailWaiting == 3 && view.workers[2].mailWaiting == 1)
        #expect(view.lastErrors.map(\.message) == ["second", "first"])
        #expect(
            view.lastErrors[0]
                == .init(
                    time: 1_795_378_500, process: "worker 1", event: "limit-reached", message: "second"))
    }

    /// INVITEs that have no final answer; nothing else that lies in the table.
    @Test func countsCallsInSetup() throws {
        let state = try ReadingTests.arena()
        let (server, cell) = try ReadingTests.call(in: state)
        let offset = state.shard(1).table.offset(cell)
        // As it was made: its machine has not begun.
        #expect(StatusView(reading: state).calls == 0)
        var record = server
        let values = TimerValues()
        _ = record.invite.start(now: 0, values: values, reliable: false)
        state.memory.store(record, at: offset)
        #expect(StatusView(reading: state).calls == 1)
        record.method = 2
        state.memory.store(record, at: offset)
        #expect(StatusView(reading: state).calls == 0)
        record.method = 1
        _ = record.invite.respond(status: 486, now: 0, values: values, reliable: false)
        state.memory.store(record, at: offset)
        #expect(StatusView(reading: state).calls == 0)
    }

    @Test func readsWorkers() throws {
        let state = try ReadingTests.arena()
        for _ in 0..<5 { _ = state.masterRing(to: .worker(1)).append(Mail(.request)) }
        state.masterRing(to: .worker(1)).setSent(2)
        _ = state.shard(0).ring(to: .worker(1)).append(Mail(.forkStart))
        state.processes.beat(Clock.milliseconds() - 500, .worker(1))
        let workers = WorkersView(reading: state).workers
        #expect(workers.map(\.mailWaiting) == [0, 4, 0])
        #expect(workers[0].idle == nil && (500..<2000).contains(workers[1].idle!))
    }

    static let request = """
        INVITE sip:bob@example.org SIP/2.0\r
        Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK1\r
        Max-Forwards: 70\r
        From: <sip:alice@example.org>;tag=1\r
        To: <sip:bob@example.org>\r
        Call-ID: secret@pc33\r
        CSeq: 1 INVITE\r
        Content-Length: 0\r
        \r

        """

    /// A call with three forks in three shards, one of them being cancelled.
    static func call(in state: SharedState) throws -> (ServerRecord, UInt32) {
        let owner = state.shard(1)
        let cell = owner.table.insert(kind: RecordKind.server, key: 77)
        var server = ServerRecord()
        server.header = owner.table.header(cell)
        server.method = 1
        server.forkCount = 3
        server.status = 180
        server.createdAt = Clock.milliseconds() - 1000
        server.request = owner.stored.store(Array(request.utf8).span)!
        let reference = TransactionReference(worker: 1, cell: cell, generation: server.header.generation)
        var room = owner.stored.reserve(1024)!
        var draft = TargetSetDraft(
            state.memory.writer(room.offset, capacity: room.capacity), source: Endpoint())
        for fork in 0..<2 {
            draft.add(ForkTarget(), uri: Array("sip:bob@127.0.0.\(fork + 2)".utf8).span, route: Span())
        }
        let first = owner.stored.seal(room, length: draft.written.count)
        room = owner.stored.reserve(1024)!
        draft = TargetSetDraft(
            state.memory.writer(room.offset, capacity: room.capacity), source: Endpoint(), behind: first,
            firstFork: 2)
        draft.add(ForkTarget(), uri: Array("sip:bob@127.0.0.4".utf8).span, route: Span())
        server.targets = owner.stored.seal(room, length: draft.written.count)
        owner.undo.write(server, at: owner.table.offset(cell))
        for fork in 0..<3 {
            let worker = ForkPlacement.worker(owner: 1, fork: UInt8(fork), workers: 3)
            let shard = state.shard(worker)
            for kind in fork == 2 ? [RecordKind.fork, RecordKind.cancel] : [RecordKind.fork] {
                let cell = shard.table.insert(kind: kind, key: UInt64(fork))
                var record = ForkRecord()
                record.header = shard.table.header(cell)
                record.server = reference
                record.method = 1
                record.fork = UInt8(fork)
                record.status = fork == 0 ? 180 : 0
                record.endpoint.peer = SocketAddress(ipv4: 0x7F00_0002 + UInt32(fork), port: 5060)
                shard.undo.write(record, at: shard.table.offset(cell))
            }
        }
        return (server, cell)
    }

    @Test func readsTransactions() throws {
        let state = try ReadingTests.arena()
        for worker in 0..<3 { state.processes.setPid(Int32(100 + worker), .worker(worker)) }
        let (server, cell) = try ReadingTests.call(in: state)
        let view = TransactionsView(reading: state)
        let transaction = try #require(view.transactions.first)
        #expect(view.transactions.count == 1)
        #expect(transaction.callID == "secret@pc33" && transaction.method == "INVITE")
        #expect(
            transaction.requestURI == "sip:bob@example.org" && transaction.worker == 1
                && transaction.pid == 101)
        #expect(transaction.status == 180 && (1000..<3000).contains(transaction.age))
        #expect(transaction.forks.map(\.index) == [0, 1, 2] && transaction.forks.map(\.worker) == [1, 2, 0])
        #expect(transaction.forks.map(\.pid) == [101, 102, 100])
        #expect(transaction.forks.map(\.target) == (2...4).map { "sip:bob@127.0.0.\($0)" })
        #expect(transaction.forks.map(\.nextHop) == (2...4).map { "udp:127.0.0.\($0):5060" })
        #expect(transaction.forks.map(\.status) == [180, nil, nil])
        #expect(transaction.forks.map { $0.cancel != nil } == [false, false, true])
        // What was stored is gone: what is left is shown.
        let owner = state.shard(1)
        owner.stored.free(server.request)
        owner.stored.free(server.targets)
        let less = try #require(TransactionsView(reading: state).transactions.first)
        #expect(less.callID == nil && less.method == "INVITE" && less.forks[1].target == "udp:127.0.0.3:5060")
        owner.table.remove(cell)
        #expect(TransactionsView(reading: state).transactions.isEmpty)
    }

    /// A fork by TCP, with an attempt that was left behind, and one whose name is being looked up.
    @Test func readsNextHops() throws {
        let state = try ReadingTests.arena()
        let (server, cell) = try ReadingTests.call(in: state)
        let reference = TransactionReference(worker: 1, cell: cell, generation: server.header.generation)
        for (fork, attempt) in [(UInt8(0), UInt8(1)), (1, 1)] {
            let shard = state.shard(2)
            let cell = shard.table.insert(kind: RecordKind.fork, key: 100 + UInt64(fork))
            var record = ForkRecord()
            record.header = shard.table.header(cell)
            record.server = reference
            record.method = 1
            record.fork = fork
            record.attempt = attempt
            if fork == 0 {
                record.endpoint = Endpoint(.tcp, SocketAddress(host: "2001:db8::1", port: 5061)!, listener: 1)
            } else {
                record.resolvingEnd = 1
            }
            shard.undo.write(record, at: shard.table.offset(cell))
        }
        let forks = try #require(TransactionsView(reading: state).transactions.first).forks
        #expect(forks.map(\.index) == [0, 0, 1, 1, 2])
        #expect(Set(forks[0...1].map(\.nextHop)) == ["udp:127.0.0.2:5060", "tcp:[2001:db8::1]:5061"])
        #expect(Set(forks[2...3].map(\.nextHop)) == ["udp:127.0.0.3:5060", "a name"])
        #expect(forks.first { $0.nextHop == "a name" }?.state == "resolving")
    }

    /// Whatever bytes lie in records, nothing traps: a view races with those who write.
    @Test func survivesDamagedRecords() throws {
        let state = try ReadingTests.arena()
        let (server, cell) = try ReadingTests.call(in: state)
        var random = SystemRandomNumberGenerator()
        let offset = state.shard(1).table.offset(cell)
        for _ in 0..<2000 {
            var damaged = server
            switch Int.random(in: 0...3, using: &random) {
            case 0:
                damaged.request = StoredReference(rawValue: UInt64.random(in: 0...UInt64.max, using: &random))
            case 1:
                damaged.targets = StoredReference(rawValue: UInt64.random(in: 0...1 << 40, using: &random))
            case 2: damaged.method = UInt8.random(in: 0...255, using: &random)
            default: damaged.createdAt = UInt64.random(in: 0...UInt64.max, using: &random)
            }
            state.memory.store(damaged, at: offset)
            #expect(TransactionsView(reading: state).transactions.count == 1)
        }
        state.memory.store(server, at: offset)
        // A length that is being written.
        let place = state.shard(1).stored.locate(server.request)
        state.memory.store(UInt32.max, at: place.offset - 12)
        #expect(TransactionsView(reading: state).transactions.first?.callID == nil)
    }

    @Test func readsRegistrations() throws {
        let state = try ReadingTests.arena()
        let turn = Turn(memory: state.memory, at: state.locatorTurn)
        var writer = LocationWriter(
            table: state.locations, undo: turn.undo, processes: state.processes, workers: 3)
        _ = writer.isSettled()
        let now = Clock.epochSeconds()
        for (aor, contacts) in [
            ("bob@example.org", [100, 0]), ("alice@example.org", [50]), ("old@example.org", [0]),
        ] {
            let name = Array(aor.utf8)
            let uri = Array("sip:x@192.0.2.1".utf8)
            let id = Array("c@h".utf8)
            let size = RecordDraft.bytes(
                aor: name.count,
                bindings: contacts.count * BindingFields.bytes(texts: uri.count + id.count))
            var draft = try #require(begin(writer, name, size: size, bindings: contacts.count))
            for expires in contacts {
                draft.append(
                    BindingFields(
                        uri: uri.span, callID: id.span,
                        expiresAt: expires == 0 ? now - 1 : now + UInt64(expires), q: 700,
                        cseq: 1))
            }
            writer.publish(draft.seal())
        }
        let all = RegistrationsView(reading: state, only: nil).registrations
        #expect(all.map(\.addressOfRecord) == ["alice@example.org", "bob@example.org"])
        #expect(
            all[1].contacts.count == 1 && all[1].contacts[0].uri == "sip:x@192.0.2.1"
                && all[1].contacts[0].q == 700)
        #expect((98...100).contains(all[1].contacts[0].expires))
        let one = RegistrationsView(reading: state, only: "sip:Bob@example.org")
        #expect(one.registrations.isEmpty)
        #expect(RegistrationsView(reading: state, only: "sip:bob@EXAMPLE.org").registrations.count == 1)
        #expect(RegistrationsView(reading: state, only: "old@example.org").registrations.isEmpty)
    }

    private func begin(_ writer: LocationWriter, _ name: [UInt8], size: Int, bindings: Int) -> RecordDraft? {
        writer.begin(name.span, size: size, bindings: bindings)
    }

    @Test func refusesAStrangersArena() throws {
        let state = try ReadingTests.arena()
        #expect(throws: Never.self) { _ = try ControlClient.state(of: state.memory) }
        var header = state.header
        header.layoutHash ^= 1
        state.setHeader(header)
        #expect(throws: ControlFailure.self) { _ = try ControlClient.state(of: state.memory) }
        header = ArenaHeader(layoutHash: StateLayout.hash, sizes: state.sizes)
        header.sizes.workers = 65
        state.setHeader(header)
        #expect(throws: ControlFailure.self) { _ = try ControlClient.state(of: state.memory) }
        header.sizes = ArenaSizes(workers: 64, transactions: 1 << 20, bindings: 1)
        state.setHeader(header)
        #expect(throws: ControlFailure.self) { _ = try ControlClient.state(of: state.memory) }
        let small = try Arena(name: "test", size: 100).memory
        #expect(throws: ControlFailure.self) { _ = try ControlClient.state(of: small) }
    }

    @Test func explainsWhyNobodyAnswers() {
        #expect(throws: ControlFailure.self) { _ = try ControlClient.attach("/nonexistent/control.sock") }
        #expect(ControlClient.explain(ENOENT, "/x").contains("No such file or directory"))
        #expect(ControlClient.explain(ECONNREFUSED, "/x").contains("Connection refused"))
        let denied = ControlClient.explain(EACCES, "/nonexistent")
        #expect(denied.contains("Permission denied") && denied.contains("group sipfork"))
    }
}
