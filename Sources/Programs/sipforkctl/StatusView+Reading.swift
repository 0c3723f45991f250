import CPlatform
import Platform
import Proxy
import SharedState

extension StatusView {
    init(reading state: SharedState) {
        let header = state.header
        let now = Clock.milliseconds()
        let load = Load(state.load, now: now)
        pid = Int(state.processes.pid(.master))
        uptime = now > header.startedAt ? Int((now - header.startedAt) / 1000) : 0
        startedAt = Int(clamping: header.startedEpoch)
        let snapshot = state.configuration.snapshot
        if snapshot.isStateless != 0 { mode = "stateless" }
        for index in 0..<min(Int(snapshot.listenerCount), ConfigurationSnapshot.maximumListeners)
        where snapshot.hasListener(index) {
            listeners.append("\(snapshot.transports[index].name):\(snapshot.listeners[index].text)")
        }
        for index in 0..<Int(state.sizes.workers) {
            var worker = Process(reading: state, .worker(index), load)
            let shard = state.shard(index)
            worker.transactions = shard.serverTransactions
            worker.queue = state.queue(of: index)
            worker.delay = Int(clamping: state.processes.delay(.worker(index)))
            workers.append(worker)
            transactions += shard.serverTransactions
            records += shard.table.pool.inUse
            stored += shard.stored.inUse
            calls += StatusView.callsInSetup(shard)
        }
        master = Process(reading: state, .master, load)
        locator = Process(reading: state, .locator, load)
        locator.delay = Int(clamping: state.processes.delay(.locator))
        resolver = Process(reading: state, .resolver, load)
        logger = Process(reading: state, .logger, load)
        rates = load.map {
            Rates(
                started: $0.rate(\.callsStarted), answered: $0.rate(\.callsAnswered),
                failed: $0.rate(\.callsFailed), received: $0.rate(\.messagesReceived),
                sent: $0.rate(\.messagesSent))
        }
        bindings = state.locations.bindingCount
        connections = state.counters.value(.connections)
        slots = StatusView.usedSlots(state.slots)
        limits = Limits(
            transactions: Int(clamping: snapshot.transactionsPerWorker) * Int(state.sizes.workers),
            bindings: Int(clamping: state.sizes.bindings),
            connections: state.counters.value(.connectionsLimit), slots: state.slots.count)
        lastErrors = state.remarks.numbers.reversed().compactMap { state.remarks.element($0) }.map {
            LastError(
                time: Int(clamping: $0.time), process: $0.process.name, event: $0.eventName,
                message: $0.text)
        }
        counters = Counter.allCases.map {
            Counted(name: $0.name, value: Int(clamping: state.counters.total($0)))
        }
    }

    /// INVITEs that have no final answer yet.
    private static func callsInSetup(_ shard: Shard) -> Int {
        let table = shard.table
        var calls = 0
        for cell in 1..<UInt32(min(max(table.pool.everUsed, 0), table.pool.capacity) + 1) {
            let header = table.header(cell)
            guard header.kind == RecordKind.server else { continue }
            let record: ServerRecord = table.log.memory.load(table.offset(cell))
            Ordering.fullFence()
            let isSame = table.isCurrent(cell, kind: RecordKind.server, generation: header.generation)
            if isSame && record.isInvite && record.invite.state == .proceeding { calls += 1 }
        }
        return calls
    }

    /// Slots with a message in them: the master keeps one batch of empty ones at hand, to receive into.
    private static func usedSlots(_ slots: Slots) -> Int {
        var used = 0
        var hand = 0
        for index in 0..<slots.count where !slots.isFree(index) {
            if slots.owner(index) == .master { hand += 1 } else { used += 1 }
        }
        return used + max(hand - Int(cp_batch), 0)
    }
}

extension StatusView.Process {
    init(reading state: SharedState, _ process: ProcessID, _ load: Load?) {
        let processes = state.processes
        let pid = Int(processes.pid(process))
        self.init(
            name: process.name, pid: pid, restarts: Int(clamping: processes.restarts(process)),
            // The master tells nobody that it is ready: it is the one who is told.
            isReady: process == .master ? pid != 0 : processes.isReady(process))
        self.load = load?.share(process)
        processorTime = load?.processorTime(process)
        mailWaiting = state.mailWaiting(for: process)
    }
}
