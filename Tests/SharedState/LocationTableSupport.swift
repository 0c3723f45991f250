import Platform
import SharedMemory
import Testing

@testable import SharedState

/// A location table with the turn that guards it, in an arena of its own.
final class Fixture {
    static let workers = 2
    let arena: Arena
    let tableAt: Int
    let processesAt: Int
    let turnAt: Int
    let capacity: Int

    init(capacity: Int = 64) throws {
        var planner = LayoutPlanner()
        turnAt = planner.placeRegion(Turn.bytes)
        processesAt = planner.placeRegion(ProcessTable.bytes)
        tableAt = planner.placeRegion(LocationTable.bytes(capacity: capacity))
        arena = try Arena(name: "location", size: planner.placeRegion(0))
        self.capacity = capacity
        try table.initialize()
    }

    var table: LocationTable { LocationTable(memory: arena.memory, at: tableAt, capacity: capacity) }
    var processes: ProcessTable { ProcessTable(memory: arena.memory, at: processesAt) }
    var turn: Turn { Turn(memory: arena.memory, at: turnAt) }
    var undo: UndoLog { turn.undo }

    /// As a locator that starts.
    func writer() -> LocationWriter {
        var writer = LocationWriter(table: table, undo: undo, processes: processes, workers: Fixture.workers)
        _ = writer.isSettled()
        return writer
    }
}

struct Contact {
    var uri: String
    var expiresAt: UInt64 = 1000
    var q: UInt16 = 1000
}

func draft(_ writer: LocationWriter, _ aor: String, _ contacts: [Contact], callID: String = "c@h")
    -> RecordDraft?
{
    let name = Array(aor.utf8)
    let id = Array(callID.utf8)
    let sizes = contacts.map { BindingFields.bytes(texts: $0.uri.utf8.count + id.count) }
    let size = RecordDraft.bytes(aor: name.count, bindings: sizes.reduce(0, +))
    guard var draft = writer.begin(name.span, size: size, bindings: contacts.count) else { return nil }
    for contact in contacts {
        let uri = Array(contact.uri.utf8)
        draft.append(
            BindingFields(uri: uri.span, callID: id.span, expiresAt: contact.expiresAt, q: contact.q, cseq: 7)
        )
    }
    return draft
}

@discardableResult
func put(_ writer: LocationWriter, _ aor: String, _ contacts: [Contact]) -> Int {
    guard let draft = draft(writer, aor, contacts) else { return 0 }
    writer.publish(draft.seal())
    return draft.block
}

func remove(_ writer: LocationWriter, _ aor: String) {
    let name = Array(aor.utf8)
    writer.remove(name.span)
}

func text(_ span: Span<UInt8>) -> String {
    var bytes: [UInt8] = []
    for index in span.indices { bytes.append(span[index]) }
    return String(decoding: bytes, as: UTF8.self)
}

func find(_ table: LocationTable, _ aor: String) -> BindingSet? {
    let name = Array(aor.utf8)
    return table.find(name.span)
}

func contacts(_ table: LocationTable, _ aor: String) -> [String] {
    find(table, aor).map { $0.map { text($0.uri) } } ?? []
}

func everything(_ table: LocationTable) -> [String: [String]] {
    var all: [String: [String]] = [:]
    var position = 0
    repeat {
        table.records(from: &position, bytes: 1000, where: { _ in true }) { set in
            all[text(set.aor)] = set.map {
                "\(text($0.uri)) \($0.expiresAt) \($0.q) \(text($0.callID)) \($0.cseq)"
            }
            return true
        }
    } while position != 0
    return all
}
