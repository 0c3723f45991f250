import Glibc
import Platform

/// `status` for people: what is read first stands first, all of it within a terminal's width where numbers are not
/// huge.
extension StatusView {
    var text: String {
        var text = "sipfork \(Version.text), \(mode), pid \(pid), up \(Layout.uptime(uptime))"
        text += startedAt > 0 ? " since \(Layout.date(startedAt, zone: true))\n" : "\n"
        text += Layout.wrapped("listening on \(listeners.joined(separator: " "))", indentation: 13) + "\n"
        text += Layout.besides(amounts, activity, gap: 8) + "\n"
        text += processTable + "\n"
        text += errorList
        if let counterTable { text += "\n" + counterTable }
        return text
    }

    private var amounts: String {
        Layout.table(
            ["", "NOW", "LIMIT"],
            [
                ["calls in setup", Layout.thousands(calls), "-"],
                ["transactions", Layout.thousands(transactions), Layout.thousands(limits.transactions)],
                ["registrations", Layout.thousands(bindings), Layout.thousands(limits.bindings)],
                ["connections", Layout.thousands(connections), Layout.thousands(limits.connections)],
                ["message slots", Layout.thousands(slots), Layout.thousands(limits.slots)],
            ], right: [1, 2])
    }

    private var activity: String {
        func row(_ name: String, _ rate: Int?) -> [String] { [name, rate.map(Layout.tenths) ?? "-"] }
        return Layout.table(
            ["IN THE LAST 10 s", "PER SECOND"],
            [
                row("calls started", rates?.started), row("calls answered", rates?.answered),
                row("calls failed", rates?.failed), row("messages in", rates?.received),
                row("messages out", rates?.sent),
            ], right: [1])
    }

    private var processTable: String {
        Layout.table(
            ["PROCESS", "PID", "LOAD", "TRANSACTIONS", "MAIL WAITING", "RESTARTS", "STATE"],
            processes.map { process in
                [
                    process.name, process.pid == 0 ? "-" : "\(process.pid)",
                    process.load.map { Layout.tenths($0 * 100) + "%" } ?? "-",
                    process.transactions.map(Layout.thousands) ?? "-", Layout.thousands(process.mailWaiting),
                    Layout.thousands(process.restarts), process.state,
                ]
            }, right: [1, 2, 3, 4, 5])
    }

    private var errorList: String {
        if lastErrors.isEmpty { return "LAST WARNINGS AND ERRORS: none\n" }
        let width = lastErrors.map(\.process.count).max()!
        return foldedErrors.reduce(into: "LAST WARNINGS AND ERRORS\n") { text, folded in
            let (error, count) = folded
            let padding = String(repeating: " ", count: width - error.process.count)
            let head = "\(Layout.date(error.time, zone: false))  \(error.process)\(padding)  "
            let times = count > 1 ? " (\(count) times)" : ""
            text += Layout.wrapped(head + Layout.printable(error.message) + times, indentation: head.count)
        }
    }

    /// Those that say the same one after the other as one, with the newest time: else they push what else
    /// there is out of sight.
    private var foldedErrors: [(error: LastError, count: Int)] {
        lastErrors.reduce(into: []) { folded, error in
            if let last = folded.last, last.error.says(asMuchAs: error) {
                folded[folded.count - 1].count += 1
            } else {
                folded.append((error, 1))
            }
        }
    }

    private var counterTable: String? {
        let counted = counters.filter { $0.value != 0 }.map { [$0.name, Layout.thousands($0.value)] }
        if counted.isEmpty { return nil }
        let half = (counted.count + 1) / 2
        let columns = [counted.prefix(half), counted.dropFirst(half)].filter { !$0.isEmpty }.map {
            Layout.table(["COUNTER", "VALUE"], Array($0), right: [1])
        }
        return columns.count == 1 ? columns[0] : Layout.besides(columns[0], columns[1], gap: 6)
    }
}
