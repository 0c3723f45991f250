import Platform
import SharedMemory
import SharedState

/// Makes log entries of one process: into its ring, and a word to the logger when it sleeps.
package struct LogWriter {
    private let ring: LogRing
    private let counters: Counters
    private let me: ProcessID
    private let scratch: ByteWriter
    package var level: UInt8
    /// True once an entry was made that the logger has not been told of.
    package private(set) var wakeWanted = false

    /// - Parameter level: least important `LogPriority` that is written.
    package init(state: SharedState, process: ProcessID, level: UInt32) {
        ring = state.log(process)
        counters = state.counters
        me = process
        self.level = UInt8(level)
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        scratch = unsafe ByteWriter(unsafe: buffer, capacity: LogRing.maximumEntry)
    }

    package func isWanted(_ priority: LogPriority) -> Bool { priority.rawValue <= level }

    /// An empty entry to fill and `commit`.
    ///
    /// - Parameter time: when it happened, in microseconds since 1970; now where nothing is given.
    package func begin(_ event: LogEvent, _ priority: LogPriority, time: UInt64? = nil) -> LogEntry {
        LogEntry(event, priority, time: time ?? Clock.epochMicroseconds(), into: scratch)
    }

    package mutating func commit(_ entry: LogEntry) {
        if entry.append(to: ring) {
            if ring.wantsWake() { wakeWanted = true }
        } else {
            counters.add(.logEntriesDropped, me)
        }
    }

    /// A message without further fields.
    package mutating func note(_ event: LogEvent, _ priority: LogPriority, _ text: String) {
        guard isWanted(priority) else { return }
        var entry = begin(event, priority)
        entry.add(.message, string: text)
        commit(entry)
    }

    /// True once where the logger is to be woken.
    package mutating func takeWake() -> Bool {
        let wanted = wakeWanted
        wakeWanted = false
        return wanted
    }
}
