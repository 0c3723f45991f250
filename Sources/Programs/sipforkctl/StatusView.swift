import CPlatform
import Glibc
import Platform
import SharedState

/// `status`: the whole service at a glance.
struct StatusView: View, Equatable {
    struct Process: Equatable {
        let name: String
        /// 0: not running.
        let pid: Int
        let restarts: Int
        let isReady: Bool

        var json: JSON { ["pid": .number(pid), "restarts": .number(restarts)] }
    }

    struct Counted: Equatable {
        let name: String
        let value: Int
    }

    var pid = 0
    var uptime = 0
    /// Seconds since 1970.
    var startedAt = 0
    /// As `server.mode` has it.
    var mode = "stateful"
    var listeners: [String] = []
    var workers: [Process] = []
    var locator = Process(name: "locator", pid: 0, restarts: 0, isReady: false)
    var resolver = Process(name: "resolver", pid: 0, restarts: 0, isReady: false)
    var logger = Process(name: "logger", pid: 0, restarts: 0, isReady: false)
    var transactions = 0
    var bindings = 0
    /// Of TCP.
    var connections = 0
    var records = 0
    var slots = 0
    var stored = 0
    var counters: [Counted] = []

    var json: JSON {
        [
            "pid": .number(pid), "uptime_seconds": .number(uptime), "mode": .string(mode),
            "version": .string(Sipforkctl.version), "listeners": .array(listeners.map { .string($0) }),
            "workers": .array(
                workers.enumerated().map { index, worker in
                    [
                        "index": .number(index), "pid": .number(worker.pid),
                        "restarts": .number(worker.restarts),
                    ]
                }),
            "processes": [
                "locator": locator.json, "resolver": resolver.json, "logger": logger.json,
            ],
            "transactions": .number(transactions), "bindings": .number(bindings),
            "connections": .number(connections),
            "arena": ["records": .number(records), "slots": .number(slots), "stored": .number(stored)],
            "counters": .object(counters.map { JSON.Member(key: $0.name, value: .number($0.value)) }),
        ]
    }

    var text: String {
        var text = "sipfork \(Sipforkctl.version), \(mode), pid \(pid), up \(Layout.uptime(uptime))"
        text += startedAt > 0 ? " since \(StatusView.date(startedAt))\n\n" : "\n\n"
        let facts = [
            ["listening", listeners.joined(separator: " ")], ["transactions", "\(transactions)"],
            ["bindings", "\(bindings)"], ["connections", "\(connections)"],
            ["in use", "\(records) records, \(slots) slots, \(stored) stored messages"],
        ]
        for fact in facts {
            text += fact[0] + String(repeating: " ", count: 14 - fact[0].count) + fact[1] + "\n"
        }
        text += "\n"
        text += Layout.table(
            ["PROCESS", "PID", "RESTARTS", "STATE"],
            (workers + [locator, resolver, logger]).map { process in
                [
                    process.name, process.pid == 0 ? "-" : "\(process.pid)", "\(process.restarts)",
                    process.pid == 0 ? "not running" : process.isReady ? "ready" : "starting",
                ]
            }, right: [1, 2])
        let counted = counters.filter { $0.value != 0 }
        if !counted.isEmpty {
            text +=
                "\n"
                + Layout.table(["COUNTER", "VALUE"], counted.map { [$0.name, "\($0.value)"] }, right: [1])
        }
        return text
    }

    /// In local time.
    static func date(_ seconds: Int) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        guard unsafe localtime_r(&time, &parts) != nil else { return "?" }
        var buffer = [CChar](repeating: 0, count: 64)
        let size = buffer.count
        let count = unsafe strftime(&buffer, size, "%Y-%m-%d %H:%M:%S %Z", &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension StatusView {
    init(reading state: SharedState) {
        let header = state.header
        let now = Clock.milliseconds()
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
            workers.append(Process(reading: state, .worker(index)))
            let shard = state.shard(index)
            transactions += shard.serverTransactions
            records += shard.table.pool.inUse
            stored += shard.stored.inUse
        }
        locator = Process(reading: state, .locator)
        resolver = Process(reading: state, .resolver)
        logger = Process(reading: state, .logger)
        bindings = state.locations.bindingCount
        connections = state.counters.value(.connections)
        slots = StatusView.usedSlots(state.slots)
        counters = Counter.allCases.map {
            Counted(name: $0.name, value: Int(clamping: state.counters.total($0)))
        }
    }
}

extension StatusView {
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
    init(reading state: SharedState, _ process: ProcessID) {
        let processes = state.processes
        self.init(
            name: process.name, pid: Int(processes.pid(process)),
            restarts: Int(clamping: processes.restarts(process)),
            isReady: processes.isReady(process))
    }
}
