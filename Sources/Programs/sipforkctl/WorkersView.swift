import Platform
import SharedState

/// `workers`: what each worker process has in hand.
struct WorkersView: View, Equatable {
    struct Worker: Equatable {
        let index: Int
        /// 0: not running.
        let pid: Int
        let restarts: Int
        let isReady: Bool
        /// Server transactions.
        let transactions: Int
        /// Server transactions, forks and CANCELs.
        let records: Int
        let stored: Int
        /// Mail for it that lies in rings, its mailbox being full.
        let mailWaiting: Int
        /// What the master has handed to it and it has not handled yet.
        var queue = 0
        /// Milliseconds that a message for it waits.
        var delay = 0
        /// Milliseconds since it last began a turn; nil before the first.
        let idle: Int?
    }

    var workers: [Worker] = []

    var json: JSON {
        .array(
            workers.map { worker in
                [
                    "index": .number(worker.index), "pid": .number(worker.pid),
                    "restarts": .number(worker.restarts),
                    "ready": .bool(worker.isReady), "transactions": .number(worker.transactions),
                    "records": .number(worker.records), "stored": .number(worker.stored),
                    "mail_waiting": .number(worker.mailWaiting), "queue": .number(worker.queue),
                    "delay_ms": .number(worker.delay), "heartbeat_age_ms": .optional(worker.idle),
                ]
            })
    }

    var text: String {
        Layout.table(
            [
                "WORKER", "PID", "RESTARTS", "STATE", "TRANSACTIONS", "RECORDS", "STORED", "MAIL WAITING",
                "QUEUE", "DELAY", "LAST TURN",
            ],
            workers.map { worker in
                [
                    "\(worker.index)", worker.pid == 0 ? "-" : "\(worker.pid)", "\(worker.restarts)",
                    worker.pid == 0 ? "not running" : worker.isReady ? "ready" : "starting",
                    "\(worker.transactions)",
                    "\(worker.records)", "\(worker.stored)", "\(worker.mailWaiting)", "\(worker.queue)",
                    "\(worker.delay) ms",
                    worker.idle.map { Layout.age(milliseconds: $0) + " ago" } ?? "-",
                ]
            }, right: [0, 1, 2, 4, 5, 6, 7, 8, 9, 10])
    }
}

extension WorkersView {
    init(reading state: SharedState) {
        let now = Clock.milliseconds()
        for index in 0..<Int(state.sizes.workers) {
            let process = ProcessID.worker(index)
            let shard = state.shard(index)
            let heartbeat = state.processes.heartbeat(process)
            workers.append(
                Worker(
                    index: index, pid: Int(state.processes.pid(process)),
                    restarts: Int(clamping: state.processes.restarts(process)),
                    isReady: state.processes.isReady(process), transactions: shard.serverTransactions,
                    records: shard.table.pool.inUse, stored: shard.stored.inUse,
                    mailWaiting: state.mailWaiting(for: process), queue: state.queue(of: index),
                    delay: Int(clamping: state.processes.delay(process)),
                    idle: heartbeat == 0 ? nil : now > heartbeat ? Int(clamping: now - heartbeat) : 0))
        }
    }
}
