/// `status`: the whole service at a glance.
struct StatusView: View, Equatable {
    struct Process: Equatable {
        let name: String
        /// 0: not running.
        let pid: Int
        let restarts: Int
        let isReady: Bool
        /// Thousandths of a processor, over the last ten seconds; nil: not known.
        var load: Int?
        /// Milliseconds of a processor, of all that had this name; nil: not known.
        var processorTime: Int?
        /// Server transactions of a worker.
        var transactions: Int?
        /// Messages of other processes that its mailbox had no room for.
        var mailWaiting = 0
        /// What the master has handed to a worker that has not handled it yet.
        var queue: Int?
        /// Milliseconds that what comes for a worker or the locator waits.
        var delay: Int?

        var state: String { pid == 0 ? "not running" : isReady ? "ready" : "starting" }
    }

    struct Counted: Equatable {
        let name: String
        let value: Int
    }

    /// Thousandths a second.
    struct Rates: Equatable {
        var started = 0
        var answered = 0
        var failed = 0
        var received = 0
        var sent = 0
    }

    /// A log entry of priority warning or worse.
    struct LastError: Equatable {
        /// Seconds since 1970.
        let time: Int
        let process: String
        let event: String
        let message: String

        func says(asMuchAs other: LastError) -> Bool {
            process == other.process && event == other.event && message == other.message
        }
    }

    /// As many as there may be.
    struct Limits: Equatable {
        var transactions = 0
        var bindings = 0
        var connections = 0
        var slots = 0
    }

    var pid = 0
    var uptime = 0
    /// Seconds since 1970.
    var startedAt = 0
    /// As `server.mode` has it.
    var mode = "stateful"
    var listeners: [String] = []
    var master = Process(name: "master", pid: 0, restarts: 0, isReady: false)
    var workers: [Process] = []
    var locator = Process(name: "locator", pid: 0, restarts: 0, isReady: false)
    var resolver = Process(name: "resolver", pid: 0, restarts: 0, isReady: false)
    var logger = Process(name: "logger", pid: 0, restarts: 0, isReady: false)
    /// INVITEs without a final answer.
    var calls = 0
    /// Nil: not known yet.
    var rates: Rates?
    var transactions = 0
    var bindings = 0
    /// Of TCP.
    var connections = 0
    var records = 0
    var slots = 0
    var stored = 0
    var limits = Limits()
    /// The newest first.
    var lastErrors: [LastError] = []
    var counters: [Counted] = []

    var processes: [Process] { [master] + workers + [locator, resolver, logger] }
}
