import Glibc
import Platform
import SharedState

/// The connections, by number, by peer, and how many there are of each host. Its places are made as they are
/// needed, so a table for many costs nothing while there are few.
@safe struct ConnectionTable: ~Copyable {
    /// Connections there may be, and those of one host that it may have made.
    private(set) var limit: Int
    private(set) var hostLimit: Int
    /// Those of one host, and of all, that may be connecting at a time.
    static let hostConnectingLimit = 64
    private(set) var connectingLimit: Int
    private var connecting = 0
    private let hash: KeyedHash
    private var cells: UnsafeMutablePointer<Connection>
    private var capacity: Int
    private let firstGeneration: UInt32
    /// Places that were used at least once.
    private(set) var made = 0
    private var firstFree: Int32 = -1
    private(set) var count = 0
    private var buckets: [Int32]
    private var hosts: [HostKey: Host] = [:]
    /// When something may be due at a place; `UInt64.max`: nothing. Beside the cells, for all are looked at often.
    var due: [UInt64]

    /// The host of a peer; of IPv6 the network of 64 bits, for who has one address there has all.
    struct HostKey: Hashable {
        private let family: UInt16
        private let value: UInt64

        init(_ peer: SocketAddress) {
            family = peer.family
            if peer.isIPv4 {
                value = UInt64(peer.ipv4)
            } else {
                var bits: UInt64 = 0
                for group in 0..<4 { bits = bits << 16 | UInt64(peer.group(group)) }
                value = bits
            }
        }
    }

    struct Host {
        /// Those that it made, and those to it.
        var accepted = 0
        var opened = 0
        /// Of those to it, the ones that are not connected yet.
        var connecting = 0
        /// Bytes that wait in them.
        var buffered = 0
        /// It was told that it is at the limit.
        var isTold = false
    }

    /// - Parameter firstGeneration: of each place; not what a former master's were, whose connections records may
    ///   still name.
    init(limit: Int, hostLimit: Int, hash: KeyedHash, firstGeneration: UInt32 = 1) {
        self.firstGeneration = firstGeneration
        self.limit = limit
        self.hostLimit = hostLimit
        connectingLimit = max(limit / 4, 1)
        self.hash = hash
        capacity = limit
        unsafe cells = UnsafeMutablePointer<Connection>.allocate(capacity: limit)
        var size = 64
        while size < limit { size *= 2 }
        buckets = Array(repeating: -1, count: size)
        due = []
    }

    /// Sets other limits. Where there are more connections than one allows now, they stay, and no others come.
    mutating func setLimits(_ limit: Int, host: Int) {
        if limit > capacity {
            let larger = UnsafeMutablePointer<Connection>.allocate(capacity: limit)
            unsafe larger.moveInitialize(from: cells, count: made)
            unsafe cells.deallocate()
            unsafe cells = larger
            capacity = limit
        }
        self.limit = limit
        hostLimit = host
        connectingLimit = max(limit / 4, 1)
    }

    deinit {
        for index in 0..<made where unsafe cells[index].phase != .free {
            unsafe close(cells[index].descriptor)
        }
        unsafe cells.deinitialize(count: made)
        unsafe cells.deallocate()
    }

    subscript(_ index: Int) -> Connection {
        @inline(__always) _read {
            precondition(index >= 0 && index < made)
            yield unsafe cells[index]
        }
        @inline(__always) _modify {
            precondition(index >= 0 && index < made)
            yield unsafe &cells[index]
        }
    }

    // MARK: places

    /// A place for a connection to `peer`, which is owned from now on; nil where there are as many as may be.
    ///
    /// - Parameter isAccepted: the peer made it; else it is being connected.
    mutating func add(
        _ descriptor: Int32, _ peer: SocketAddress, listener: UInt16, isAccepted: Bool = true
    ) -> Int? {
        if count >= limit { return nil }
        let index: Int
        if firstFree >= 0 {
            index = Int(firstFree)
            firstFree = self[index].next
        } else {
            index = made
            unsafe (cells + made).initialize(to: Connection(generation: firstGeneration))
            due.append(.max)
            made += 1
        }
        count += 1
        self[index].phase = isAccepted ? .open : .connecting
        self[index].isAccepted = isAccepted
        self[index].descriptor = descriptor
        self[index].peer = peer
        self[index].listener = listener
        let bucket = bucket(peer)
        self[index].next = buckets[bucket]
        buckets[bucket] = Int32(index)
        if isAccepted {
            hosts[HostKey(peer), default: Host()].accepted += 1
        } else {
            hosts[HostKey(peer), default: Host()].opened += 1
            hosts[HostKey(peer)]?.connecting += 1
            connecting += 1
        }
        return index
    }

