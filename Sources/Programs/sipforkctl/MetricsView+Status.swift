import Platform
import SharedState

/// Which families there are: the manual has the same, word for word.
extension MetricsView {
    init(_ status: StatusView) {
        var families = [
            Family(
                name: "sipfork_build", kind: .info, unit: nil, help: "Version of the service",
                samples: [Sample(label: Label(name: "version", value: Version.text), value: "1")])
        ]
        func gauge(_ name: String, unit: String? = nil, _ help: String, _ value: Int) {
            families.append(
                Family(
                    name: "sipfork_" + name, kind: .gauge, unit: unit, help: help,
                    samples: [Sample(value: "\(value)")]))
        }
        func ofProcesses(
            _ name: String, _ kind: Kind, unit: String? = nil, _ help: String,
            _ value: (StatusView.Process) -> String?
        ) {
            let samples = status.processes.compactMap { process in
                value(process).map { Sample(label: Label(name: "process", value: process.name), value: $0) }
            }
            families.append(
                Family(name: "sipfork_process_" + name, kind: kind, unit: unit, help: help, samples: samples))
        }
        gauge(
            "start_time_seconds", unit: "seconds", "When the service was started, since 1970",
            status.startedAt)
        gauge("calls_in_setup", "INVITE transactions without a final answer", status.calls)
        gauge("transactions", "Server transactions", status.transactions)
        gauge(
            "transactions_limit", "As many as there may be: server.max-transactions",
            status.limits.transactions)
        gauge("bindings", "Registered contacts", status.bindings)
        gauge("bindings_limit", "As many as there may be: server.max-bindings", status.limits.bindings)
        gauge("connections", "TCP connections", status.connections)
        gauge(
            "connections_limit",
            "As many as there may be: tcp.max-connections, or what the system grants",
            status.limits.connections)
        gauge("records", "Records of transactions and forks in use", status.records)
        gauge("slots", "Slots with a received message", status.slots)
        gauge("slots_limit", "As many as there are", status.limits.slots)
        gauge("stored_messages", "Messages kept by transactions", status.stored)
        ofProcesses("ready", .gauge, "1 where the process serves, 0 where it does not") {
            $0.pid != 0 && $0.isReady ? "1" : "0"
        }
        ofProcesses("restarts", .counter, "How often the process died and was replaced") { "\($0.restarts)" }
        ofProcesses(
            "cpu_seconds", .counter, unit: "seconds",
            "Processor time of the process, those that it replaced included"
        ) { $0.processorTime.map(Decimal.thousandths) }
        ofProcesses("mail_waiting", .gauge, "Messages of other processes that its mailbox had no room for") {
            "\($0.mailWaiting)"
        }
        ofProcesses("queue", .gauge, "Messages that a worker was handed and has not handled yet") {
            $0.queue.map { "\($0)" }
        }
        ofProcesses(
            "delay_seconds", .gauge, unit: "seconds",
            "How long what comes for a worker, or from workers for the locator, waits"
        ) { $0.delay.map(Decimal.thousandths) }
        ofProcesses("transactions", .gauge, "Server transactions of a worker") {
            $0.transactions.map { "\($0)" }
        }
        for counter in Counter.allCases {
            let value = status.counters.first { $0.name == counter.name }?.value ?? 0
            families.append(
                Family(
                    name: "sipfork_" + counter.name, kind: .counter, unit: nil, help: counter.help,
                    samples: [Sample(value: "\(value)")]))
        }
        self.families = families
    }
}
