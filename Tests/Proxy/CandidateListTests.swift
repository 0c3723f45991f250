import Platform
import SharedState
import Testing

@testable import Proxy

/// The order in which the addresses of a name are tried: RFC 3263 §4.3, RFC 2782.
@Suite struct CandidateListTests {
    /// One line of an answer: where, and its place in the order.
    struct Line: Sendable {
        let place: String
        var rank: UInt16 = 0
        var weight: UInt16 = 0
        var server: UInt16 = 0

        init(_ place: String, rank: UInt16 = 0, weight: UInt16 = 0, server: UInt16 = 0) {
            (self.place, self.rank, self.weight, self.server) = (place, rank, weight, server)
        }
    }

    private static func answer(_ lines: [Line]) -> DNSAnswer {
        var answer = DNSAnswer()
        answer.status = .found
        for line in lines {
            let endpoint = MixedProxy.endpoint(line.place)
            var candidate = DNSCandidate()
            candidate.address = endpoint.peer
            candidate.transport = endpoint.transport
            (candidate.rank, candidate.weight, candidate.server) = (line.rank, line.weight, line.server)
            answer.candidates[answer.count] = candidate
            answer.count += 1
        }
        return answer
    }

    private func order(
        _ lines: [Line], port: UInt16 = 0, seed: UInt64 = 1, in proxy: MixedProxy, dead: Set<String> = []
    ) -> [String] {
        CandidateList(CandidateListTests.answer(lines), port: port, seed: seed, proxy.identity) {
            dead.contains(MixedProxy.text($0.transport, $0.address))
        }.texts
    }