    /// A connection is connected.
    mutating func setConnected(_ index: Int) {
        self[index].phase = .open
        hosts[HostKey(self[index].peer)]?.connecting -= 1
        connecting -= 1
    }

    /// Closes a connection; whoever still speaks of it means none.
    mutating func remove(_ index: Int) {
        precondition(self[index].phase != .free)
        unlink(index)
        let key = HostKey(self[index].peer)
        var host = hosts[key] ?? Host()
        if self[index].isAccepted { host.accepted -= 1 } else { host.opened -= 1 }
        if self[index].phase == .connecting {
            host.connecting -= 1
            connecting -= 1
        }
        host.buffered -= self[index].buffered
        if host.accepted <= hostLimit - max(hostLimit / 10, 1) { host.isTold = false }
        hosts[key] = host.accepted + host.opened > 0 ? host : nil
        close(self[index].descriptor)
        let generation = self[index].generation &+ 1
        self[index] = Connection(generation: generation == 0 ? 1 : generation)
        self[index].next = firstFree
        firstFree = Int32(index)
        due[index] = .max
        count -= 1
    }

    private mutating func unlink(_ index: Int) {
        let bucket = bucket(self[index].peer)
        let next = self[index].next
        if buckets[bucket] == Int32(index) {
            buckets[bucket] = next
            return
        }
        var place = Int(buckets[bucket])
        while self[place].next != Int32(index) { place = Int(self[place].next) }
        self[place].next = next
    }

    // MARK: look-up

    func reference(_ index: Int) -> ConnectionReference {
        ConnectionReference(index: index, generation: self[index].generation)
    }

    /// The place of a connection that still is; nil for one that is gone.
    func find(_ reference: ConnectionReference) -> Int? {
        let index = reference.index
        guard index >= 0, index < made, self[index].generation == reference.generation,
            self[index].phase != .free
        else { return nil }
        return index
    }

    /// The newest connection to `peer` that can be written to, rather one of that listener.
    func find(_ peer: SocketAddress, listener: UInt16) -> Int? {
        var found: Int?
        var place = Int(buckets[bucket(peer)])
        while place >= 0 {
            let isUsable = self[place].phase == .open || self[place].phase == .connecting
            if isUsable && self[place].peer == peer {
                if self[place].listener == listener { return place }
                if found == nil { found = place }
            }
            place = Int(self[place].next)
        }
        return found
    }

    private func bucket(_ peer: SocketAddress) -> Int {
        var hash = hash
        hash.combine(UInt64(peer.port) << 16 | UInt64(peer.family))
        if peer.isIPv4 {
            hash.combine(UInt64(peer.ipv4))
        } else {
            for group in 0..<8 { hash.combine(UInt64(peer.group(group))) }
        }
        return Int(truncatingIfNeeded: hash.finalize()) & (buckets.count - 1)
    }

    // MARK: hosts

    /// True where the host of `peer` has made as many connections as it may.
    func isHostFull(_ peer: SocketAddress) -> Bool { hosts[HostKey(peer)]?.accepted ?? 0 >= hostLimit }

    /// True where so many are being connected, to the host of `peer` or to all, that another one has to wait.
    func isConnectingFull(_ peer: SocketAddress) -> Bool {
        connecting >= connectingLimit
            || hosts[HostKey(peer)]?.connecting ?? 0 >= ConnectionTable.hostConnectingLimit
    }

    /// A connection has so many bytes more, or less, that wait.
    mutating func grow(_ index: Int, by bytes: Int) { hosts[HostKey(self[index].peer)]?.buffered += bytes }

    /// Bytes that wait in all connections of the host of `peer`.
    func buffered(_ peer: SocketAddress) -> Int { hosts[HostKey(peer)]?.buffered ?? 0 }

    /// True the first time since the host had a tenth less than it may.
    mutating func tellsHostFull(_ peer: SocketAddress) -> Bool {
        let key = HostKey(peer)
        guard var host = hosts[key], !host.isTold else { return false }
        host.isTold = true
        hosts[key] = host
        return true
    }
}
