import Platform
import SharedState
import Testing

@testable import Worker

/// What is left of a call in the shared memory while its timers run.
@Suite struct MemoryTests {
    private static let phoneLines = """
        Contact: <sip:alice@192.168.178.124:5060;transport=udp>\r
        User-Agent: Linphone-Desktop/4.3.2 (Debian GNU/Linux 12) LinphoneCore/5.1.7\r
        Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, PRACK, UPDATE\r
        Supported: replaces, outbound, gruu, path\r\n
        """

    private static let offer = """
        v=0\r
        o=alice 53655765 2353687637 IN IP4 192.168.178.124\r
        s=-\r
        c=IN IP4 192.168.178.124\r
        t=0 0\r
        m=audio 6000 RTP/AVP 0 8 101\r
        a=rtpmap:0 PCMU/8000\r
        a=rtpmap:8 PCMA/8000\r
        a=rtpmap:101 telephone-event/8000\r\n
        """

    private let world: World
    private let caller = Phone()
    private let callee = Phone()
    private var shard: Shard { world.state.shard(0) }

    init() throws { world = try World(workers: 1) }

    /// Bytes of records, buckets and cells for each server transaction alive.
    private var bytesPerTransaction: Int {
        let bytes =
            shard.table.pool.inUse * (TransactionTable.recordBytes + 4) + shard.stored.bytesInUse
        return bytes / shard.serverTransactions
    }

    private func answer(_ status: Int, to request: String) {
        let text = response(status, to: request)
            .replacing("Content-Length", with: MemoryTests.phoneLines + "Content-Length")
        world.deliver(text, from: callee.address, to: 0)
    }

    /// A call of five messages beside the ACK, which leaves nothing.
    private func call(_ number: Int, by worker: inout WorkerProcess) throws {
        let uri = "sip:bob@\(callee.address.text)"
        let id = "a84b4c76e66710d9b8f2c31e7a05f6a\(number)@192.168.178.124"
        let invite = request(
            "INVITE", uri, from: caller, branch: "i\(number)", callID: id, extra: MemoryTests.phoneLines,
            body: MemoryTests.offer)
        world.deliver(invite, from: caller.address, to: 0)
        worker.run(turns: 1)
        let forwarded = try #require(callee.hear())
        for status in [180, 200] {
            answer(status, to: forwarded)
            worker.run(turns: 1)
            _ = try #require(caller.hear())
        }
        let bye = request(
            "BYE", uri, from: caller, branch: "b\(number)", callID: id, cseq: 2,
            extra: MemoryTests.phoneLines, toTag: "b1")
        world.deliver(bye, from: caller.address, to: 0)
        worker.run(turns: 1)
        answer(200, to: try #require(callee.hear()))
        worker.run(turns: 1)
        _ = try #require(caller.hear())
    }

    /// INVITE transactions in Accepted, those of BYE in Completed, and the forks of both: 1.5 kB at most in the
    /// whole, so less than that here, where what is there for all does not count.
    @Test func aCompletedTransactionTakesFewBytes() throws {
        var worker = try world.worker(0)
        for number in 0..<10 { try call(number, by: &worker) }
        #expect(shard.serverTransactions == 20 && shard.table.pool.inUse == 40)
        #expect(shard.stored.inUse == 10)
        #expect(bytesPerTransaction <= 1000)
    }

    /// An answer of ours lies in a cell that fits it.
    @Test func anAnswerOfOursTakesFewBytes() throws {
        var worker = try world.worker(0)
        for number in 0..<10 {
            let text = request(
                "OPTIONS", "sip:example.org", from: caller, branch: "o\(number)", callID: "o\(number)",
                extra: MemoryTests.phoneLines)
            world.deliver(text, from: caller.address, to: 0)
            worker.run(turns: 1)
            let heard = try #require(caller.hear())
            #expect(heard.hasPrefix("SIP/2.0 200 ") && heard.utf8.count < 500)
        }
        #expect(shard.serverTransactions == 10 && shard.stored.inUse == 10)
        #expect(bytesPerTransaction <= 256 + 4 + 640)
    }
}
