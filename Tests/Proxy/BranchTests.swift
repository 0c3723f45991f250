import Platform
import SharedState
import Syntax
import Testing

@testable import Proxy

@Suite struct BranchTests {
    private static let transaction = TransactionReference(worker: 3, cell: 7, generation: 0xABCDEF)

    private static func parsed(_ bytes: [UInt8]) -> Branch? { Branch(bytes.span) }

    @Test func isReadAsItWasWritten() throws {
        let keys = Proxy.keys()
        for (fork, attempt, loop) in [
            (UInt8(0), UInt8(0), UInt64(0)), (1, 2, 1), (63, 255, .max), (255, 0, 7),
        ] {
            let branch = Branch(
                Self.transaction, fork: fork, attempt: attempt, loopMark: loop, keys: keys)
            let text = Proxy.text { branch.write(to: &$0) }
            #expect(text.count == Branch.length)
            #expect(text.starts(with: Array("z9hG4bKs03abcdef00000007".utf8)))
            let read = try #require(Self.parsed(text))
            #expect(read == branch && read.isGenuine(keys: keys) && !read.isStateless)
            #expect(!read.isGenuine(keys: Proxy.keys(2)))
        }
    }

    /// Any other byte at any place: not our form, or not genuine.
    @Test func aChangedBranchIsNotGenuine() {
        let keys = Proxy.keys()
        let text = Proxy.text { Branch(Self.transaction, fork: 1, attempt: 0, keys: keys).write(to: &$0) }
        for place in text.indices {
            for byte in [UInt8(0), 0x20, 0x2F, 0x3A, 0x41, 0x60, 0x67, 0x7A, 0xFF, text[place] ^ 1] {
                if byte == text[place] { continue }
                var changed = text
                changed[place] = byte
                #expect(Self.parsed(changed)?.isGenuine(keys: keys) != true, "byte \(byte) at \(place)")
            }
            #expect(Self.parsed(Array(text[..<place])) == nil)
        }
        #expect(Self.parsed(text + [0x30]) == nil)
        #expect(Self.parsed([]) == nil)
    }

    /// §16.11: the same request gives the same branch, another one another.
    @Test func statelessBranchesAreFunctionsOfTheRequest() {
        let keys = Proxy.keys()
        func branch(
            _ below: String, _ callID: String, _ cseq: UInt32, to via: String = "SIP/2.0/UDP 192.0.2.1:5060"
        ) -> Branch {
            let bytes = Array(via.utf8)
            let parsed = Via.parse(bytes.span, ByteRange(0, bytes.count))!
            return Branch(
                statelessOver: Array(below.utf8).span, callID: Array(callID.utf8).span, cseq: cseq,
                answeredTo: AnswerAddress(of: parsed, bytes.span), loopMark: 3, keys: keys)
        }
        let one = branch("z9hG4bKa", "c", 1)
        #expect(one == branch("z9hG4bKa", "c", 1))
        #expect(one.isStateless && !one.isGenuine(keys: keys))
        for other in [branch("z9hG4bKb", "c", 1), branch("z9hG4bKa", "d", 1), branch("z9hG4bKa", "c", 2)] {
            #expect(one != other)
        }
        // Nor does a branch help to send answers elsewhere.
        for via in [
            "SIP/2.0/UDP 192.0.2.1:5070", "SIP/2.0/TCP 192.0.2.1:5060", "SIP/2.0/UDP 192.0.2.2:5060",
            "SIP/2.0/UDP 192.0.2.1:5060;received=192.0.2.9", "SIP/2.0/UDP 192.0.2.1:5060;rport=9",
        ] { #expect(one != branch("z9hG4bKa", "c", 1, to: via)) }
        #expect(Self.parsed(Proxy.text { one.write(to: &$0) }) == one)
    }

    @Test func keysTellForksAndTheirCancelsApart() {
        let keys = Proxy.keys()
        var seen: Set<UInt64> = []
        for fork in [UInt8(0), 1] {
            for attempt in [UInt8(0), 1] {
                let branch = Branch(Self.transaction, fork: fork, attempt: attempt, keys: keys)
                for cancel in [false, true] { seen.insert(branch.key(keys: keys, cancel: cancel)) }
            }
        }
        #expect(seen.count == 8)
    }

    /// Design §4: the first fork stays with its server transaction, the others go round.
    @Test func forksGoRound() {
        #expect((0..<5).map { ForkPlacement.worker(owner: 2, fork: $0, workers: 3) } == [2, 0, 1, 2, 0])
        #expect(ForkPlacement.worker(owner: 0, fork: 255, workers: 1) == 0)
    }
}
