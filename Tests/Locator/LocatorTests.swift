import Foundation
import Platform
import SharedState
import Testing

@testable import Locator

@Suite struct LocatorTests {
    @Test func registersDurably() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let first = fixture.request("bob", ["Contact: <sip:bob@1>;expires=100, <sip:bob@2>"], worker: 1)
        let second = fixture.request("eve", ["Contact: <sip:eve@1>;expires=1"])
        #expect(fixture.turn(&service, [first, second]) == ["0 1 423 9", "1 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 1100", "sip:bob@2 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@1 1100", "sip:bob@2 4600"])
        #expect(fixture.contacts("eve") == [] && fixture.state.locations.recordCount == 1)
    }

    @Test func severalRequestsOfOneAddressInOneTurn() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: <sip:bob@1>"], cseq: 1),
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 2),
                    fixture.request("bob", ["Contact: <sip:bob@1>;expires=0"], cseq: 3),
                    fixture.request("bob", ["Contact: <sip:bob@2>"], cseq: 1),
                    fixture.request("amy", ["Contact: <sip:amy@1>"], cseq: 1),
                    fixture.request("amy", ["Contact: *", "Expires: 0"], cseq: 2),
                ]) == ["0 1 200 0", "0 2 200 0", "0 3 200 0", "0 4 500 7", "0 5 200 0", "0 6 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@2 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@2 4600"])
        #expect(fixture.contacts("amy") == [])
        #expect(try fixture.rows("amy") == [])
        #expect(fixture.state.locations.bindingCount == 1 && fixture.state.locations.recordCount == 1)
        // Removal and return in one turn.
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("bob", ["Contact: *", "Expires: 0"], cseq: 4),
                    fixture.request("bob", ["Contact: <sip:bob@3>"], cseq: 5),
                ]) == ["0 7 200 0", "0 8 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@3 4600"])
        #expect(try fixture.rows("bob") == ["sip:bob@3 4600"])
        #expect(fixture.state.locations.bindingCount == 1 && fixture.state.locations.recordCount == 1)
    }

    /// What a million bindings cost is as much each: 400 bytes at most, with texts as phones have them.
    @Test func aBindingTakesFewBytes() throws {
        let count = 500
        let fixture = try Fixture(isInMemory: true, bindings: count)
        var service = fixture.start()
        for index in 0..<count {
            let number = "49303456\(index)"
            let contact = "Contact: <sip:\(number)@192.168.178.124:50\(index);transport=udp;ob>"
            let mail = fixture.request(
                number, [contact, "User-Agent: Linphone-Desktop/4.3.2 (Debian GNU)"],
                callID: "a84b4c76e66710d9b8f2c31e7a05f6aa@192.168.178.124")
            #expect(fixture.turn(&service, [mail]).count == 1)
        }
        let locations = fixture.state.locations
        #expect(locations.bindingCount == count)
        #expect(locations.heapUsed / count + 8 * locations.bucketCount / locations.capacity <= 400)
    }

    @Test func repeatedMailIsHandledOnce() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let mail = fixture.request("bob", ["Contact: <sip:bob@1>"])
        #expect(fixture.turn(&service, [mail]) == ["0 1 200 0"])
        #expect(fixture.turn(&service, [mail]) == [])
    }

    @Test func requestThatIsGoneChangesNothing() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let mail = fixture.request("bob", ["Contact: <sip:bob@1>"])
        fixture.state.shard(0).stored.free(mail.first)
        #expect(fixture.turn(&service, [mail]) == ["0 1 500 12"])
        #expect(fixture.contacts("bob") == [])
    }

    @Test func fullTableIsAnswered() throws {
        let fixture = try Fixture(bindings: 2)
        var service = fixture.start()
        #expect(
            fixture.turn(
                &service,
                [
                    fixture.request("a", ["Contact: <sip:1@h>, <sip:2@h>"]),
                    fixture.request("b", ["Contact: <sip:1@h>"]),
                ]) == ["0 1 200 0", "0 2 503 11"])
        #expect(try fixture.rows("b") == [])
    }

    /// RFC 3327 §5.3: with each contact that the REGISTER made or refreshed, in the order of the values.
    @Test func pathAndUserAgentAreKept() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        let long = String(repeating: "x", count: 126) + "ééé"
        fixture.turn(
            &service,
            [
                fixture.request(
                    "bob",
                    [
                        "Contact: <sip:bob@1>, <sip:bob@2>",
                        "Path: <sip:p3;lr>,\r\n  \"P, two\" <sip:p2;lr>;x=y",
                        "User-Agent: Phone\r\n 1.0", "path: <sip:p1;lr>",
                    ]),
                fixture.request("amy", ["Contact: <sip:amy@1>", "USER-AGENT: \(long)"]),
            ])
        let path = "<sip:p3;lr>, \"P, two\" <sip:p2;lr>;x=y, <sip:p1;lr>"
        let bob = ["sip:bob@1 '\(path)' 'Phone  1.0'", "sip:bob@2 '\(path)' 'Phone  1.0'"]
        let amy = ["sip:amy@1 '' '\(String(repeating: "x", count: 126))é'"]
        #expect(fixture.origins("bob") == bob && fixture.origins("amy") == amy)
        #expect(try fixture.sql("SELECT DISTINCT path FROM bindings WHERE aor = 'bob@h'") == [path])
        let later = try Fixture(directory: fixture.directory)
        var second = later.start()
        #expect(later.origins("bob") == bob && later.origins("amy") == amy)
        // A refresh by another way, and one without any; another contact keeps its own.
        later.turn(
            &second,
            [later.request("bob", ["Contact: <sip:bob@1>", "Path: <sip:q;lr>", "User-Agent: 2"], cseq: 2)])
        #expect(later.origins("bob") == [bob[1], "sip:bob@1 '<sip:q;lr>' '2'"])
        later.turn(&second, [later.request("bob", ["Contact: <sip:bob@2>"], cseq: 2)])
        #expect(later.origins("bob") == ["sip:bob@1 '<sip:q;lr>' '2'", "sip:bob@2 '' ''"])
        #expect(later.state.locations.bindingCount == 3)
    }

    // MARK: restarts

    @Test func bindingsComeBack() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(
            &service,
            [
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=100;q=0.3, <sip:bob@0>;expires=200"]),
                fixture.request("amy", ["Contact: <sip:amy@1>;expires=60"]),
            ])
        // A fresh arena on the same database, when amy's binding has just expired.
        let later = try Fixture(directory: fixture.directory)
        later.now = 1060
        var second = later.start()
        #expect(later.contacts("bob") == ["sip:bob@1 1100", "sip:bob@0 1200"])
        #expect(later.contacts("amy") == [] && later.state.locations.bindingCount == 2)
        #expect(try later.rows("amy") == [])
        #expect(later.state.locations.isLoaded)
        // Call-ID and CSeq came back as well.
        #expect(later.turn(&second, [later.request("bob", ["Contact: <sip:bob@1>"])]) == ["0 1 500 7"])
        #expect(
            later.turn(&second, [later.request("bob", ["Contact: <sip:bob@1>"], cseq: 2)]) == ["0 2 200 0"])
        // In the same arena nothing is read again.
        var found = Turn.Recovery.undone
        let third = later.start(&found)
        let isConnected = third.store.isConnected
        #expect(found == .clean && isConnected)
        #expect(later.contacts("bob") == ["sip:bob@0 1200", "sip:bob@1 4660"])
    }

    @Test func memoryStoreKeepsNoFile() throws {
        let fixture = try Fixture(isInMemory: true)
        var service = fixture.start()
        #expect(fixture.turn(&service, [fixture.request("bob", ["Contact: <sip:bob@1>"])]) == ["0 1 200 0"])
        #expect(fixture.contacts("bob") == ["sip:bob@1 4600"])
        #expect(!FileManager.default.fileExists(atPath: fixture.path))
    }

    // MARK: expiry

    @Test func sweepDropsWhatHasExpired() throws {
        let fixture = try Fixture()
        var service = fixture.start()
        fixture.turn(
            &service,
            [
                fixture.request("bob", ["Contact: <sip:bob@1>;expires=60, <sip:bob@2>;expires=90"]),
                fixture.request("amy", ["Contact: <sip:amy@1>;expires=60"]),
            ])
        func sweep(at now: UInt64) {
            fixture.now = now
            service.begin(now: now)
            service.sweep()
            service.settle()
            fixture.finish(&service)
        }
        sweep(at: 1059)
        #expect(fixture.state.locations.bindingCount == 3)
        sweep(at: 1060)
        #expect(fixture.contacts("bob") == ["sip:bob@2 1090"] && fixture.contacts("amy") == [])
        #expect(try fixture.rows("bob") == ["sip:bob@2 1090"])
        #expect(try fixture.rows("amy") == [])
        sweep(at: 1090)
        #expect(fixture.state.locations.bindingCount == 0 && fixture.state.locations.recordCount == 0)
        #expect(try fixture.sql("SELECT count(*) FROM bindings") == ["0"])
    }
}
