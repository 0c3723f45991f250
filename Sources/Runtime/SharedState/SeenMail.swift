import SharedMemory

/// The highest sequence number received from each sender: what is not above it has been handled before.
package struct SeenMail: BitwiseCopyable {
    package static let bytes = ProcessID.limit * 8

    private let log: UndoLog
    private let base: Int

    package init(log: UndoLog, at base: Int) {
        self.log = log
        self.base = base
    }

    /// The last sequence number handled of that sender.
    package func last(from sender: ProcessID) -> UInt64 { log.memory.loadAtomic(base + sender.index * 8) }

    /// True the first time; a repeated message (its sender died between sending and noting it) gives false.
    package func isNew(_ mail: Mail) -> Bool {
        precondition(mail.sender.index < ProcessID.limit)
        let cell = base + mail.sender.index * 8
        if mail.sequence <= log.memory.load(cell, as: UInt64.self) { return false }
        log.write(mail.sequence, at: cell)
        return true
    }
}
