import Platform
import SharedState

@testable import Worker

/// What must hold at the end of every sequence.
extension FuzzRun {
    /// What is wrong; empty where all is well.
    func violations() -> [String] { faults + answersOfTransactions() + forks() + leftovers() }

    /// RFC 3261 §17.2, §16.7: one final response, but that an INVITE may have several 2xx.
    private func answersOfTransactions() -> [String] {
        var wrong: [String] = []
        for call in calls where call.method != "ACK" {
            let finals = finals(of: call)
            let name = "\(call.method) \(call.branch)"
            if call.method == "INVITE" {
                if finals.isEmpty { wrong.append("\(name) has no final response") }
                if finals.filter({ $0.status >= 300 }).count > 1 { wrong.append("\(name): several failures") }
                if let success = finals.firstIndex(where: { $0.status < 300 }),
                    finals[success...].contains(where: { $0.status >= 300 })
                {
                    wrong.append("\(name): a failure after a 2xx")
                }
            } else if finals.count > 1 && !call.isExempt {
                wrong.append("\(name) has \(finals.count) final responses")
            }
            // Without state, by the Via alone.
            if call.isExempt { continue }
            for answer in heard
            where answer.branch == call.branch && answer.status > 0 && answer.cseqMethod == call.method {
                let isHome =
                    answer.peer.transport == call.caller.transport
                    && answer.peer.peer == call.caller.peer
                if !isHome { wrong.append("\(name): \(answer.status) went to \(answer.place)") }
            }
        }
        return wrong
    }

    /// §17.1.1.3: failures are acknowledged. §9.1, §16.10: whoever rings is answered, or cancelled in the end.
    private func forks() -> [String] {
        var wrong: [String] = []
        for invite in heard where invite.method == "INVITE" {
            let said = answers.filter { $0.request.branch == invite.branch && $0.request.method == "INVITE" }
            // Later ones may find the transaction gone.
            guard let first = said.first, first.at < invite.at + 20_000 else { continue }
            let later = heard.filter { $0.branch == invite.branch && $0.status == 0 }
            if let final = said.first(where: { $0.status >= 200 }) {
                if final.status >= 300 && final.at < invite.at + 20_000
                    && !failed(invite) && !later.contains(where: { $0.method == "ACK" })
                {
                    wrong.append("\(invite.branch.prefix(28)): no ACK to \(final.status)")
                }
            } else if !failed(invite) && !later.contains(where: { $0.method == "CANCEL" }) {
                wrong.append("\(invite.branch.prefix(28)): rings, is not cancelled")
            }
        }
        return wrong
    }

    /// Its transaction may have ended by a failure to send.
    private func failed(_ invite: Heard) -> Bool { invite.mail != nil }

    private func leftovers() -> [String] {
        var wrong: [String] = []
        func expect(_ count: Int, _ what: String) {
            if count != 0 { wrong.append("\(count) \(what) left") }
        }
        for seat in seats {
            let shard = world.state.shard(seat.index)
            expect(shard.serverTransactions, "server transactions of worker \(seat.index)")
            expect(shard.table.pool.inUse, "records of worker \(seat.index)")
            expect(shard.stored.inUse, "stored messages of worker \(seat.index)")
            if !shard.stored.isConsistent { wrong.append("stored messages are inconsistent") }
            if !shard.table.pool.isConsistent { wrong.append("the record pool is inconsistent") }
            if !shard.wheel.isEmpty { wrong.append("a timer is left") }
        }
        expect(world.state.slots.inUse, "slots")
        return wrong
    }

    /// What each peer has received, without repetitions.
    var received: [String: Set<String>] {
        var all: [String: Set<String>] = [:]
        for message in heard { all[message.place, default: []].insert(message.comparable) }
        return all
    }
}
