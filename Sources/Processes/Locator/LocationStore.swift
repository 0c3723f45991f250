import CSQLite
import Platform
import SharedState

/// A failure of the store: SQLite's result code and words.
struct StoreError: Error, CustomStringConvertible {
    let code: Int32
    let text: String

    var description: String { "\(text) (SQLite \(code))" }

    /// Somebody else's lock, or a full disk: the connection stays good.
    var isPassing: Bool { [SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL].contains(code & 0xFF) }
}

/// The bindings on disk: an SQLite database in WAL mode, whose commits reach the disk before they return. Or
/// nothing at all, with `store = "memory"`: then every call succeeds.
///
/// One row a binding. The rows of an address of record are those of its block in the location table, at every
/// commit.
@safe struct LocationStore: ~Copyable {
    /// Of `PRAGMA user_version`; a newer one is refused.
    private static let schemaVersion = 2
    /// How long another writer (somebody's shell) may hold us up, in milliseconds.
    private static let busyTimeout: Int32 = 200

    private let path: String
    let isInMemory: Bool
    private var database: OpaquePointer?
    private var begin: OpaquePointer?
    private var commitStatement: OpaquePointer?
    private var rollbackStatement: OpaquePointer?
    private var put: OpaquePointer?
    private var delete: OpaquePointer?
    /// True between the first change of a turn and its commit.
    private(set) var hasChanges = false

    /// Keeps nothing.
    init() {
        isInMemory = true
        path = ""
    }

    /// Not yet connected.
    init(path: String) {
        isInMemory = false
        self.path = path
    }

    deinit { close() }

    /// Finalizing nothing, and closing nothing, does nothing.
    private func close() {
        unsafe sqlite3_finalize(begin)
        unsafe sqlite3_finalize(commitStatement)
        unsafe sqlite3_finalize(rollbackStatement)
        unsafe sqlite3_finalize(put)
        unsafe sqlite3_finalize(delete)
        unsafe sqlite3_close(database)
    }

    var isConnected: Bool {
        if isInMemory { return true }
        return unsafe database != nil
    }

