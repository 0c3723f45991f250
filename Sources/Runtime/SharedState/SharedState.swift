import Platform
import SharedMemory

/// How large the regions of an arena are; fixed when it is made, kept in its header.
package struct ArenaSizes: BitwiseCopyable, Equatable {
    package var workers: UInt32
    /// Records of each shard.
    package var records: UInt32
    package var smallSlots: UInt32
    package var largeSlots: UInt32
    package var bindings: UInt64
    /// What the configuration said that `records` was made of.
    package var transactions: UInt64

    /// - Parameters: transactions: server transactions alive in all; a record each, and forks beside them.
    package init(workers: Int, transactions: Int, bindings: Int) {
        self.workers = UInt32(workers)
        records = UInt32(max(transactions * 3 / workers, 1024))
        smallSlots = 8192
        largeSlots = 128
        self.bindings = UInt64(bindings)
        self.transactions = UInt64(transactions)
    }

    /// False for sizes that no master of this build has made: what they describe is not to be planned.
    package var isPlausible: Bool {
        let made = ArenaSizes(workers: 1, transactions: 1, bindings: 1)
        return 1...UInt32(ProcessID.maximumWorkers) ~= workers && smallSlots == made.smallSlots
            && largeSlots == made.largeSlots && records < 1 << 30 && bindings < 1 << 32
            && transactions < 1 << 32
    }
}

/// The first page of the arena; its second half is for the fault points of debug builds.
package struct ArenaHeader: BitwiseCopyable {
    package static let magic = Arena.magic
    package var magic: UInt64 = ArenaHeader.magic
    package var layoutHash: UInt64
    package var sizes: ArenaSizes
    /// Monotonic milliseconds and seconds since 1970 at which the master started.
    package var startedAt: UInt64 = 0
    package var startedEpoch: UInt64 = 0
    package var masterPid: UInt64 = 0
    /// Masters that the arena has had.
    package var masters: UInt64 = 0
    /// Those of them, in a row, that have not come to serve.
    package var failedStarts: UInt64 = 0

    package init(layoutHash: UInt64, sizes: ArenaSizes) {
        self.layoutHash = layoutHash
        self.sizes = sizes
    }
}

