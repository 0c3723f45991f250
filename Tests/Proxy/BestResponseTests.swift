import Testing

@testable import Proxy

@Suite struct BestResponseTests {
    /// Best first, one line per rank of RFC 3261 §16.7 step 6.
    static let ranks: [[UInt16]] = [
        [600, 603, 604, 606, 699],
        [200, 202, 299],
        [300, 302, 380, 399],
        [401, 407, 415, 420, 484],
        [400, 402, 403, 404, 480, 481, 486, 487, 488, 499],
        [408],
        [500, 501, 502, 504, 513, 599],
        [503],
    ]

    @Test func aBetterRankReplacesAndNothingElseDoes() {
        for (heldRank, heldStatuses) in Self.ranks.enumerated() {
            for (offeredRank, offeredStatuses) in Self.ranks.enumerated() {
                for held in heldStatuses {
                    for offered in offeredStatuses {
                        var best = BestResponse()
                        let taken = best.offer(status: held, fork: 3)
                        #expect(taken)
                        let replaces = offeredRank < heldRank
                        #expect(best.offer(status: offered, fork: 4) == replaces, "\(offered) after \(held)")
                        #expect(best.status == (replaces ? offered : held))
                        #expect(best.fork == (replaces ? 4 : 3))
                    }
                }
            }
        }
    }

    struct Fork: Sendable, CustomTestStringConvertible {
        let name: String
        let statuses: [UInt16]
        let fork: UInt8
        let upstream: UInt16

        var testDescription: String { name }
    }

    @Test(arguments: [
        Fork(name: "no final response: 408", statuses: [], fork: 0, upstream: 408),
        Fork(name: "the example of step 6", statuses: [503, 407, 501, 404], fork: 1, upstream: 407),
        Fork(name: "all busy", statuses: [486, 486, 486], fork: 0, upstream: 486),
        Fork(name: "busy and not there", statuses: [408, 486, 408], fork: 1, upstream: 486),
        Fork(name: "hung up: 487 before 408", statuses: [408, 487], fork: 1, upstream: 487),
        Fork(name: "global failure", statuses: [486, 302, 603, 600], fork: 2, upstream: 603),
        Fork(name: "a redirection before a challenge", statuses: [401, 302], fork: 1, upstream: 302),
        Fork(name: "only 503: 500", statuses: [503, 503], fork: 0, upstream: 500),
        Fork(name: "503 and another 5xx", statuses: [503, 504], fork: 1, upstream: 504),
        Fork(name: "503 and 408", statuses: [503, 408], fork: 1, upstream: 408),
        Fork(name: "a real 500 stays", statuses: [500], fork: 0, upstream: 500),
    ])
    func choice(_ row: Fork) {
        var best = BestResponse()
        for (fork, status) in row.statuses.enumerated() { _ = best.offer(status: status, fork: UInt8(fork)) }
        #expect(best.upstreamStatus == row.upstream)
        #expect(best.fork == row.fork)
    }

    @Test(arguments: [0, 1, 99, 100, 180, 199, 700, 999, .max] as [UInt16])
    func whatIsNoFinalResponseIsIgnored(status: UInt16) {
        var best = BestResponse()
        let taken = best.offer(status: status, fork: 1)
        #expect(!taken)
        #expect(best == BestResponse())
        _ = best.offer(status: 503, fork: 2)
        let replaced = best.offer(status: status, fork: 1)
        #expect(!replaced)
        #expect(best.status == 503)
    }
}
