import Platform
import SharedState

/// What is told to those who asked, and for how long it holds.
struct Outcome {
    var answer = DNSAnswer()
    /// Seconds.
    var ttl: UInt32

    /// Limits of what records and SOAs say, in seconds.
    static let shortest: UInt32 = 1
    static let longest: UInt32 = 86_400
    static let longestNegative: UInt32 = 60
    /// For how long nobody asks again what no name server could tell.
    static let failure: UInt32 = 5
}

extension Resolution {
    /// Ranks the servers that were found, and takes of each as many addresses as there is room for.
    func outcome() -> Outcome {
        var outcome = Outcome(ttl: min(max(ttl, Outcome.shortest), Outcome.longest))
        let addresses = targets.map { ordered($0.addresses) }
        let share = share(servers.map { addresses[$0.target].count })
        var rank: UInt16 = 0
        // The servers are in the order of group and priority.
        for (number, server) in servers.enumerated() {
            if number > 0, isApart(server, servers[number - 1]) { rank += 1 }
            for address in cut(addresses[server.target], to: share) {
                if outcome.answer.count == DNSAnswer.capacity { break }
                var candidate = DNSCandidate()
                candidate.rank = rank
                candidate.weight = server.weight
                candidate.server = UInt16(number)
                candidate.transport = server.transport
                candidate.address = address
                candidate.address.port = server.port
                outcome.answer.candidates[outcome.answer.count] = candidate
                outcome.answer.count += 1
            }
        }
        if outcome.answer.count > 0 {
            outcome.answer.status = .found
        } else {
            outcome.answer.status = hasFailed ? .failed : .none
            outcome.ttl = min(outcome.ttl, Outcome.longestNegative)
        }
        if hasFailed { outcome.ttl = min(outcome.ttl, Outcome.failure) }
        return outcome
    }

    private func isApart(_ left: Server, _ right: Server) -> Bool {
        left.group != right.group || left.priority != right.priority
    }

    /// As many of each family as are taken at most, IPv6 first (RFC 6724 §6 with the policy of §2.1).
    private func ordered(_ addresses: [SocketAddress]) -> [SocketAddress] {
        var kept: [SocketAddress] = []
        for address in addresses where isReached(address) && !kept.contains(address) {
            if kept.count(where: { $0.family == address.family }) == Resolution.maximumAddresses { continue }
            kept.append(address)
        }
        return kept.filter(\.isIPv6) + kept.filter(\.isIPv4)
    }

    private func isReached(_ address: SocketAddress) -> Bool {
        address.isIPv6 ? reach.ipv6 : reach.ipv4
    }

    /// The most addresses that each server may have so that all servers find room.
    private func share(_ counts: [Int]) -> Int {
        var share = DNSAnswer.capacity
        while share > 1, counts.reduce(0, { $0 + min($1, share) }) > DNSAnswer.capacity { share -= 1 }
        return share
    }

    /// The first `count`, from both families by turns; in the order in which they were.
    private func cut(_ addresses: [SocketAddress], to count: Int) -> [SocketAddress] {
        if addresses.count <= count { return addresses }
        let last = addresses.filter(\.isIPv4)
        let first = addresses.filter(\.isIPv6)
        let lastCount = min(last.count, max(count / 2, count - first.count))
        return Array(first.prefix(count - lastCount) + last.prefix(lastCount))
    }
}