/// Every region of the arena, placed from the sizes in its header: the one list of what is shared.
package struct SharedState: BitwiseCopyable {
    package let memory: Memory
    package let sizes: ArenaSizes
    /// Bytes of the whole arena.
    package let size: Int
    private let configurations: Int
    package let processes: ProcessTable
    package let counters: Counters
    package let slots: Slots
    package let dns: DNSCache
    package let deadPeers: DeadPeers
    package let recentRequests: RecentRequests
    package let load: LoadSamples
    package let remarks: Remarks
    package let trace: TraceRegion
    package let quarantine: Quarantine
    /// Where the master receives datagrams (`DatagramReceiver`).
    package let datagrams: Int
    package let locations: LocationTable
    /// The locator's turn, and its mail to others.
    package let locatorTurn: Int
    /// Where the master makes what it sends by itself.
    package let masterScratch: Int
    package static let masterScratchBytes = 256 << 10
    private let logs: Int
    private let masterRings: Int
    private let locatorRings: Int
    private let locatorSeen: Int
    private let resolverRings: Int
    /// The first worker's shard; the others follow at equal distances.
    private let firstShard: Shard.Plan
    private let shardBytes: Int

    package static let headerBytes = 4096

    /// Places all regions.
    package init(memory: Memory, sizes: ArenaSizes) {
        self.memory = memory
        self.sizes = sizes
        var planner = LayoutPlanner(reserved: SharedState.headerBytes)
        let workers = Int(sizes.workers)
        let small = Int(sizes.smallSlots)
        let large = Int(sizes.largeSlots)
        configurations = planner.placeRegion(SharedState.configurationsBytes)
        processes = ProcessTable(memory: memory, at: planner.placeRegion(ProcessTable.bytes))
        counters = Counters(memory: memory, at: planner.placeRegion(Counters.bytes))
        let slotCount = Slots.count(small: small, large: large, workers: workers)
        slots = Slots(
            memory: memory, owners: planner.placeRegion(slotCount * 8),
            small: planner.placeRegion(small * Slots.smallBytes), smallCount: small,
            large: planner.placeRegion((slotCount - small) * Slots.largeBytes), largeCount: large,
            workers: workers)
        dns = DNSCache(memory: memory, at: planner.placeRegion(DNSCache.bytes))
        deadPeers = DeadPeers(memory: memory, at: planner.placeRegion(DeadPeers.bytes))
        recentRequests = RecentRequests(
            memory: memory, at: planner.placeRegion(RecentRequests.bytes))
        load = LoadSamples(memory: memory, at: planner.placeRegion(LoadSamples.bytes))
        remarks = Remarks(memory: memory, at: planner.placeRegion(Remarks.bytes))
        trace = TraceRegion(memory: memory, at: planner.placeRegion(TraceRegion.bytes))
        quarantine = Quarantine(memory: memory, at: planner.placeRegion(Quarantine.bytes))
        datagrams = planner.placeRegion(DatagramLayout.bytes)
        logs = planner.placeRegion(ProcessID.limit * LogRing.bytes)
        masterScratch = planner.placeRegion(SharedState.masterScratchBytes)
        masterRings = planner.placeRegion(ProcessID.limit * MailRing.bytes)
        locatorTurn = planner.placeRegion(Turn.bytes)
        locatorRings = planner.placeRegion(ProcessID.limit * MailRing.bytes)
        locatorSeen = planner.placeRegion(SeenMail.bytes)
        resolverRings = planner.placeRegion(ProcessID.limit * MailRing.bytes)
        locations = LocationTable(
            memory: memory, at: planner.placeRegion(LocationTable.bytes(capacity: Int(sizes.bindings))),
            capacity: Int(sizes.bindings))
        let shardsBase = planner.placeRegion(0)
        firstShard = Shard.Plan(&planner, records: Int(sizes.records))
        shardBytes = planner.placeRegion(0) - shardsBase
        size = shardsBase + workers * shardBytes
    }

    /// Bytes of an arena of these sizes. Planning touches no memory.
    package static func bytes(_ sizes: ArenaSizes) -> Int {
        SharedState(
            memory: unsafe Memory(unsafe: UnsafeMutableRawPointer(bitPattern: 4096)!, size: 0), sizes: sizes
        ).size
    }

    /// Attaches to an arena whose header says how large it is.
    package init(attaching memory: Memory) {
        self.init(memory: memory, sizes: memory.load(0, as: ArenaHeader.self).sizes)
    }

    package var header: ArenaHeader { memory.load(0) }
    package func setHeader(_ header: ArenaHeader) { memory.store(header, at: 0) }

    // MARK: configurations

    // | generation : 64 | snapshot, routes | snapshot, routes |: those of the generation now, and room for the next.
    private static let pairBytes = (ConfigurationView.bytes + RouteRegion.bytes + 63) & ~63
    private static let configurationsBytes = 64 + 2 * pairBytes

    /// Counts the configurations since the arena was made. Children attach to the one of their start, and keep it:
    /// they are replaced when there is another.
    package var generation: UInt64 { memory.loadAtomic(configurations) }

    private func pair(_ generation: UInt64) -> Int {
        configurations + 64 + Int(generation & 1) * SharedState.pairBytes
    }

    package var configuration: ConfigurationView {
        ConfigurationView(memory: memory, at: pair(generation))
    }

    package var routes: RouteRegion {
        RouteRegion(memory: memory, at: pair(generation) + ConfigurationView.bytes, generation: generation)
    }

    /// Makes a new configuration that of all who attach from now on; false, and nothing has changed, where the
    /// routes do not fit. By the master, once nobody has the one before the present one.
    package func publish(_ snapshot: ConfigurationSnapshot, _ routes: [RouteDraft]) -> Bool {
        let next = generation + 1
        let view = ConfigurationView(memory: memory, at: pair(next))
        let region = RouteRegion(
            memory: memory, at: pair(next) + ConfigurationView.bytes, generation: next)
        guard region.publish(routes) else { return false }
        view.publish(snapshot)
        memory.storeAtomic(next, at: configurations)
        return true
    }

    package func shard(_ worker: Int) -> Shard {
        precondition(worker >= 0 && worker < Int(sizes.workers), "no such worker")
        return Shard(memory: memory, plan: firstShard.moved(by: worker * shardBytes))
    }

    /// Server transactions alive, of all workers.
    package var serverTransactions: Int {
        (0..<Int(sizes.workers)).reduce(0) { $0 + shard($1).serverTransactions }
    }

    package func log(_ process: ProcessID) -> LogRing {
        LogRing(memory: memory, at: logs + process.index * LogRing.bytes)
    }

    package func masterRing(to receiver: ProcessID) -> MailRing {
        MailRing(memory: memory, at: masterRings + receiver.index * MailRing.bytes)
    }

    package func locatorRing(to receiver: ProcessID) -> MailRing {
        MailRing(memory: memory, at: locatorRings + receiver.index * MailRing.bytes)
    }

    package func resolverRing(to receiver: ProcessID) -> MailRing {
        MailRing(memory: memory, at: resolverRings + receiver.index * MailRing.bytes)
    }

    package func locatorSeen(log: UndoLog) -> SeenMail { SeenMail(log: log, at: locatorSeen) }

    /// Changes with every structure that lies in the arena, not with sizes from the configuration.
    package static var layoutHash: UInt64 {
        var hash = KeyedHash(key0: 1, key1: 1)
        for size in [
            MemoryLayout<ConfigurationSnapshot>.size, MemoryLayout<SlotHeader>.size,
            MemoryLayout<RecordHeader>.size,
            MemoryLayout<Mail>.size, MemoryLayout<OutboxEntry>.size, Turn.bytes, TransactionTable.recordBytes,
            MailRing.bytes, LogRing.bytes, Counter.allCases.count, LocationTable.layoutVersion,
            Slots.smallBytes, RouteRegion.bytes, MemoryLayout<RouteEntry>.size, MemoryLayout<HopEntry>.size,
            StoredMessages.headerBytes, TimerWheel.bytes, DNSCache.bytes, MemoryLayout<DNSCandidate>.size,
            DeadPeers.bytes, RecentRequests.bytes, LoadSamples.bytes, Remarks.bytes, TraceRegion.bytes,
            MemoryLayout<ArenaHeader>.size, ConfigurationView.bytes,
            Quarantine.bytes, DatagramLayout.bytes,
        ] { hash.combine(UInt64(size)) }
        return hash.finalize()
    }
}
