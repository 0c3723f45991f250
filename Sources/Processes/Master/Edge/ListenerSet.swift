import Configuration
import Glibc
import Platform
import SharedState

/// The listeners by their numbers, with the sockets that are theirs.
///
/// A listener keeps its number as long as it lives, through all reloads, for what is on its way bears it. The number
/// of one that is gone is given to others last.
struct ListenerSet {
    struct Entry {
        let listener: Listener
        /// Owned, until `close`.
        let socket: Int32
    }

    private static let limit = ConfigurationSnapshot.maximumListeners
    private(set) var entries = [Entry?](repeating: nil, count: limit)
    /// Where a free number is looked for.
    private var next = 0

    init() {}

    /// Opens all.
    init(_ wanted: [Listener]) throws(SystemError) {
        for listener in wanted { try add(ListeningSocket(listener), listener) }
    }

    subscript(number: Int) -> Entry? { entries[number] }

    /// The highest number plus one.
    var count: Int { (entries.lastIndex { $0 != nil } ?? -1) + 1 }

    var numbers: [Int] { entries.indices.filter { entries[$0] != nil } }

    /// By number; -1 where there is none, and for TCP, which is the master's alone.
    var datagramSockets: [Int32] {
        entries[..<count].map { $0.map { $0.listener.transport == .udp ? $0.socket : -1 } ?? -1 }
    }

    /// Those of TCP.
    var streams: [Connections.Listening] {
        numbers.filter { entries[$0]!.listener.transport == .tcp }.map {
            Connections.Listening(
                number: UInt16($0), socket: entries[$0]!.socket, address: entries[$0]!.listener.address)
        }
    }

    private func number(of listener: Listener) -> Int? { entries.firstIndex { $0?.listener == listener } }

    private mutating func add(_ socket: consuming ListeningSocket, _ listener: Listener) throws(SystemError) {
        for step in 0..<ListenerSet.limit {
            let number = (next + step) % ListenerSet.limit
            if entries[number] != nil { continue }
            entries[number] = Entry(listener: listener, socket: socket.takeDescriptor())
            next = (number + 1) % ListenerSet.limit
            return
        }
        throw SystemError(
            "listen \(listener.text): more than \(ListenerSet.limit) listeners, old and new", code: E2BIG)
    }

    // MARK: reload

    /// What a reload does to the listeners.
    struct Change {
        /// The old ones and the new: for as long as both are there.
        fileprivate(set) var both: ListenerSet
        fileprivate(set) var added: [Int] = []
        fileprivate(set) var removed: [Int] = []

        /// Once the new configuration is everybody's.
        var result: ListenerSet {
            var set = both
            for number in removed { set.entries[number] = nil }
            return set
        }

        /// Closes what was opened: it is not to be.
        func undo() {
            for number in added { close(both.entries[number]!.socket) }
        }

        /// Closes what is no longer wanted.
        func complete() {
            for number in removed { close(both.entries[number]!.socket) }
            for number in added { ListeningSocket.sharePort(both.entries[number]!.socket, false) }
        }
    }

    /// Opens what is new; where that fails, nothing has changed.
    func changed(to wanted: [Listener]) throws(SystemError) -> Change {
        var change = Change(both: self)
        change.removed = numbers.filter { number in !wanted.contains(entries[number]!.listener) }
        for listener in wanted where number(of: listener) == nil {
            do {
                try change.both.add(socket(for: listener, besides: change.removed), listener)
            } catch {
                change.undo()
                throw error
            }
            change.added.append(change.both.number(of: listener)!)
        }
        return change
    }

    /// A wildcard and an address that it includes cannot both be bound: where one takes the other's place, they share
    /// the port as long as both are there.
    private func socket(
        for listener: Listener, besides removed: [Int]
    ) throws(SystemError) -> ListeningSocket {
        let former = removed.map { entries[$0]! }.filter {
            $0.listener.serves(listener) && $0.listener.address.port == listener.address.port
        }
        for entry in former { ListeningSocket.sharePort(entry.socket, true) }
        return try ListeningSocket(listener, sharesPort: !former.isEmpty)
    }
}
