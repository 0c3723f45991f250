import Platform
import SharedMemory
import Testing

@testable import SharedState

@Suite("The cache of the resolver: one writer, readers without locks")
struct DNSCacheTests {
    private let state: SharedState
    private var cache: DNSCache { state.dns }

    init() throws {
        state = try TestArena().state
        try state.dns.initialize()
    }

    private func answer(_ count: Int, from first: UInt32 = 0x0A00_0000) -> DNSAnswer {
        var answer = DNSAnswer(.found)
        for index in 0..<count {
            var candidate = DNSCandidate()
            candidate.rank = UInt16(index)
            candidate.weight = 7
            candidate.server = UInt16(index)
            candidate.transport = .tcp
            candidate.address = SocketAddress(ipv4: first + UInt32(index), port: 5060)
            answer.candidates[index] = candidate
        }
        answer.count = count
        return answer
    }

    /// What is found, in a line.
    private func find(_ host: String, _ kind: DNSQuestion.Kind = .naptr, now: UInt64 = 1000) -> String? {
        let name = Array(host.utf8)
        guard let found = cache.find(kind, host: name.span, now: now) else { return nil }
        let candidates = (0..<found.count).map { index in
            let candidate = found.candidates[index]
            return "\(candidate.rank)/\(candidate.weight)/\(candidate.server) "
                + "\(candidate.transport):\(candidate.address.text)"
        }
        return ([("\(found.status)")] + candidates).joined(separator: " ")
    }

    @discardableResult
    private func store(
        _ answer: DNSAnswer, _ host: String, _ kind: DNSQuestion.Kind = .naptr, now: UInt64 = 1000,
        expires: UInt64 = 2000
    ) -> Bool {
        let name = Array(host.utf8)
        return cache.store(answer, to: kind, host: name.span, now: now, expires: expires)
    }

    @Test("an answer is found by kind and host, in any case, until it expires")
    func finds() {
        #expect(find("a.example") == nil)
        store(answer(2), "a.example")
        let expected = "found 0/7/0 tcp:10.0.0.0:5060 1/7/1 tcp:10.0.0.1:5060"
        #expect(find("a.example") == expected && find("A.Example") == expected)
        #expect(find("a.exampl") == nil && find("a.examples") == nil && find("a.example", .srvUDP) == nil)
        #expect(find("a.example", now: 1999) == expected && find("a.example", now: 2000) == nil)
        store(DNSAnswer(.none), "a.example", .srvUDP)
        store(DNSAnswer(.failed), "a.example", .address)
        #expect(find("a.example", .srvUDP) == "none" && find("a.example", .address) == "failed")
    }

    @Test("a new answer takes the place of the old one")
    func replaces() {
        store(answer(32), "a.example")
        #expect(find("a.example")?.hasSuffix("31/7/31 tcp:10.0.0.31:5060") == true)
        #expect(store(answer(1), "a.example"))
        #expect(find("a.example") == "found 0/7/0 tcp:10.0.0.0:5060")
    }

    @Test("what may only have a free place leaves good answers where they are")
    func modest() {
        let hosts = (0..<20_000).map { "h\($0).example" }
        for host in hosts { store(answer(1), host) }
        let isKept = hosts.map { find($0) != nil }
        for index in 0..<1000 {
            let name = Array("x\(index).example".utf8)
            let isStored = cache.store(
                DNSAnswer(.failed), to: .naptr, host: name.span, now: 1000, expires: 2000, onlyWhereFree: true
            )
            #expect(isStored == (find("x\(index).example") != nil))
        }
        #expect(hosts.map { find($0) != nil } == isKept)
    }

    @Test("the longest host is kept, a longer one is never found")
    func longest() {
        let host = String(repeating: "a", count: DNSQuestion.longestHost)
        store(answer(1), host)
        #expect(find(host) != nil && find(host + "a") == nil)
    }

    /// Names that share a set.
    private func crowd(_ count: Int) -> [String] {
        store(answer(1), "0", now: 1, expires: 2)
        let set = place("0")! / DNSCache.ways
        var names = ["0"]
        var number = 1
        while names.count < count {
            store(answer(1), "\(number)", now: 1, expires: 2)
            if place("\(number)").map({ $0 / DNSCache.ways }) == set { names.append("\(number)") }
            number += 1
        }
        return names
    }

