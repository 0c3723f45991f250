import Platform
import SharedMemory
import SharedState
import Syntax
import Testing

@testable import Registrar

/// A location table, and the registrar's rules applied to it as the locator does.
private final class Fixture {
    let arena: Arena
    let table: LocationTable
    let writer: LocationWriter
    var limits = RegistrarTests.limits

    init() throws {
        var planner = LayoutPlanner()
        let turnAt = planner.placeRegion(Turn.bytes)
        let processesAt = planner.placeRegion(ProcessTable.bytes)
        let tableAt = planner.placeRegion(LocationTable.bytes(capacity: 64))
        arena = try Arena(name: "registrar", size: planner.placeRegion(0))
        table = LocationTable(memory: arena.memory, at: tableAt, capacity: 64)
        var writer = LocationWriter(
            table: table, undo: Turn(memory: arena.memory, at: turnAt).undo,
            processes: ProcessTable(memory: arena.memory, at: processesAt), workers: 2)
        _ = writer.isSettled()
        self.writer = writer
    }

    /// Sends a REGISTER for bob with these header lines; the status and the reason, "unchanged" behind it
    /// where the record stays as it is.
    func register(
        _ lines: [String], callID: String = "a@h", cseq: UInt32 = 1, now: UInt64 = 1000,
        to: String = "<sip:bob@h>"
    ) -> String {
        let bytes = Array(
            ([
                "REGISTER sip:h SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:bob@h>;tag=1",
                "To: \(to)",
                "Call-ID: \(callID)", "CSeq: \(cseq) REGISTER",
            ] + lines + ["", ""]).joined(separator: "\r\n").utf8)
        var index = MessageIndex()
        let result = Scanner.scan(bytes.span, into: &index)
        guard result == .complete else { return "\(result)" }
        let request = Message(bytes.span, index)
        let room = UnsafeMutableRawPointer.allocate(byteCount: Registrar.longestAddressOfRecord, alignment: 8)
        defer { unsafe room.deallocate() }
        var aor = unsafe ByteWriter(unsafe: room, capacity: Registrar.longestAddressOfRecord)
        guard Registrar.writeAddressOfRecord(request, to: &aor) else { return "400 Bad To URI" }
        let pathRoom = UnsafeMutableRawPointer.allocate(byteCount: Registrar.longestPath, alignment: 8)
        defer { unsafe pathRoom.deallocate() }
        var path = unsafe ByteWriter(unsafe: pathRoom, capacity: Registrar.longestPath)
        let reason = Registrar.writePath(request, to: &path)
        if reason != .accepted { return "\(reason.status) \(reason.text)" }
        let register = RegisterRequest(request, path: path.written, userAgent: Span())
        let set = table.find(aor.written)
        let outcome = Registrar.apply(register, to: set, now: now, limits: limits)
        if outcome.isChange { write(outcome, set, register, aor.written) }
        let text = "\(outcome.status) \(outcome.reason.text)"
        return outcome.reason == .accepted && !outcome.isChange ? text + " unchanged" : text
    }

    private func write(
        _ outcome: RegisterOutcome, _ set: BindingSet?, _ request: borrowing RegisterRequest,
        _ aor: Span<UInt8>
    ) {
        if outcome.entries.isEmpty { return writer.remove(aor) }
        let begun = writer.begin(aor, size: 16384, bindings: outcome.entries.count)
        guard var draft = begun else { preconditionFailure() }
        for entry in outcome.entries {
            switch entry {
            case .kept(let index): draft.append(set![index])
            case .updated(let contact): draft.append(request.binding(contact))
            }
        }
        writer.publish(draft.seal())
    }

    /// What a 200 lists for bob.
    func contacts(now: UInt64 = 1000, aor: String = "bob@h") -> [String] {
        let name = Array(aor.utf8)
        guard let set = table.find(name.span) else { return [] }
        let room = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8)
        defer { unsafe room.deallocate() }
        var writer = unsafe ByteWriter(unsafe: room, capacity: 4096)
        RegisterAnswer.writeContacts(set: set, now: now, to: &writer)
        let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: room, count: writer.count))
        return String(decoding: bytes, as: UTF8.self).split(separator: "\r\n").map(String.init)
    }
}

@Suite struct RegistrarTests {
    fileprivate static let limits = RegistrarLimits(
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
