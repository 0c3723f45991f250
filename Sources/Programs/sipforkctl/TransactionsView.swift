/// `transactions`: each request in progress, with its forks and the processes that have them.
struct TransactionsView: View, Equatable {
    struct Fork: Equatable {
        let index: Int
        let worker: Int
        let pid: Int
        let state: String
        /// The URI that the request is sent to, else the next hop.
        let target: String
        /// udp:address:port
        let nextHop: String
        /// The last status received; nil for none.
        let status: Int?
        /// The state of its CANCEL's transaction; nil for none.
        let cancel: String?
    }

    struct Transaction: Equatable {
        let callID: String?
        let method: String
        let state: String
        let requestURI: String?
        let worker: Int
        let pid: Int
        let age: Int
        /// The last status sent; nil for none.
        let status: Int?
        let forks: [Fork]
    }

    var transactions: [Transaction] = []

    var json: JSON { .array(transactions.map(\.json)) }

    var text: String {
        if transactions.isEmpty { return "no transactions\n" }
        return transactions.map(\.text).joined()
    }
}

extension TransactionsView.Transaction {
    fileprivate var json: JSON {
        [
            "call_id": .optional(callID), "method": .string(method), "state": .string(state),
            "request_uri": .optional(requestURI), "status": .optional(status), "worker": .number(worker),
            "pid": .number(pid), "age_ms": .number(age), "forks": .array(forks.map(\.json)),
        ]
    }

    /// A line, and one for each fork below it.
    fileprivate var text: String {
        var text = "\(Layout.printable(method)) \(Layout.printable(requestURI ?? "-"))  \(state)"
        if let status { text += " \(status)" }
        text += "  worker \(worker) (pid \(pid))  \(Layout.age(milliseconds: age))"
        text += "  call-id \(Layout.printable(callID ?? "-"))\n"
        for fork in forks {
            text += "    fork \(fork.index)  worker \(fork.worker) (pid \(fork.pid))  \(fork.state)"
            if let status = fork.status { text += " \(status)" }
            text += "  \(Layout.printable(fork.target))"
            if fork.target != fork.nextHop { text += " via \(fork.nextHop)" }
            if let cancel = fork.cancel { text += "  CANCEL \(cancel)" }
            text += "\n"
        }
        return text
    }
}

extension TransactionsView.Fork {
    fileprivate var json: JSON {
        [
            "index": .number(index), "worker": .number(worker), "pid": .number(pid), "state": .string(state),
            "target": .string(target), "next_hop": .string(nextHop), "status": .optional(status),
            "cancel": .optional(cancel),
        ]
    }
}