    private func place(_ host: String) -> Int? {
        let name = Array(host.utf8)
        return cache.place(of: .naptr, host: name.span)
    }

    @Test("a full set loses what has expired, else its oldest")
    func evicts() {
        let names = crowd(DNSCache.ways + 2)
        for (index, name) in names.prefix(DNSCache.ways).enumerated() {
            #expect(store(answer(1), name, now: UInt64(10 + index), expires: index == 5 ? 50 : 100))
        }
        // Number 5 has expired.
        #expect(store(answer(1), names[DNSCache.ways], now: 60, expires: 100))
        #expect(find(names[5], now: 61) == nil)
        // Now the oldest has to go.
        #expect(!store(answer(1), names[DNSCache.ways + 1], now: 61, expires: 100))
        #expect(find(names[0], now: 61) == nil)
        for name in names[1..<5] + names[6...] { #expect(find(name, now: 61) != nil) }
    }

    @Test("a writer that dies in the middle leaves nothing there, and its successor uses the place again")
    func dies() {
        let names = crowd(DNSCache.ways + 1)
        for name in names.dropLast() { store(answer(1), name, now: 10, expires: 100) }
        let torn = place(names[3])!
        let sequence = cache.open(torn)
        #expect(sequence & 1 == 1)
        #expect(find(names[3], now: 20) == nil)
        // Another dies at the same place.
        #expect(cache.open(torn) == sequence)
        // Though all others are good, nobody is evicted.
        #expect(store(answer(1), names.last!, now: 20, expires: 100))
        #expect(place(names.last!) == torn)
        #expect(find(names.last!, now: 20) != nil && find(names[3], now: 20) == nil)
        for name in names.dropLast() where name != names[3] { #expect(find(name, now: 20) != nil) }
    }

    @Test("readers never see a mixture of two answers")
    func concurrent() async {
        let cache = cache
        let host = Array("race.example".utf8)
        store(answer(32, from: 0x0A00_0000), "race.example", expires: .max)
        nonisolated(unsafe) let test = self
        let writer = Task.detached {
            for round in 0..<20_000 {
                let first = UInt32(round & 1 == 0 ? 0x0B00_0000 : 0x0C00_0000)
                unsafe test.store(test.answer(32, from: first), "race.example", expires: .max)
            }
        }
        var seen = 0
        var mixed = 0
        for _ in 0..<20_000 {
            guard let found = cache.find(.naptr, host: host.span, now: 1) else { continue }
            seen += 1
            let first = found.candidates[0].address.ipv4
            for index in 0..<found.count where found.candidates[index].address.ipv4 != first + UInt32(index) {
                mixed += 1
            }
        }
        await writer.value
        #expect(mixed == 0 && seen > 0)
    }
}

@Suite("Addresses that did not answer")
struct DeadPeersTests {
    private let peers: DeadPeers

    init() throws {
        let state = try TestArena().state
        peers = state.deadPeers
        try peers.initialize()
    }

    private func address(_ text: String, _ port: UInt16 = 5060) -> SocketAddress {
        SocketAddress(host: text, port: port)!
    }

    @Test("dead until a time, or until it answers; told apart by transport, address and port")
    func dead() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            let peer = address(text)
            #expect(!peers.isDead(.udp, peer, now: 0))
            peers.markDead(.udp, peer, until: 5000)
            #expect(peers.isDead(.udp, peer, now: 4999) && !peers.isDead(.udp, peer, now: 5000))
            #expect(!peers.isDead(.tcp, peer, now: 1) && !peers.isDead(.udp, address(text, 5061), now: 1))
            peers.markAlive(.udp, address(text, 5061))
            #expect(peers.isDead(.udp, peer, now: 1))
            peers.markAlive(.udp, peer)
            #expect(!peers.isDead(.udp, peer, now: 1))
        }
        #expect(!peers.isDead(.udp, address("2001:db8::2"), now: 1))
    }

    @Test("no peer passes for another, however many have died")
    func many() {
        for index in 0..<UInt32(20_000) {
            peers.markDead(.udp, SocketAddress(ipv4: 0x0A00_0000 + index, port: 5060), until: 5000)
        }
        var wrong = 0
        for index in 0..<UInt32(20_000)
        where peers.isDead(.udp, SocketAddress(ipv4: 0x0B00_0000 + index, port: 5060), now: 1) {
            wrong += 1
        }
        #expect(wrong <= 2)
    }
}