    @Test func lowerRanksComeFirst() throws {
        let proxy = try MixedProxy()
        let lines = [
            Line("udp 192.0.2.9:1", rank: 7, server: 1), Line("tcp 192.0.2.9:2", rank: 0, server: 2),
            Line("udp 192.0.2.9:3", rank: 65535, server: 3), Line("tcp 192.0.2.9:4", rank: 3, server: 4),
        ]
        let expected = ["tcp 192.0.2.9:2", "tcp 192.0.2.9:4", "udp 192.0.2.9:1", "udp 192.0.2.9:3"]
        for seed in 0..<50 { #expect(order(lines, seed: UInt64(seed), in: proxy) == expected) }
    }

    /// A server's addresses stay together, in their order, whichever server is drawn.
    @Test func serversAreDrawnNotAddresses() throws {
        let proxy = try MixedProxy()
        let lines = [
            Line("udp [2001:db8::a]:5060", weight: 1, server: 1),
            Line("udp 192.0.2.11:5060", weight: 1, server: 2),
            Line("udp 192.0.2.10:5060", weight: 1, server: 1),
            Line("udp 192.0.2.12:5060", weight: 1, server: 2),
        ]
        let first = ["udp [2001:db8::a]:5060", "udp 192.0.2.10:5060"]
        let second = ["udp 192.0.2.11:5060", "udp 192.0.2.12:5060"]
        var seen: Set<[String]> = []
        for seed in 0..<200 { seen.insert(order(lines, seed: UInt64(seed), in: proxy)) }
        #expect(seen == [first + second, second + first])
    }

    /// How often each server is the first of 4000 requests. A server counts once, however many addresses it has.
    @Test func weightsAreShares() throws {
        let proxy = try MixedProxy()
        var lines = [
            Line("udp 192.0.2.1:1", weight: 60, server: 1), Line("udp 192.0.2.2:1", weight: 30, server: 2),
        ]
        for host in 3..<9 { lines.append(Line("udp 192.0.2.\(host):1", weight: 10, server: 3)) }
        var firsts: [String: Int] = [:]
        var seconds: [String: Int] = [:]
        for seed in 0..<4000 {
            let found = order(lines, seed: UInt64(seed), in: proxy)
            #expect(found.count == 8)
            firsts[found[0], default: 0] += 1
            if found[0] == "udp 192.0.2.1:1" { seconds[found[1], default: 0] += 1 }
        }
        let shares = ["udp 192.0.2.1:1", "udp 192.0.2.2:1", "udp 192.0.2.3:1"].map { firsts[$0] ?? 0 }
        #expect((2200...2600).contains(shares[0]), "\(shares)")
        #expect((1000...1400).contains(shares[1]), "\(shares)")
        #expect((280...520).contains(shares[2]), "\(shares)")
        #expect(shares.reduce(0, +) == 4000)
        // Of the rest, 30 to 10.
        let behind = (seconds["udp 192.0.2.2:1"] ?? 0) * 100 / shares[0]
        #expect((65...85).contains(behind), "\(seconds)")
    }

    /// RFC 2782: a server of weight 0 is drawn, but rarely; of such servers alone the order is theirs.
    @Test func weightZero() throws {
        let proxy = try MixedProxy()
        let idle = Line("udp 192.0.2.2:1", weight: 0, server: 2)
        let busy = Line("udp 192.0.2.1:1", weight: 50, server: 1)
        let firsts = (0..<4000).count { order([busy, idle], seed: UInt64($0), in: proxy)[0] == idle.place }
        #expect((20...200).contains(firsts), "\(firsts) of 4000")
        let other = Line("udp 192.0.2.3:1", weight: 0, server: 3)
        #expect(order([idle, other], in: proxy) == [idle.place, other.place])
        // The largest weights there are.
        let heavy = (1...32).map { Line("udp 192.0.2.\($0):1", weight: .max, server: UInt16($0)) }
        #expect(Set(order(heavy, in: proxy)).count == 32)
    }

    @Test func theSameRequestGetsTheSameOrder() throws {
        let proxy = try MixedProxy()
        let lines = (1...20).map { Line("udp 192.0.2.\($0):1", weight: 5, server: UInt16($0)) }
        let orders = (0..<20).map { order(lines, seed: UInt64($0), in: proxy) }
        #expect(Set(orders).count == 20)
        for seed in 0..<20 { #expect(order(lines, seed: UInt64(seed), in: proxy) == orders[seed]) }
        for found in orders { #expect(Set(found) == Set(lines.map(\.place))) }
    }

    @Test func theDeadComeLast() throws {
        let proxy = try MixedProxy()
        let lines = (1...5).map { Line("tcp 192.0.2.\($0):1", rank: UInt16($0), server: UInt16($0)) }
        let places = lines.map(\.place)
        #expect(
            order(lines, in: proxy, dead: [places[0], places[3]])
                == [places[1], places[2], places[4], places[0], places[3]])
        #expect(order(lines, in: proxy, dead: Set(places)) == places)
        // By another transport it is another candidate.
        #expect(order(lines, in: proxy, dead: ["udp 192.0.2.1:1"]) == places)
    }

    @Test(arguments: [
        (["udp 192.0.2.1:5060"], ["udp 192.0.2.9:1"]),
        (["tcp 192.0.2.1:5060"], ["tcp 192.0.2.9:1"]),
        (["tcp 192.0.2.1:5060", "udp [2001:db8::1]:5060"], ["udp [2001:db8::9]:1", "tcp 192.0.2.9:1"]),
        (["udp [::]:5060", "tcp [::]:5060"], ["udp [2001:db8::9]:1", "tcp [2001:db8::9]:1"]),
    ])
    func whatWeCannotSendToIsLeftOut(listeners: [String], expected: [String]) throws {
        let lines = [
            Line("udp [2001:db8::9]:1", rank: 1, server: 1), Line("udp 192.0.2.9:1", rank: 1, server: 1),
            Line("tcp [2001:db8::9]:1", rank: 2, server: 2), Line("tcp 192.0.2.9:1", rank: 2, server: 2),
        ]
        #expect(order(lines, in: try MixedProxy(listeners)) == expected)
    }

    @Test func noBroadcastsAndNoNothing() throws {
        let proxy = try MixedProxy()
        let lines = ["udp 255.255.255.255:5060", "tcp 224.0.0.1:5060", "udp [ff02::1]:5060"].map { Line($0) }
        #expect(order(lines, in: proxy).isEmpty)
        #expect(order([], in: proxy).isEmpty)
    }

    /// The port of the records, else of the URI, else 5060.
    @Test func ports() throws {
        let proxy = try MixedProxy()
        let lines = [Line("udp 192.0.2.9:0", server: 1), Line("udp 192.0.2.10:7", server: 1)]
        #expect(order(lines, port: 5070, in: proxy) == ["udp 192.0.2.9:5070", "udp 192.0.2.10:7"])
        #expect(order(lines, port: 0, in: proxy) == ["udp 192.0.2.9:5060", "udp 192.0.2.10:7"])
    }

    // MARK: long requests

    @Test func longRequestsTryTCPFirst() throws {
        let proxy = try MixedProxy(["udp 192.0.2.1:5060", "tcp 192.0.2.1:5060", "udp [2001:db8::1]:5060"])
        let list = CandidateList(["udp 192.0.2.9:5060", "udp [2001:db8::9]:5070", "tcp 192.0.2.10:5060"])
        #expect(
            list.preferringTCP(proxy.identity).texts == [
                "tcp 192.0.2.9:5060", "udp 192.0.2.9:5060", "udp [2001:db8::9]:5070", "tcp 192.0.2.10:5060",
            ])
        #expect(list.texts.count == 3)
        #expect(CandidateList().preferringTCP(proxy.identity).count == 0)
    }

    @Test func noMoreThanFit() throws {
        let proxy = try MixedProxy()
        let texts = (1...40).map { "udp 192.0.2.\($0):5060" }
        let list = CandidateList(texts)
        #expect(list.texts == Array(texts.prefix(CandidateList.capacity)))
        let longer = list.preferringTCP(proxy.identity)
        #expect(longer.count == CandidateList.capacity)
        #expect(longer.texts[30] == "tcp 192.0.2.16:5060" && longer.texts[31] == "udp 192.0.2.16:5060")
        #expect(longer.deadLast { _ in true }.texts == longer.texts)
    }
}
