import Glibc
import Platform
import SharedMemory

/// Events in whose handling a process has trapped or hung (design §5.3). One that has done so twice is
/// quarantined: it is dropped, for the third time would be no better.
///
///     | quarantined : 64 | of them messages to the master : 64 | next : 64 | key : 128 |
///     64 × | hash : 64 | strikes : 64 | kind : 64 | time of the last strike : 64 |
///
/// Written by the master only; a new entry takes the place of the oldest. All others ask `isActive`, one load,
/// and only then what event they have before them. Entries are forgotten after a while: what is dropped by then
/// has long ceased to be sent again, and hashing every event is not free.
package struct Quarantine: BitwiseCopyable {
    package enum Kind: UInt64 {
        /// Of a child.
        case event = 1
        /// To the master, before it is read.
        case message = 2
    }

    /// Strikes that make an event quarantined.
    package static let limit = 2
    /// Milliseconds after which a strike is forgotten.
    package static let memory: UInt64 = 600_000
    package static let capacity = 64
    /// Bytes of a message that the master goes by.
    package static let messageBytes = 512
    private static let entryBytes = 32
    private static let entriesOffset = 64
    package static let bytes = entriesOffset + capacity * entryBytes

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    private func entry(_ index: Int) -> Int {
        base + Quarantine.entriesOffset + index * Quarantine.entryBytes
    }

    // MARK: read by all

    /// True while anything is quarantined.
    @inline(__always) package var isActive: Bool { memory.loadAtomic(base) != 0 }
    /// True while messages to the master are.
    @inline(__always) package var hasMessages: Bool { memory.loadAtomic(base + 8) != 0 }

    /// How often the event has ended its process, as far as is remembered.
    package func strikes(_ hash: UInt64) -> Int {
        for index in 0..<Quarantine.capacity where memory.loadAtomic(entry(index)) == hash {
            return Int(truncatingIfNeeded: memory.loadAtomic(entry(index) + 8))
        }
        return 0
    }

    // MARK: written by the master

    /// Draws the hash key; by the master that made the arena, on zero bytes.
    package func initialize() throws(SystemError) {
        let target = unsafe memory.address(base + 24, count: 16)
        guard unsafe getentropy(target, 16) == 0 else { throw .last("getentropy") }
    }

    /// Counts a strike; how many the event has now.
    @discardableResult
    package func blame(_ hash: UInt64, _ kind: Kind, now: UInt64) -> Int {
        forget(now: now)
        var index = (0..<Quarantine.capacity).first { memory.loadAtomic(entry($0)) == hash }
        if index == nil {
            let next = Int(memory.loadAtomic(base + 16) % UInt64(Quarantine.capacity))
            memory.storeAtomic(UInt64(next) + 1, at: base + 16)
            memory.storeAtomic(0, at: entry(next) + 8)
            memory.storeAtomic(hash, at: entry(next))
            memory.storeAtomic(kind.rawValue, at: entry(next) + 16)
            index = next
        }
        let place = entry(index!)
        let strikes = memory.loadAtomic(place + 8) + 1
        memory.storeAtomic(now, at: place + 24)
        memory.storeAtomic(strikes, at: place + 8)
        count()
        return Int(truncatingIfNeeded: strikes)
    }

    /// Forgets what happened long ago.
    package func forget(now: UInt64) {
        for index in 0..<Quarantine.capacity where memory.loadAtomic(entry(index) + 8) != 0 {
            if memory.loadAtomic(entry(index) + 24) + Quarantine.memory > now { continue }
            memory.storeAtomic(0, at: entry(index) + 8)
            memory.storeAtomic(0, at: entry(index))
        }
        count()
    }

    /// From the entries, not from what was there: a master that died in between is of no consequence.
    private func count() {
        var all: UInt64 = 0
        var messages: UInt64 = 0
        for index in 0..<Quarantine.capacity
        where memory.loadAtomic(entry(index) + 8) >= UInt64(Quarantine.limit) {
            all += 1
            if memory.loadAtomic(entry(index) + 16) == Kind.message.rawValue { messages += 1 }
        }
        memory.storeAtomic(messages, at: base + 8)
        memory.storeAtomic(all, at: base)
    }

    // MARK: what an event is known by

    /// A hash for what begins with `purpose`, which keeps one sort of events from being taken for another.
    private func hash(_ purpose: UInt64) -> KeyedHash {
        var hash = KeyedHash(key0: memory.load(base + 24), key1: memory.load(base + 32))
        hash.combine(purpose)
        return hash
    }

    /// What all mail is known by, whatever it brings.
    package func begin(_ mail: Mail) -> KeyedHash {
        var hash = hash(1)
        hash.combine(
            UInt64(mail.rawKind) | UInt64(mail.fork) << 8 | UInt64(mail.attempt) << 16
                | UInt64(mail.status) << 24)
        hash.combine(mail.transaction.rawValue)
        return hash
    }

    /// Mail without a message in a slot: all of it but its number.
    package func hash(ofFields mail: Mail) -> UInt64 {
        var hash = begin(mail)
        hash.combine(UInt64(mail.sender.rawValue) | UInt64(mail.flags) << 8)
        hash.combine(mail.first.rawValue)
        hash.combine(mail.second)
        hash.combine(mail.third)
        hash.combine(mail.fourth)
        return hash.finalize()
    }

    package func hash(ofTimer cell: UInt32, generation: UInt32, worker: Int) -> UInt64 {
        var hash = hash(2)
        hash.combine(UInt64(generation) << 32 | UInt64(cell))
        hash.combine(UInt64(worker))
        return hash.finalize()
    }

    /// A message to the master, as it came.
    package func hash(ofMessage bytes: Span<UInt8>) -> UInt64 {
        var hash = hash(3)
        hash.combine(bytes.extracting(0..<min(bytes.count, Quarantine.messageBytes)))
        return hash.finalize()
    }

    /// A question to the resolver. Never 0, which says that there is none.
    package func hash(ofQuestion text: Span<UInt8>) -> UInt64 {
        var hash = hash(4)
        hash.combine(text)
        return hash.finalize() | 1
    }
}
