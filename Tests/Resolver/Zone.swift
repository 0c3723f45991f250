import Platform
import SharedState

@testable import Resolver

/// Name servers that answer from a table, and say what they were asked.
struct Zone {
    /// By "SRV _sip._udp.example"; what is not in it does not exist.
    var replies: [String: DNSReply] = [:]
    var reach = Resolution.Reach()
    var hosts = LocalHosts(path: "/nonexistent")
    private(set) var asked: [[String]] = []

    mutating func add(_ name: String, _ addresses: String..., ttl: UInt32 = 300) {
        let known = addresses.map { SocketAddress(host: $0, port: 0)! }
        for (type, some) in [("A", known.filter(\.isIPv4)), ("AAAA", known.filter(\.isIPv6))] {
            if !some.isEmpty { replies["\(type) \(name)"] = .found(some.map { .address($0) }, ttl: ttl) }
        }
    }

    mutating func service(
        _ name: String, _ servers: (UInt16, UInt16, UInt16, String)..., ttl: UInt32 = 300
    ) {
        replies["SRV \(name)"] = .found(
            servers.map { .service(priority: $0.0, weight: $0.1, port: $0.2, target: $0.3) }, ttl: ttl)
    }

    mutating func rules(
        _ name: String, _ rules: (UInt16, UInt16, String, String, String)..., ttl: UInt32 = 300
    ) {
        replies["NAPTR \(name)"] = .found(
            rules.map {
                .rule(order: $0.0, preference: $0.1, flags: $0.2, services: $0.3, replacement: $0.4)
            }, ttl: ttl)
    }

    /// Asks, stage by stage.
    mutating func resolve(_ kind: DNSQuestion.Kind, _ host: String) -> Outcome {
        var resolution = Resolution(kind, host, reach: reach, hosts: hosts)
        asked = []
        var lookups = resolution.begin()
        while !lookups.isEmpty {
            asked.append(lookups.map(Zone.text))
            var next: [Resolution.Lookup] = []
            for lookup in lookups {
                next += resolution.take(replies[Zone.text(lookup)] ?? .none(ttl: 900), of: lookup.number)
            }
            lookups = next
        }
        return resolution.outcome()
    }

    private static func text(_ lookup: Resolution.Lookup) -> String {
        "\(lookup.type)".uppercased() + " " + lookup.name
    }
}

extension Outcome {
    /// "rank weight server transport address" of each candidate.
    var lines: [String] {
        (0..<answer.count).map { index in
            let candidate = answer.candidates[index]
            return "\(candidate.rank) \(candidate.weight) \(candidate.server) \(candidate.transport) "
                + candidate.address.text
        }
    }
}
