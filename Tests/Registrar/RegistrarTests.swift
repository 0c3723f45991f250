import Platform
import SharedState
import Testing

@testable import Registrar

@Suite struct RegistrarTests {
    static let limits = RegistrarLimits(
        minExpires: 60, defaultExpires: 3600, maxExpires: 7200, maxContacts: 3)

    @Test func registersSeveralContacts() throws {
        let fixture = try Fixture()
        #expect(
            fixture.register([
                "Contact: \"Bob, at home\" <sip:bob@1;lr>;q=0.7;expires=100, sip:bob@2;expires=200",
                "m: <sip:bob@3>;q=0",
                "Expires: 300",
            ]) == "200 OK")
        #expect(
            fixture.contacts(now: 1001) == [
                "Contact: <sip:bob@1;lr>;expires=99;q=0.7", "Contact: <sip:bob@2>;expires=199",
                "Contact: <sip:bob@3>;expires=299;q=0",
            ])
        #expect(fixture.contacts(now: 1200) == ["Contact: <sip:bob@3>;expires=100;q=0"])
    }

    /// §20.10: without brackets the parameters are the header's; only those of the URI are part of it.
    @Test func parametersOfHeaderAndURI() throws {
        let fixture = try Fixture()
        #expect(
            fixture.register([
                "Contact: sip:b@1;unknown;expires=100;q=0.5",
                "Contact: <sip:b@2;unknown?Route=%3Csip:p%3E>;unknown",
            ]) == "200 OK")
        #expect(
            fixture.contacts() == [
                "Contact: <sip:b@1>;expires=100;q=0.5",
                "Contact: <sip:b@2;unknown?Route=%3Csip:p%3E>;expires=3600",
            ])
        // Any scheme may be a contact (§10.2.1).
        #expect(
            fixture.register(["Contact: <mailto:b@1>, <tel:+1;ext=2>, <sips:b@3>"], callID: "other")
                == "403 Too many contacts")
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 2) == "200 OK")
        #expect(fixture.register(["Contact: <mailto:b@1>, <tel:+1;ext=2>, <sips:b@3>"]) == "200 OK")
        #expect(fixture.contacts().count == 3)
    }

    @Test func queryChangesNothing() throws {
        let fixture = try Fixture()
        #expect(fixture.register([]) == "200 OK unchanged")
        #expect(fixture.register(["Contact: <sip:bob@1>"]) == "200 OK")
        #expect(fixture.register([], cseq: 2) == "200 OK unchanged")
        #expect(fixture.contacts() == ["Contact: <sip:bob@1>;expires=3600"])
    }

    @Test(arguments: [
        ("Contact: <sip:b@1>", "", "3600"),
        ("Contact: <sip:b@1>", "Expires: 500", "500"),
        ("Contact: <sip:b@1>;expires=400", "Expires: 500", "400"),
        ("Contact: <sip:b@1>;expires=\"400\"", "", "400"),
        ("Contact: <sip:b@1>;expires=-1", "", "3600"),
        ("Contact: <sip:b@1>;expires=soon", "Expires: 500", "3600"),
        ("Contact: <sip:b@1>;expires=60", "", "60"),
        ("Contact: <sip:b@1>;expires=7201", "", "7200"),
        ("Contact: <sip:b@1>;expires=99999999999999999999999999", "", "7200"),
    ])
    func expiry(contact: String, header: String, seconds: String) throws {
        let fixture = try Fixture()
        #expect(fixture.register([contact] + (header.isEmpty ? [] : [header])) == "200 OK")
        #expect(fixture.contacts() == ["Contact: <sip:b@1>;expires=\(seconds)"])
    }

    @Test(arguments: [
        (["Contact: <sip:b@1>;expires=59"], "423 Interval Too Brief"),
        (["Contact: <sip:b@1>, <sip:b@2>;expires=1"], "423 Interval Too Brief"),
        (["Contact: <sip:b@1>", "Expires: 30"], "423 Interval Too Brief"),
        (["Contact: <sip:b@1>", "Expires: never"], "400 Bad Expires"),
        (["Contact: <sip:b@1>", "Expires: -5"], "400 Bad Expires"),
        (["Contact: <sip:b@1>", "Expires:"], "400 Bad Expires"),
        (["Contact:"], "400 Bad Contact"),
        (["Contact: <sip:b@1"], "400 Bad Contact"),
        (["Contact: bob"], "400 Bad Contact"),
        (["Contact: <sip:>"], "400 Bad Contact"),
        (["Contact: <sip:b@1>;q=2"], "400 Bad Contact"),
        (["Contact: <sip:b@1>;q="], "400 Bad Contact"),
        (["Contact: <sip:b@1> trailing"], "400 Bad Contact"),
        (["Contact: <*>", "Expires: 0"], "400 Bad Contact"),
        (["Contact: *"], "400 Contact * needs Expires: 0 and no other contact"),
        (["Contact: *", "Expires: 60"], "400 Contact * needs Expires: 0 and no other contact"),
        (["Contact: *, *", "Expires: 0"], "400 Contact * needs Expires: 0 and no other contact"),
        (["Contact: *, <sip:b@1>", "Expires: 0"], "400 Contact * needs Expires: 0 and no other contact"),
        (
            ["Contact: <sip:b@1>", "Contact: *", "Expires: 0"],
            "400 Contact * needs Expires: 0 and no other contact"
        ),
        (["Contact: <sip:\(String(repeating: "b", count: 2100))@1>"], "400 Contact too long"),
        (["Contact: <sip:b@1>,<sip:b@2>,<sip:b@3>,<sip:b@4>"], "403 Too many contacts"),
        (["Contact: <sip:b@1>", "Path:"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: sip:p;lr"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <sip:p;lr>, p2"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <sip:p;lr>", "Path: <sip:p2"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <sip:p;lr> p2"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <tel:+1>"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <sip:>"], "400 Bad Path"),
        (["Contact: <sip:b@1>", "Path: <sip:\(String(repeating: "p", count: 2048))>"], "400 Path too long"),
        (
            ["Contact: <sip:b@1>"]
                + Array(repeating: "Path: <sip:\(String(repeating: "p", count: 200))>", count: 10),
            "400 Path too long"
        ),
    ])
    func refused(lines: [String], answer: String) throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:here@h>"], callID: "first") == "200 OK")
        #expect(fixture.register(lines) == answer)
        #expect(fixture.contacts() == ["Contact: <sip:here@h>;expires=3600"])
    }

    /// §10.3 step 5; port, password, parameters and escapes do not make another address, nor does sips:.
    @Test(arguments: [
        "sip:bob@h", "sip:bob@h;tag=9", "<sip:bob@h>", "\"B, o\" <sip:bob@h>", "<SIP:bob@H>",
        "<sip:%62o%62@h>",
        "<sip:bob@h:5060>", "<sip:bob:secret@h;user=phone>", "<sips:bob@h:5061;x=y>",
    ])
    func oneAddressOfRecord(to: String) throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>"]) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@2>"], cseq: 2, to: to) == "200 OK")
        #expect(fixture.contacts().count == 2)
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 3, to: to) == "200 OK")
        #expect(fixture.table.recordCount == 0)
    }

    @Test(arguments: ["<sip:Bob@h>", "<sip:bob%40@h>", "<sip:bob@h.h>", "<sip:h>"])
    func otherAddressesOfRecord(to: String) throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>"]) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@2>"], to: to) == "200 OK")
        #expect(fixture.contacts() == ["Contact: <sip:b@1>;expires=3600"])
    }

    @Test func addressOfRecord() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>"], to: "Bob <sip:%62ob:pw@H:5060;x=y>") == "200 OK")
        #expect(fixture.contacts() == ["Contact: <sip:b@1>;expires=3600"])
        #expect(fixture.register(["Contact: <sip:b@1>"], to: "<tel:+123>") == "400 Bad To URI")
        #expect(
            fixture.register([], to: "<sip:\(String(repeating: "b", count: 2000))@h>") == "400 Bad To URI")
        #expect(fixture.register([], callID: String(repeating: "c", count: 2000)) == "400 Call-ID too long")
    }

    @Test func refreshAndRemoval() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>, <sip:b@2>"]) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@1>;expires=90"], cseq: 2, now: 1100) == "200 OK")
        // The newest last.
        #expect(
            fixture.contacts(now: 1100) == [
                "Contact: <sip:b@2>;expires=3500", "Contact: <sip:b@1>;expires=90",
            ])
        #expect(fixture.register(["Contact: <sip:b@2>;expires=0"], cseq: 3, now: 1100) == "200 OK")
        #expect(fixture.contacts(now: 1100) == ["Contact: <sip:b@1>;expires=90"])
        #expect(
            fixture.register(["Contact: <sip:b@9>", "Expires: 0"], cseq: 4, now: 1100) == "200 OK unchanged")
        #expect(fixture.register(["Contact: <sip:b@1>", "Expires: 0"], cseq: 5, now: 1100) == "200 OK")
        #expect(fixture.table.recordCount == 0 && fixture.table.bindingCount == 0)
    }

    @Test func equalContactsAreOne() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@Host;transport=udp>"]) == "200 OK")
        #expect(fixture.register(["Contact: <SIP:%62@hOST;transport=UDP>;expires=100"], cseq: 2) == "200 OK")
        #expect(fixture.contacts() == ["Contact: <SIP:%62@hOST;transport=UDP>;expires=100"])
        #expect(fixture.register(["Contact: <sip:b@host>"], cseq: 3) == "200 OK")
        #expect(fixture.contacts().count == 2)
        // Of equal ones in one request the last counts.
        #expect(
            fixture.register(["Contact: <sip:x@h>;expires=100, <sip:x@H>;expires=200"], cseq: 4) == "200 OK")
        #expect(fixture.contacts().last == "Contact: <sip:x@H>;expires=200")
        #expect(
            fixture.register(["Contact: <sip:x@h>;expires=100, <sip:x@H>;expires=0"], cseq: 5) == "200 OK")
        #expect(fixture.contacts().count == 2)
    }

    @Test func orderOfRequests() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>"], cseq: 5) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@1>"], cseq: 4) == "500 CSeq out of order")
        #expect(fixture.register(["Contact: <sip:b@1>;expires=0"], cseq: 5) == "500 CSeq out of order")
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 5) == "500 CSeq out of order")
        #expect(fixture.register(["Contact: <sip:b@1>;q=0.1"], cseq: 5) == "500 CSeq out of order")
        // All or nothing.
        #expect(fixture.register(["Contact: <sip:new@1>, <sip:b@1>"], cseq: 4) == "500 CSeq out of order")
        #expect(fixture.contacts() == ["Contact: <sip:b@1>;expires=3600"])
        // Another Call-ID (the phone has started anew) may.
        #expect(fixture.register(["Contact: <sip:b@1>;expires=70"], callID: "b@h", cseq: 1) == "200 OK")
        #expect(fixture.contacts() == ["Contact: <sip:b@1>;expires=70"])
    }

    @Test func replayGetsTheCurrentBindings() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>, <sip:b@2>;q=0.5"], cseq: 5) == "200 OK")
        let contacts = fixture.contacts()
        #expect(
            fixture.register(["Contact: <sip:b@1>, <sip:b@2>;q=0.5"], cseq: 5, now: 1003)
                == "200 OK unchanged")
        #expect(fixture.contacts() == contacts)
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 6) == "200 OK")
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 6) == "200 OK unchanged")
        #expect(fixture.table.recordCount == 0)
    }

    /// Part of it is a replay and part is not: no replay, and its CSeq is not higher.
    @Test func halfAReplayIsNone() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>, <sip:b@2>;expires=0"], cseq: 5) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@1>, <sip:b@3>"], cseq: 5) == "500 CSeq out of order")
        #expect(
            fixture.register(["Contact: <sip:b@1>, <sip:b@2>;expires=0"], cseq: 5) == "200 OK unchanged")
        // Somebody else has registered meanwhile what the request removed.
        #expect(fixture.register(["Contact: <sip:b@2>"], callID: "other") == "200 OK")
        #expect(
            fixture.register(["Contact: <sip:b@1>, <sip:b@2>;expires=0"], cseq: 5) == "500 CSeq out of order")
        #expect(fixture.contacts().count == 2)
    }

    /// One contact in two spellings, the last of which counts: again, it is a replay all the same.
    @Test func replayOfEqualContacts() throws {
        let fixture = try Fixture()
        let twice = ["Contact: <sip:b@h>;expires=100, <sip:b@H>;expires=200"]
        #expect(fixture.register(twice, cseq: 5) == "200 OK")
        #expect(fixture.register(twice, cseq: 5) == "200 OK unchanged")
        #expect(fixture.contacts() == ["Contact: <sip:b@H>;expires=200"])
        let removed = ["Contact: <sip:b@H>;expires=0, <sip:b@h>;expires=300"]
        #expect(fixture.register(removed, cseq: 6) == "200 OK")
        #expect(fixture.register(removed, cseq: 6) == "200 OK unchanged")
        #expect(fixture.contacts() == ["Contact: <sip:b@h>;expires=300"])
    }

    /// Another way to the phone is no replay, even if the request calls itself one.
    @Test func pathIsPartOfAReplay() throws {
        let fixture = try Fixture()
        let contact = "Contact: <sip:b@1>"
        #expect(fixture.register([contact, "Path: <sip:p;lr>, <sip:q;lr>"], cseq: 5) == "200 OK")
        // Lines or commas: the same.
        #expect(
            fixture.register([contact, "Path: <sip:p;lr>", "Path: <sip:q;lr>"], cseq: 5) == "200 OK unchanged"
        )
        #expect(fixture.register([contact, "Path: <sip:p;lr>"], cseq: 5) == "500 CSeq out of order")
        #expect(fixture.register([contact], cseq: 5) == "500 CSeq out of order")
        #expect(fixture.register([contact, "Path: <sip:p;lr>"], cseq: 6) == "200 OK")
    }

    @Test func expiredBindingsDoNotExist() throws {
        let fixture = try Fixture()
        #expect(
            fixture.register(["Contact: <sip:b@1>;expires=60, <sip:b@2>, <sip:b@3>"], cseq: 9) == "200 OK")
        // At 1060 the first is gone: its CSeq does not count, it makes room, and it is dropped from the
        // record.
        #expect(fixture.register(["Contact: <sip:b@4>"], cseq: 9, now: 1059) == "403 Too many contacts")
        #expect(fixture.register(["Contact: <sip:b@4>"], cseq: 10, now: 1060) == "200 OK")
        #expect(fixture.table.bindingCount == 3)
        #expect(fixture.register(["Contact: *", "Expires: 0"], cseq: 9, now: 9000) == "200 OK unchanged")
    }

    @Test func loweredLimitLetsThoseInRefresh() throws {
        let fixture = try Fixture()
        #expect(fixture.register(["Contact: <sip:b@1>, <sip:b@2>, <sip:b@3>"]) == "200 OK")
        fixture.limits.maxContacts = 2
        #expect(fixture.register(["Contact: <sip:b@2>"], cseq: 2) == "200 OK")
        #expect(fixture.register(["Contact: <sip:b@4>"], cseq: 3) == "403 Too many contacts")
    }

    @Test func thousandContactsAreRefusedAtOnce() throws {
        let fixture = try Fixture()
        let many = (0..<3000).map { "<sip:\($0)@h>" }.joined(separator: ",")
        #expect(fixture.register(["Contact: " + many]) == "403 Too many contacts")
    }

    @Test func everyReasonHasAStatusAndAText() {
        for reason in RegisterReason.allCases {
            #expect(RegisterReason(code: UInt16(reason.rawValue)) == reason)
            #expect((200...599).contains(reason.status) && reason.text.utf8CodeUnitCount > 0)
        }
        #expect(RegisterReason(code: 200) == .requestGone)
    }

    @Test(
        arguments: [
            (0, "Thu, 01 Jan 1970 00:00:00"), (951_782_399, "Mon, 28 Feb 2000 23:59:59"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00"), (951_868_800, "Wed, 01 Mar 2000 00:00:00"),
            (1_289_690_940, "Sat, 13 Nov 2010 23:29:00"), (1_735_689_599, "Tue, 31 Dec 2024 23:59:59"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00"), (4_107_456_000, "Sun, 28 Feb 2100 00:00:00"),
        ] as [(UInt64, String)])
    func date(seconds: UInt64, text: String) {
        let room = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
        defer { unsafe room.deallocate() }
        var writer = unsafe ByteWriter(unsafe: room, capacity: 64)
        RegisterAnswer.writeDate(now: seconds, to: &writer)
        let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: room, count: writer.count))
        #expect(String(decoding: bytes, as: UTF8.self) == "Date: \(text) GMT\r\n")
    }

    @Test func qIsWrittenShort() throws {
        let fixture = try Fixture()
        #expect(
            fixture.register(["Contact: <sip:1@h>;q=0.125, <sip:2@h>;q=0.050, <sip:3@h>;q=1.000"]) == "200 OK"
        )
        #expect(
            fixture.contacts() == [
                "Contact: <sip:1@h>;expires=3600;q=0.125", "Contact: <sip:2@h>;expires=3600;q=0.05",
                "Contact: <sip:3@h>;expires=3600",
            ])
    }
}
