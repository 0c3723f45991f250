import Platform
import SharedState

/// One address that a request may be sent to, and by which transport: 32 bytes, fit for shared memory.
package struct Candidate: BitwiseCopyable, Equatable {
    package static let bytes = 32

    package var address: SocketAddress
    package var transport: SIPTransport
    private var padding: UInt8 = 0
    private var padding2: UInt16 = 0

    package init(_ address: SocketAddress, _ transport: SIPTransport) {
        self.address = address
        self.transport = transport
    }
}

/// The addresses of a next hop in the order in which they are tried (RFC 3263 §4.3): the next one, with a new
/// branch, where one fails.
package struct CandidateList {
    package static let capacity = 32

    package private(set) var count = 0
    private var list = InlineArray<32, Candidate>(repeating: Candidate(SocketAddress(), .udp))

    package init() {}

    package subscript(index: Int) -> Candidate {
        precondition(index < count, "no such candidate")
        return list[index]
    }

    package mutating func append(_ candidate: Candidate) {
        if count == CandidateList.capacity { return }
        list[count] = candidate
        count += 1
    }

    /// What the resolver has found, in the order of a request: by rank; servers of one rank by lot, weighted
    /// (RFC 2782); a server's addresses in their order. Those that failed lately come last. What we cannot send
    /// to is left out.
    ///
    /// - Parameters:
    ///   - port: of the URI; 0 where it has none.
    ///   - transport: of the URI, where that decides alone (RFC 3263 §4.1: a port is given); nil where the answer
    ///     does.
    ///   - seed: the lot; the same request gets the same order.
    package init(
        _ answer: DNSAnswer, port: UInt16, transport: SIPTransport? = nil, seed: UInt64,
        _ identity: Identity, isDead: (Candidate) -> Bool
    ) {
        var open = UInt64(0)
        for index in 0..<min(answer.count, DNSAnswer.capacity) {
            let found = answer.candidates[index]
            if !found.address.isForMany,
                identity.speaks(transport ?? found.transport, family: found.address.family)
            {
                open |= 1 << UInt64(index)
            }
        }
        var ordered = CandidateList()
        var lot = Lot(seed: seed)
        while open != 0 {
            let server = CandidateList.draw(answer, open, &lot)
            for index in 0..<answer.count where open & (1 << UInt64(index)) != 0 {
                let found = answer.candidates[index]
                if found.server != server { continue }
                open &= ~(1 << UInt64(index))
                var address = found.address
                if address.port == 0 { address.port = port == 0 ? 5060 : port }
                ordered.append(Candidate(address, transport ?? found.transport))
            }
        }
        self = ordered.deadLast(isDead)
    }

    /// The server of the lowest rank left whose turn it is.
    private static func draw(_ answer: DNSAnswer, _ open: UInt64, _ lot: inout Lot) -> UInt16 {
        var rank = UInt16.max
        for index in 0..<answer.count where open & (1 << UInt64(index)) != 0 {
            rank = min(rank, answer.candidates[index].rank)
        }
        // Each server once, with its first address.
        var firsts = UInt64(0)
        var sum = 0
        for index in 0..<answer.count where open & (1 << UInt64(index)) != 0 {
            let found = answer.candidates[index]
            if found.rank != rank || isKnown(found.server, answer, firsts) { continue }
            firsts |= 1 << UInt64(index)
            sum += Int(found.weight)
        }
        // RFC 2782: those of weight 0 stand first, so that they are drawn, but rarely.
        let drawn = lot.next(upTo: sum)
        var running = 0
        var last: UInt16 = 0
        for pass in 0..<2 {
            for index in 0..<answer.count where firsts & (1 << UInt64(index)) != 0 {
                let found = answer.candidates[index]
                if (found.weight > 0) != (pass == 1) { continue }
                running += Int(found.weight)
                last = found.server
                if running >= drawn { return last }
            }
        }
        return last
    }

    private static func isKnown(_ server: UInt16, _ answer: DNSAnswer, _ firsts: UInt64) -> Bool {
        for index in 0..<answer.count where firsts & (1 << UInt64(index)) != 0 {
            if answer.candidates[index].server == server { return true }
        }
        return false
    }

    /// The same with those that failed lately behind the others.
    package func deadLast(_ isDead: (Candidate) -> Bool) -> CandidateList {
        var ordered = CandidateList()
        var dead = CandidateList()
        for index in 0..<count {
            if isDead(list[index]) { dead.append(list[index]) } else { ordered.append(list[index]) }
        }
        for index in 0..<dead.count { ordered.append(dead.list[index]) }
        return ordered
    }

    /// RFC 3261 §18.1.1: a request too long for a datagram goes by TCP, and by UDP where that cannot be.
    package func preferringTCP(_ identity: Identity) -> CandidateList {
        var longer = CandidateList()
        for index in 0..<count {
            let candidate = list[index]
            if candidate.transport == .udp, identity.speaks(.tcp, family: candidate.address.family) {
                longer.append(Candidate(candidate.address, .tcp))
            }
            longer.append(candidate)
        }
        return longer
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
private struct Lot {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// 0 to `limit`, both included.
    mutating func next(upTo limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        return Int(mixed % UInt64(limit + 1))
    }
}
