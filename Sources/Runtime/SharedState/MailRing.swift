import Platform
import SharedMemory

/// Mail on its way from one process to another: appended in a turn, sent after its commit, kept while the
/// receiver's socket is full.
///
///     header: | tail (through the undo log) | sent | handed |      cells: capacity × 64 bytes
///
/// Positions only rise; a message's position + 1 is its sequence number. `sent` and `handed` belong to the
/// flush: they move after the deed, so a crash repeats it, and the receiver drops what it has seen.
package struct MailRing: BitwiseCopyable {
    package static let capacity = 8192
    package static var bytes: Int { 64 + capacity * Mail.bytes }

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    package var tail: UInt64 { memory.loadAtomic(base) }
    package var sent: UInt64 { memory.loadAtomic(base + 8) }
    package var handed: UInt64 { memory.loadAtomic(base + 16) }

    package func setSent(_ position: UInt64) { memory.storeAtomic(position, at: base + 8) }
    package func setHanded(_ position: UInt64) { memory.storeAtomic(position, at: base + 16) }

    private func cell(_ position: UInt64) -> Int {
        base + 64 + Int(position % UInt64(MailRing.capacity)) * Mail.bytes
    }

    package func mail(_ position: UInt64) -> Mail { memory.load(cell(position)) }

    /// Messages from `position` on that lie behind one another, at most a batch: where, and how many.
    package func stretch(from position: UInt64) -> (offset: Int, count: Int) {
        let start = Int(position % UInt64(MailRing.capacity))
        let count = min(Int(tail - position), Mail.batch, MailRing.capacity - start)
        return (cell(position), count)
    }

    private func place(_ mail: Mail) -> UInt64? {
        let position = tail
        if position - sent >= UInt64(MailRing.capacity) { return nil }
        var numbered = mail
        numbered.sequence = position + 1
        memory.store(numbered, at: cell(position))
        FaultPoint.mailPlaced.pass(memory)
        return position + 1
    }

    /// Appends in a turn; false where the ring is full (the caller counts it).
    package func append(_ mail: Mail, undo: UndoLog) -> Bool {
        guard let next = place(mail) else { return false }
        undo.write(next, at: base)
        FaultPoint.mailAppended.pass(memory)
        return true
    }

    /// Appends outside of turns: the master, whose work is not replayed.
    package func append(_ mail: Mail) -> Bool {
        guard let next = place(mail) else { return false }
        memory.storeAtomic(next, at: base)
        FaultPoint.mailAppended.pass(memory)
        return true
    }
}
