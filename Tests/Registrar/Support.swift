import Platform
import SharedMemory
import SharedState
import Syntax

@testable import Registrar

/// A location table, and the registrar's rules applied to it as the locator does.
final class Fixture {
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