    /// Opens the database, and makes it where there is none.
    mutating func connect() throws(StoreError) {
        if isConnected { return }
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let code = unsafe sqlite3_open_v2(path, &opened, flags, nil)
        unsafe database = opened
        do throws(StoreError) {
            if code != SQLITE_OK { throw error(code) }
            unsafe sqlite3_busy_timeout(opened, LocationStore.busyTimeout)
            try run("PRAGMA journal_mode = WAL")
            try run("PRAGMA synchronous = FULL")
            // In kB: the inner nodes of a million rows, so that a change reads one page at most.
            try run("PRAGMA cache_size = -16384")
            try prepareSchema()
            unsafe begin = try prepare("BEGIN IMMEDIATE")
            unsafe commitStatement = try prepare("COMMIT")
            unsafe rollbackStatement = try prepare("ROLLBACK")
            unsafe put = try prepare(
                "REPLACE INTO bindings (aor, contact, expires, q, callid, cseq, updated, path, useragent)"
                    + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
            unsafe delete = try prepare("DELETE FROM bindings WHERE aor = ? AND contact = ?")
        } catch {
            disconnect()
            throw error
        }
    }

    /// Gives a broken connection up.
    mutating func disconnect() {
        close()
        unsafe (database, begin, commitStatement) = (nil, nil, nil)
        unsafe (rollbackStatement, put, delete) = (nil, nil, nil)
        hasChanges = false
    }

    private mutating func prepareSchema() throws(StoreError) {
        let version = try integer("PRAGMA user_version")
        if version > LocationStore.schemaVersion {
            throw StoreError(
                code: SQLITE_SCHEMA, text: "\(path) is of schema \(version), made by a newer sipfork")
        }
        // Each version from the one before, in a transaction of its own.
        if version < 1 { try run(LocationStore.firstSchema) }
        if version < 2 { try run(LocationStore.secondSchema) }
    }

    private static let firstSchema = """
        BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS bindings (
            aor TEXT NOT NULL,            -- address of record: user@host
            contact TEXT NOT NULL,        -- URI
            expires INTEGER NOT NULL,     -- seconds since 1970
            q INTEGER NOT NULL,           -- thousandths
            callid TEXT NOT NULL,
            cseq INTEGER NOT NULL,
            updated INTEGER NOT NULL,     -- microseconds since 1970, rising: the newest contact is the last
            PRIMARY KEY (aor, contact)
        ) WITHOUT ROWID;
        PRAGMA user_version = 1;
        COMMIT;
        """

    /// RFC 3327, and what `sipforkctl registrations` shows.
    private static let secondSchema = """
        BEGIN IMMEDIATE;
        ALTER TABLE bindings ADD COLUMN path TEXT NOT NULL DEFAULT '';       -- Path values, joined by commas
        ALTER TABLE bindings ADD COLUMN useragent TEXT NOT NULL DEFAULT '';
        PRAGMA user_version = 2;
        COMMIT;
        """

    // MARK: changes

    private mutating func beginIfNeeded() throws(StoreError) {
        guard isConnected else { throw StoreError(code: SQLITE_CANTOPEN, text: "\(path) is not open") }
        if hasChanges { return }
        try unsafe step(begin)
        hasChanges = true
    }

    /// Writes a binding. The spans point into memory that stays as it is during the call.
    mutating func put(
        _ aor: Span<UInt8>, _ binding: borrowing BindingFields, updated: UInt64
    ) throws(StoreError) {
        if isInMemory { return }
        try beginIfNeeded()
        unsafe bind(put, 1, aor)
        unsafe bind(put, 2, binding.uri)
        unsafe sqlite3_bind_int64(put, 3, Int64(clamping: binding.expiresAt))
        unsafe sqlite3_bind_int64(put, 4, Int64(binding.q))
        unsafe bind(put, 5, binding.callID)
        unsafe sqlite3_bind_int64(put, 6, Int64(binding.cseq))
        unsafe sqlite3_bind_int64(put, 7, Int64(clamping: updated))
        unsafe bind(put, 8, binding.path)
        unsafe bind(put, 9, binding.userAgent)
        try unsafe step(put)
    }

    /// Deletes a binding; nothing happens where there is none.
    mutating func delete(_ aor: Span<UInt8>, uri: Span<UInt8>) throws(StoreError) {
        if isInMemory { return }
        try beginIfNeeded()
        unsafe bind(delete, 1, aor)
        unsafe bind(delete, 2, uri)
        try unsafe step(delete)
    }

    /// Makes the changes since the last commit durable, with one fsync for all.
    mutating func commit() throws(StoreError) {
        if !hasChanges { return }
        try unsafe step(commitStatement)
        hasChanges = false
    }

    /// Takes the changes since the last commit back.
    mutating func rollback() {
        if !hasChanges { return }
        // SQLite may have rolled back by itself (disk full); then this fails, and that is fine.
        do { try unsafe step(rollbackStatement) } catch {}
        hasChanges = false
    }

    // MARK: loading

    /// One row, its texts valid during the call.
    struct Row: ~Escapable {
        let aor: Span<UInt8>
        let binding: BindingFields
        let updated: UInt64

        @_lifetime(immortal)
        fileprivate init(_ row: OpaquePointer) {
            aor = unsafe LocationStore.text(row, 0)
            binding = unsafe BindingFields(
                uri: LocationStore.text(row, 1), callID: LocationStore.text(row, 4),
                path: LocationStore.text(row, 7), userAgent: LocationStore.text(row, 8),
                expiresAt: UInt64(clamping: sqlite3_column_int64(row, 2)),
                q: UInt16(clamping: sqlite3_column_int64(row, 3)),
                cseq: UInt32(clamping: sqlite3_column_int64(row, 5)))
            updated = unsafe UInt64(clamping: sqlite3_column_int64(row, 6))
        }
    }

    /// Deletes what has expired at `now`, and gives all that is left, address for address.
    mutating func load(now: UInt64, _ body: (borrowing Row) -> Void) throws(StoreError) {
        if isInMemory { return }
        try connect()
        try run("DELETE FROM bindings WHERE expires <= \(now)")
        let statement = try unsafe prepare(
            "SELECT aor, contact, expires, q, callid, cseq, updated, path, useragent FROM bindings ORDER BY aor"
        )
        defer { unsafe sqlite3_finalize(statement) }
        while true {
            let code = unsafe sqlite3_step(statement)
            if code == SQLITE_DONE { return }
            if code != SQLITE_ROW { throw error(code) }
            unsafe body(Row(statement))
        }
    }

    @_lifetime(immortal)
    private static func text(_ row: OpaquePointer, _ column: Int32) -> Span<UInt8> {
        let count = unsafe Int(sqlite3_column_bytes(row, column))
        guard count > 0, let start = unsafe sqlite3_column_text(row, column) else {
            return unsafe _overrideLifetime(Span<UInt8>(), copying: ())
        }
        return unsafe _overrideLifetime(Span(_unsafeStart: start, count: count), copying: ())
    }

    // MARK: SQLite

    private func error(_ code: Int32) -> StoreError {
        guard let text = unsafe database == nil ? sqlite3_errstr(code) : sqlite3_errmsg(database) else {
            return StoreError(code: code, text: path)
        }
        return unsafe StoreError(code: code, text: "\(path): \(String(cString: text))")
    }

    private func prepare(_ text: String) throws(StoreError) -> OpaquePointer {
        var statement: OpaquePointer?
        let code = unsafe sqlite3_prepare_v3(
            database, text, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement = unsafe statement else { throw error(code) }
        return unsafe statement
    }

    private func run(_ text: String) throws(StoreError) {
        let code = unsafe sqlite3_exec(database, text, nil, nil, nil)
        if code != SQLITE_OK {
            let failure = error(code)
            // A script may have stopped inside its transaction.
            if unsafe sqlite3_get_autocommit(database) == 0 {
                unsafe sqlite3_exec(database, "ROLLBACK", nil, nil, nil)
            }
            throw failure
        }
    }

    private func integer(_ text: String) throws(StoreError) -> Int {
        let statement = try unsafe prepare(text)
        defer { unsafe sqlite3_finalize(statement) }
        let code = unsafe sqlite3_step(statement)
        if code != SQLITE_ROW { throw error(code) }
        return unsafe Int(sqlite3_column_int64(statement, 0))
    }

    private func bind(_ statement: OpaquePointer?, _ index: Int32, _ text: Span<UInt8>) {
        if text.isEmpty {
            // A span of no bytes may have no address, and that would be NULL.
            let empty: StaticString = ""
            _ = empty.withUTF8Buffer {
                unsafe $0.withMemoryRebound(to: CChar.self) {
                    unsafe sqlite3_bind_text(statement, index, $0.baseAddress, 0, nil)
                }
            }
            return
        }
        unsafe text.withUnsafeBufferPointer { buffer in
            // Not copied: the arena, or our buffers, keep the bytes beyond the step.
            unsafe buffer.withMemoryRebound(to: CChar.self) {
                _ = unsafe sqlite3_bind_text(statement, index, $0.baseAddress, Int32($0.count), nil)
            }
        }
    }

    private func step(_ statement: OpaquePointer?) throws(StoreError) {
        let code = unsafe sqlite3_step(statement)
        let failure = code == SQLITE_DONE || code == SQLITE_ROW ? nil : error(code)
        unsafe sqlite3_reset(statement)
        if let failure { throw failure }
    }
}
