import SharedMemory
import SharedState
import Testing

@testable import Locator

/// What the master asks for the control tool: the same rules, the same store, an answer to the master.
@Suite struct CommandTests {
    private static let noSuchBinding = "404 15"

    @Test func registersAndRemoves() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>"], cseq: 90),
                    fixture.command("bob", ["Contact: <sip:bob@2>;expires=100", "User-Agent: sipforkctl"]),
                ]) == ["0 1 200 0", "master 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600", "sip:bob@2 1100"])
        #expect(try fixture.rows("bob") == ["sip:bob@1 4600", "sip:bob@2 1100"])
        #expect(fixture.origins("bob") == ["sip:bob@1 '' ''", "sip:bob@2 '' 'sipforkctl'"])
        // Of the phone's binding, though its CSeq is higher; then of all.
        let one = fixture.command(
            "bob", ["Contact: <sip:bob@1>;expires=0"], callID: "ctl2@h", mustChange: true)
        #expect(fixture.turn(&service, [one]) == ["master 2 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@2 1100"])
        fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@3>"], cseq: 91)])
        let all = fixture.command("bob", ["Contact: *", "Expires: 0"], callID: "ctl3@h", mustChange: true)
        #expect(fixture.turn(&service, [all]) == ["master 3 200 0"])
        #expect(fixture.contacts("bob") == [] && fixture.state.locations.recordCount == 0)
        #expect(try fixture.rows("bob") == [])
    }

    @Test func removalOfNothingIsToldOf() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>;expires=60"])])
        let lines = [["Contact: *", "Expires: 0"], ["Contact: <sip:bob@2>;expires=0"]]
        for (number, mail) in [
            fixture.command("amy", lines[0], mustChange: true),
            fixture.command("bob", lines[1], mustChange: true),
        ].enumerated() {
            #expect(fixture.turn(&service, [mail]) == ["master \(number + 1) \(Self.noSuchBinding)"])
        }
        // What has expired is not there.
        fixture.now = 1060
        #expect(
            fixture.turn(&service, [fixture.command("bob", lines[0], mustChange: true)])
                == ["master 3 \(Self.noSuchBinding)"])
        // A phone may remove nothing.
        #expect(fixture.turn(&service, [fixture.request("amy", lines[0])]) == ["0 2 200 0"])
    }

    @Test func itIsRefusedAsAREGISTERWouldBe() throws {
        let fixture = try Fixture(bindings: 2)
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.command("a", ["Contact: <sip:1@h>;expires=5"]),
                    fixture.command("a", ["Contact: <sip:1@h>", "Path: p"]),
                    fixture.command("a", ["Contact: <sip:1@h>, <sip:2@h>"]),
                    fixture.command("b", ["Contact: <sip:1@h>"]),
                ]) == ["master 1 423 9", "master 2 400 13", "master 3 200 0", "master 4 503 11"])
    }

    /// The master has told the tool that nobody answers, and has taken the slot back: nothing happens.
    @Test func lateIsNever() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let given = fixture.command("bob", ["Contact: <sip:bob@1>"])
        let slot = SlotReference(rawValue: given.second)
        fixture.state.slots.release(slot, by: .master)
        #expect(fixture.turn(&service, [given]) == ["master 1 500 12"])
        // The same slot, used again.
        let next = fixture.command("amy", ["Contact: <sip:amy@1>"])
        #expect(SlotReference(rawValue: next.second).index == slot.index)
        var late = next
        late.second = given.second
        #expect(fixture.turn(&service, [late]) == ["master 2 500 12"])
        var none = fixture.command("amy", ["Contact: <sip:amy@1>"])
        none.second = 0
        #expect(fixture.turn(&service, [none]) == ["master 3 500 12"])
        #expect(fixture.state.locations.recordCount == 0)
    }
}
