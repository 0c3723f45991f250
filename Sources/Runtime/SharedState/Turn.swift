import Platform
import SharedMemory

/// A loop turn as a transaction (design §5): receive, handle with undo, commit with one store, flush.
///
///     commit word:  | outbox entries : 32 | consumed : 24 | phase : 8 |
///
///     open     handlers write through the undo log and append to the outbox; nothing has left
///        │ commit: one store of {flushing, consumed, entries}
///     flushing what is in the outbox is sent, and forgotten; mail in the rings is sent; slots change owner
///        │ finish: undo log emptied, then one store of {open, consumed, 0}
///     open     …
///
/// A successor that finds `flushing` flushes again; one that finds `open` takes the writes back. Both then go
/// on with the in-flight messages behind `consumed`. Peers see at most a repeated datagram.
package struct Turn: BitwiseCopyable {
    /// In-flight messages of a turn.
    package static let inFlightCapacity = 256
    package static let outboxCapacity = 2048
    package static let scratchBytes = 1 << 20
    package static let undoCapacity = 1 << 17

    private let memory: Memory
    package let undo: UndoLog
    private let commitWord: Int
    private let inFlight: Int
    private let outbox: Int
    private let scratch: Int
    private var entries = 0
    private var scratchUsed = 0
    private var consumed = 0

    /// Bytes of a turn region.
    package static var bytes: Int {
        64 + inFlightCapacity * Mail.bytes + outboxCapacity * OutboxEntry.bytes + scratchBytes
            + UndoLog.bytes(capacity: undoCapacity)
    }

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        commitWord = base
        inFlight = base + 64
        outbox = inFlight + Turn.inFlightCapacity * Mail.bytes
        scratch = outbox + Turn.outboxCapacity * OutboxEntry.bytes
        undo = UndoLog(memory: memory, at: scratch + Turn.scratchBytes, capacity: Turn.undoCapacity)
    }

    /// What a process finds when it starts on a region that a predecessor may have left in the middle of a
    /// turn.
    package enum Recovery: Equatable {
        /// Nothing was under way; the array is clear.
        case clean
        /// An uncommitted turn was taken back; its mail from `first` on is to be handled again.
        case undone
        /// The turn was committed: flush its outbox again.
        case flush
    }

    package mutating func recover() -> Recovery {
        let word = memory.loadAtomic(commitWord)
        consumed = Int(word >> 8 & 0xFF_FFFF)
        entries = Int(word >> 32)
        if word & 0xFF == 1 { return .flush }
        entries = 0
        let pending = undo.count > 0
        undo.undo()
        if next() != nil || pending { return .undone }
        // All was handled, and perhaps half of the array cleared: the next receive finds it as it wants it.
        clearInFlight()
        return .clean
    }

    // MARK: in-flight mail

    /// The next message to handle; nil when all are. Datagrams were received without a gap, or each at a
    /// multiple of `Mail.batch`: behind the last message of one, the next multiple follows.
    package mutating func next() -> Mail? {
        var place = consumed
        while place < Turn.inFlightCapacity {
            let mail: Mail = memory.load(inFlight + place * Mail.bytes)
            if !mail.isNone {
                consumed = place
                return mail
            }
            place = (place / Mail.batch + 1) * Mail.batch
        }
        // Nothing is consumed by looking: an array that was empty takes the next mail at its begin.
        return nil
    }

    /// Every message that is in flight and was handled by turns up to now; for giving back slots.
    package func mail(_ index: Int) -> Mail { memory.load(inFlight + index * Mail.bytes) }
    package var consumedCount: Int { consumed }

    /// Where the receive call puts mail: the whole array, datagram i at i × `Mail.batch` messages.
    @unsafe package var mailAddress: UnsafeMutableRawPointer {
        unsafe memory.address(inFlight, count: Turn.inFlightCapacity * Mail.bytes)
    }

    /// Counts one in-flight message as handled once this turn commits.
    package mutating func consume() { consumed += 1 }

    /// Clears the array for the next receive; all mail is handled and the turn is finished.
    package mutating func clearInFlight(received: Int = Turn.inFlightCapacity) {
        #if DEBUG
            memory.zero(inFlight, count: received / 2 * Mail.bytes)
            FaultPoint.arrayHalfCleared.pass(memory)
        #endif
        memory.zero(inFlight, count: received * Mail.bytes)
        Ordering.compilerFence()
        FaultPoint.arrayCleared.pass(memory)
        consumed = 0
        memory.storeAtomic(0, at: commitWord)
    }

    // MARK: outbox

    /// True where the turn should be committed before more is handled.
    package var isFilling: Bool {
        entries > Turn.outboxCapacity / 2 || scratchUsed > Turn.scratchBytes / 2 || undo.isFilling
    }

    /// Appends a datagram; false (the caller counts it) where the outbox is full.
    package mutating func send(_ entry: OutboxEntry) -> Bool {
        if entries == Turn.outboxCapacity { return false }
        memory.store(entry, at: outbox + entries * OutboxEntry.bytes)
        entries += 1
        return true
    }

    package var entryCount: Int { entries }

    package func entry(_ index: Int) -> OutboxEntry {
        precondition(index < Turn.outboxCapacity)
        return memory.load(outbox + index * OutboxEntry.bytes)
    }

    /// Room for a message that is only sent, not stored: offset in the arena; `keep` says how much of it was
    /// used.
    package func scratchOffset() -> Int { scratch + scratchUsed }
    package var scratchRoom: Int { min(Turn.scratchBytes - scratchUsed, 1 << 16) }

    package mutating func keepScratch(_ count: Int) {
        precondition(count <= Turn.scratchBytes - scratchUsed)
        scratchUsed += (count + 7) & ~7
    }

    // MARK: commit

    /// The one store that makes the turn final.
    package func commit() {
        Ordering.compilerFence()
        memory.storeAtomic(UInt64(entries) << 32 | UInt64(consumed) << 8 | 1, at: commitWord)
        FaultPoint.turnCommitted.pass(memory)
    }

    /// The outbox has left. Before slots are given back: a successor that sent it again would find in them
    /// what others have received meanwhile.
    package mutating func forgetOutbox() {
        if entries == 0 { return }
        entries = 0
        memory.storeAtomic(UInt64(consumed) << 8 | 1, at: commitWord)
        FaultPoint.outboxForgotten.pass(memory)
    }

    /// The outbox has left: the next turn may begin.
    package mutating func finish() {
        undo.forget()
        FaultPoint.turnForgotten.pass(memory)
        entries = 0
        scratchUsed = 0
        memory.storeAtomic(UInt64(consumed) << 8, at: commitWord)
        FaultPoint.turnFinished.pass(memory)
    }
}

/// A message to send: up to two stretches of the arena, and where they go. 112 bytes.
package struct OutboxEntry: BitwiseCopyable {
    package static let bytes = 112

    package var first: UInt64
    package var second: UInt64 = 0
    package var firstCount: UInt32
    package var secondCount: UInt32 = 0
    package var endpoint: Endpoint
    /// The fork whose request it is, and that wants to know where it cannot be sent; none: nobody does.
    package var transaction = TransactionReference.none
    package var fork: UInt8 = 0
    package var attempt: UInt8 = 0
    private var padding: UInt16 = 0
    private var padding2: UInt32 = 0

    package init(offset: Int, count: Int, to endpoint: Endpoint) {
        first = UInt64(offset)
        firstCount = UInt32(count)
        self.endpoint = endpoint
    }
}

extension Mail {
    package var isNone: Bool { rawKind == 0 }
}
