import Platform
import SharedMemory
import SharedState
import Testing

@testable import Locator

/// A locator dies in the middle of a turn.
@Suite struct CrashTests {
    /// A turn is abandoned after each of its writes; the successor does it again, and all is as if nothing
    /// had been.
    @Test func abandonedTurnIsDoneAgain() throws {
        var writes = 1
        var written = 0
        while written <= writes {
            let fixture = try Fixture(isInMemory: written % 8 != 0)
            var service = fixture.start()
            fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])])
            let mails = [
                fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                fixture.request("amy", ["Contact: <sip:amy@1>"], worker: 1),
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=0"], cseq: 3),
                fixture.command("cat", ["Contact: <sip:cat@1>"]),
                fixture.command("amy", ["Contact: *", "Expires: 0"], mustChange: true),
            ]
            fixture.deliver(mails, to: service.turn)
            fixture.handle(&service)
            writes = service.turn.undo.count
            rewind(fixture, to: written)
            var found = Turn.Recovery.clean
            var second = fixture.start(&found)
            #expect(found == .undone)
            #expect(fixture.contacts("bob") == ["sip:bob@1 4600"] && fixture.contacts("amy") == [])
            #expect(fixture.answers() == ["0 1 200 0"])
            fixture.handle(&second)
            fixture.finish(&second)
            #expect(
                fixture.answers() == [
                    "0 1 200 0", "0 2 200 0", "0 3 200 0", "1 1 200 0", "master 1 200 0", "master 2 200 0",
                ])
            #expect(fixture.contacts("bob") == ["sip:bob@2 4600"] && fixture.contacts("amy") == [])
            #expect(fixture.contacts("cat") == ["sip:cat@1 4600"])
            #expect(fixture.state.locations.bindingCount == 2 && fixture.state.locations.recordCount == 2)
            if written % 8 == 0 { #expect(try fixture.rows("bob") == ["sip:bob@2 4600"]) }
            written += 1
        }
        #expect(writes > 15)
    }

    /// Design §5.3: what has ended the locator twice is answered without being looked at.
    @Test func quarantinedRegisterIsRefused() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let mails = [
            fixture.request("bob", ["Contact: <sip:bob@1>"]),
            fixture.request("amy", ["Contact: <sip:amy@1>"]),
        ]
        fixture.deliver(mails, to: service.turn)
        service.begin(now: fixture.now)
        var isFirst = true
        while let mail = service.turn.next() {
            let isNew = service.handle(mail, isRefused: isFirst)
            #expect(isNew)
            isFirst = false
        }
        service.settle()
        fixture.finish(&service)
        #expect(fixture.answers() == ["0 1 500 12", "0 2 200 0"])
        #expect(fixture.contacts("bob") == [] && fixture.contacts("amy") == ["sip:amy@1 4600"])
    }

    private func rewind(_ fixture: Fixture, to count: Int) {
        let memory = fixture.arena.memory
        let log = fixture.state.locatorTurn + Turn.bytes - UndoLog.bytes(capacity: Turn.undoCapacity)
        let all = Int(memory.load(log, as: UInt64.self))
        for index in stride(from: all - 1, through: count, by: -1) {
            let entry = log + 64 + index * 16
            memory.storeAtomic(memory.load(entry + 8), at: Int(memory.load(entry, as: UInt64.self)))
        }
        memory.store(UInt64(count), at: log)
    }

    @Test func committedTurnIsNotDoneAgain() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.deliver([fixture.request("bob", ["Contact: <sip:bob@1>"])], to: service.turn)
        fixture.handle(&service)
        service.turn.commit()
        var found = Turn.Recovery.clean
        var second = fixture.start(&found)
        #expect(found == .flush)
        fixture.handle(&second)
        fixture.finish(&second)
        #expect(fixture.answers() == ["0 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600"])
    }

    /// The rows were durable and the table was not yet changed, and the worker asks again with the same
    /// request.
    @Test func replayGetsTheSameBindings() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>;expires=100"], cseq: 8)])
        fixture.now = 1002
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>;expires=100"], cseq: 8)
                ]) == ["0 2 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 1100"])
    }
}
