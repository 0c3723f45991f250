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

    /// One that is open already, owned: of a former master, with its number, or of a socket unit.
    struct Kept {
        let number: Int?
        let listener: Listener
        let socket: Int32
    }

    /// Opens all, but those that are there already; closes those that are not wanted.
    init(_ wanted: [Listener], _ kept: [Kept] = []) throws(SystemError) {
        for one in kept {
            let number = one.number.flatMap { 0..<ListenerSet.limit ~= $0 && entries[$0] == nil ? $0 : nil }
            if let place = number ?? entries.firstIndex(where: { $0 == nil }),
                self.number(of: one.listener) == nil
            {
                entries[place] = Entry(listener: one.listener, socket: one.socket)
            } else {
                close(one.socket)
            }
        }
        let change = try changed(to: wanted)
        self = change.result
        change.complete()
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

    /// - Parameter taken: numbers that are not free yet, if others are.
    private mutating func add(
        _ socket: consuming ListeningSocket, _ listener: Listener, besides taken: [Int] = []
    ) {
        let free = (0..<ListenerSet.limit).map { (next + $0) % ListenerSet.limit }.filter {
            entries[$0] == nil
        }
        let number = free.first { !taken.contains($0) } ?? free[0]
        entries[number] = Entry(listener: listener, socket: socket.takeDescriptor())
        next = (number + 1) % ListenerSet.limit
    }

    // MARK: reload

    /// What a reload does to the listeners.
    struct Change {
        /// The listeners of the new configuration.
        fileprivate(set) var result: ListenerSet
        fileprivate(set) var added: [Int] = []
        fileprivate(set) var removed: [(number: Int, entry: Entry)] = []

        /// Closes what was opened: it is not to be.
        func undo() {
            for number in added { close(result.entries[number]!.socket) }
            for (_, entry) in removed { ListeningSocket.sharePort(entry.socket, false) }
        }

        /// Closes what is no longer wanted.
        func complete() {
            for (_, entry) in removed { close(entry.socket) }
            for number in added { ListeningSocket.sharePort(result.entries[number]!.socket, false) }
        }
    }

    /// Opens what is new; where that fails, nothing has changed.
    func changed(to wanted: [Listener]) throws(SystemError) -> Change {
        var change = Change(result: self)
        for number in numbers where !wanted.contains(entries[number]!.listener) {
            change.removed.append((number, entries[number]!))
            change.result.entries[number] = nil
        }
        for listener in wanted where number(of: listener) == nil {
            do throws(SystemError) {
                let socket = try ListenerSet.socket(for: listener, besides: change.removed.map(\.entry))
                change.result.add(socket, listener, besides: change.removed.map(\.number))
            } catch {
                change.undo()
                throw error
            }
            change.added.append(change.result.number(of: listener)!)
        }
        return change
    }

    /// A wildcard and an address that it includes cannot both be bound: where one takes the other's place, they share
    /// the port as long as both are there.
    private static func socket(
        for listener: Listener, besides removed: [Entry]
    ) throws(SystemError) -> ListeningSocket {
        let former = removed.filter {
            $0.listener.serves(listener) && $0.listener.address.port == listener.address.port
        }
        for entry in former { ListeningSocket.sharePort(entry.socket, true) }
        return try ListeningSocket(listener, sharesPort: !former.isEmpty)
    }
}
