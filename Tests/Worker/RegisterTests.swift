import Platform
import SharedState
import Testing

@testable import Worker

/// The registrar's front, where the locator does not do its part.
@Suite struct RegisterTests {
    /// Its word never comes: the transaction ends when the client has given up, without an answer (RFC 4320
    /// §4.2).
    @Test func aRegisterWithoutAnswerEnds() throws {
        let world = try World(t1: 1)
        let phone = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("REGISTER", "sip:example.org", from: phone, branch: "r"), from: phone.address, to: 0)
        worker.run(turns: 1)
        #expect(world.state.shard(0).serverTransactions == 1)
        // 64·T1 for the locator, 64·T1 for timer J.
        let end = Clock.milliseconds() + 2000
        while world.state.shard(0).serverTransactions > 0 && Clock.milliseconds() < end {
            worker.receive()
            worker.work()
            worker.turn.commit()
            worker.turn.finish()
        }
        #expect(world.state.shard(0).serverTransactions == 0)
        #expect(world.state.shard(0).stored.inUse == 0)
        #expect(world.state.shard(0).table.pool.inUse == 0)
        #expect(phone.isSilent)
    }

    @Test func aLocatorThatStandsStillIsToldOfAtOnce() throws {
        let world = try World()
        let phone = Phone()
        var worker = try world.worker(0)
        world.fill(.locator, by: &worker)
        world.deliver(
            request("REGISTER", "sip:example.org", from: phone, branch: "r"), from: phone.address, to: 0)
        worker.run(turns: 1)
        let answer = try #require(phone.hear())
        #expect(answer.hasPrefix("SIP/2.0 503 "))
        #expect(answer.contains("Retry-After: "))
    }

    /// RFC 3261 §10.3 step 2.
    @Test(arguments: ["REGISTER", "OPTIONS"]) func unknownExtensionsAreRefused(method: String) throws {
        let world = try World()
        let phone = Phone()
        var worker = try world.worker(0)
        let text = request(
            method, "sip:example.org", from: phone, branch: "r",
            extra: "Require: path, nothing-sip\r\nRequire: nothing-more\r\n")
        world.deliver(text, from: phone.address, to: 0)
        worker.run(turns: 1)
        let answer = try #require(phone.hear())
        #expect(answer.hasPrefix("SIP/2.0 420 "))
        #expect(answer.contains("\r\nUnsupported: nothing-sip, nothing-more\r\n"))
    }

    /// RFC 3327: known, so nobody is refused for it, and OPTIONS says so.
    @Test func pathIsKnown() throws {
        let world = try World()
        let phone = Phone()
        var worker = try world.worker(0)
        world.deliver(
            request("OPTIONS", "sip:example.org", from: phone, branch: "o", extra: "Require: path\r\n"),
            from: phone.address, to: 0)
        worker.run(turns: 1)
        let answer = try #require(phone.hear())
        #expect(answer.hasPrefix("SIP/2.0 200 "))
        #expect(answer.contains("\r\nSupported: path\r\n"))
        world.deliver(
            request("REGISTER", "sip:example.org", from: phone, branch: "r", extra: "Require: path\r\n"),
            from: phone.address, to: 0)
        worker.run(turns: 1)
        #expect(phone.isSilent)
        #expect(world.state.shard(0).ring(to: .locator).tail == 1)
    }
}
