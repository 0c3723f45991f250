import Platform
import SharedState

/// Filling a fresh location table from the store.
extension LocationService {
    /// Loads all unexpired bindings where the table has none yet, in as many turns as that needs: how many
    /// were loaded, and how many did not fit. Nothing happens before the table has settled. A killed load is
    /// done again from the start: what is there already is replaced by the same.
    mutating func load(now: UInt64) throws(StoreError) -> (loaded: Int, left: Int) {
        if state.locations.isLoaded || !writer.isSettled() { return (0, 0) }
        var loader = Loader(writer: writer, turn: turn)
        try store.load(now: now) { loader.add($0) }
        loader.finish()
        turn = loader.turn
        return (loader.loaded, loader.left)
    }
}

/// Gathers the rows of one address of record, and publishes them as one.
private struct Loader {
    let writer: LocationWriter
    private(set) var turn: Turn
    private(set) var loaded = 0
    private(set) var left = 0
    private var aor: [UInt8] = []
    private var rows: [Row] = []

    private struct Row {
        var uri: [UInt8]
        var callID: [UInt8]
        var path: [UInt8]
        var userAgent: [UInt8]
        var expiresAt: UInt64
        var q: UInt16
        var cseq: UInt32
        var updated: UInt64

        /// Bytes that it takes in its block.
        var size: Int {
            BindingFields.bytes(texts: uri.count + callID.count + path.count + userAgent.count)
        }
    }

    init(writer: LocationWriter, turn: Turn) {
        self.writer = writer
        self.turn = turn
    }

    mutating func add(_ row: borrowing LocationStore.Row) {
        if !isCurrent(row.aor) {
            publish()
            aor = bytes(row.aor)
        }
        let binding = row.binding
        // Larger texts than we write ourselves would not fit the binding's counts.
        guard row.aor.count + binding.size <= LocationTable.largestBlock / 2 else {
            left += 1
            return
        }
        rows.append(
            Row(
                uri: bytes(binding.uri), callID: bytes(binding.callID), path: bytes(binding.path),
                userAgent: bytes(binding.userAgent), expiresAt: binding.expiresAt, q: binding.q,
                cseq: binding.cseq, updated: row.updated))
    }

    private func isCurrent(_ name: Span<UInt8>) -> Bool {
        if name.count != aor.count { return false }
        for index in name.indices where name[index] != aor[index] { return false }
        return true
    }

    private func bytes(_ span: Span<UInt8>) -> [UInt8] {
        var copy: [UInt8] = []
        copy.reserveCapacity(span.count)
        for index in span.indices { copy.append(span[index]) }
        return copy
    }

    private mutating func publish() {
        defer { rows.removeAll(keepingCapacity: true) }
        if rows.isEmpty { return }
        rows.sort { $0.updated < $1.updated }
        let size = rows.reduce(0) { $0 + $1.size }
        let begun = writer.begin(
            aor.span, size: RecordDraft.bytes(aor: aor.count, bindings: size), bindings: rows.count)
        // max-bindings was lowered: who does not fit registers anew and is told.
        guard var draft = begun else {
            left += rows.count
            return
        }
        for row in rows {
            draft.append(
                BindingFields(
                    uri: row.uri.span, callID: row.callID.span, path: row.path.span,
                    userAgent: row.userAgent.span, expiresAt: row.expiresAt, q: row.q, cseq: row.cseq))
        }
        writer.publish(draft.seal())
        loaded += rows.count
        if turn.undo.isFilling { commit() }
    }

    private mutating func commit() {
        turn.commit()
        turn.finish()
    }

    mutating func finish() {
        publish()
        writer.table.setLoaded(undo: turn.undo)
        commit()
    }
}
