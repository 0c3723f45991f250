import SharedState

/// Whose request a message is: who wants to know that it does not arrive.
struct RequestMark: BitwiseCopyable {
    let sender: ProcessID
    let fork: UInt8
    let attempt: UInt8
    let flags: UInt16
    let transaction: TransactionReference

    /// Nil where nobody wants to know.
    init?(_ mail: Mail) {
        if mail.transaction.isNone { return nil }
        sender = mail.sender
        fork = mail.fork
        attempt = mail.attempt
        flags = mail.flags
        transaction = mail.transaction
    }
}

/// Requests of a connection that wait to be written, and those written lately, whose answers never come if it
/// breaks. The oldest that are written make room for new ones.
struct SentRequests: ~Copyable {
    static let limit = 1024
    private static let least = 8

    struct Entry {
        let mark: RequestMark
        /// Where in the stream of all bytes for the peer it ends.
        let end: UInt64
        /// Monotonic milliseconds at which it was given to the connection.
        let since: UInt64
    }

    /// A ring; `first` is the oldest.
    private var entries: [Entry?] = []
    private var first = 0
    private(set) var count = 0

    init() {}

    var isEmpty: Bool { count == 0 }

    /// - Parameter written: bytes of the stream that the kernel has. False where so many wait that none of them can
    ///   make room.
    mutating func append(_ entry: Entry, written: UInt64) -> Bool {
        if count == entries.count {
            if count >= SentRequests.limit {
                guard let oldest = entries[first], oldest.end <= written else { return false }
                removeFirst()
            } else {
                grow()
            }
        }
        entries[(first + count) % entries.count] = entry
        count += 1
        return true
    }

    private mutating func grow() {
        var larger = [Entry?](repeating: nil, count: max(entries.count * 2, SentRequests.least))
        for place in 0..<count { larger[place] = entries[(first + place) % entries.count] }
        entries = larger
        first = 0
    }

    /// The oldest one, taken out.
    @discardableResult
    mutating func removeFirst() -> Entry? {
        if count == 0 { return nil }
        let entry = entries[first]
        entries[first] = nil
        first = (first + 1) % entries.count
        count -= 1
        return entry
    }

    /// Forgets those that were written and given before `time`; without any the memory goes.
    mutating func forget(before time: UInt64, written: UInt64) {
        while count > 0, let oldest = entries[first], oldest.since < time, oldest.end <= written {
            removeFirst()
        }
        if count == 0 {
            entries = []
            first = 0
        }
    }
}
