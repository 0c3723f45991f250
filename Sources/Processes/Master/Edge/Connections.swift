import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Syntax

/// What TCP may take, as the configuration has it.
struct ConnectionLimits {
    var connections = 16_384
    var perPeer = 1024
    // Milliseconds.
    var idle: UInt64 = 3_900_000
    var message: UInt64 = 30_000
    var connect: UInt64 = 4000
    /// How long an answer to a fault is waited for, and then the peer's close.
    var refusal: UInt64 = 2000
    /// How long a request may stay without an answer: 64·T1.
    var request: UInt64 = 32_000
    var stream = StreamFramer.Limits(header: 16_384, message: 65_535)
    /// Bytes that wait for one peer.
    var queue = 262_144
    /// Bytes that wait in all connections, in both directions; for those of one host an eighth of it.
    var memory = 256 << 20

    init() {}

    init(_ snapshot: ConfigurationSnapshot) {
        connections = Int(snapshot.tcpMaxConnections)
        perPeer = Int(snapshot.tcpMaxConnectionsPerPeer)
        idle = UInt64(snapshot.tcpIdleTimeout) * 1000
        message = UInt64(snapshot.tcpMessageTimeout) * 1000
        connect = UInt64(snapshot.tcpConnectTimeout)
        request = UInt64(snapshot.t1) * 64
        stream = StreamFramer.Limits(
            header: Int(snapshot.tcpMaxHeader), message: Int(snapshot.tcpMaxMessage))
        queue = Int(snapshot.tcpMaxQueue)
    }
}

extension ConnectionLimits {
    /// Descriptors that the master needs besides those of connections.
    private static let otherDescriptors = 256

    /// As many connections as the system lets us have descriptors for.
    func granted(_ log: inout LogWriter) -> ConnectionLimits {
        let others = ConnectionLimits.otherDescriptors
        let granted = Int(cp_raise_descriptors(UInt64(connections + others)))
        if granted >= connections + others { return self }
        var limits = self
        limits.connections = max(granted - others, 16)
        log.note(
            .configurationWarning, .warning,
            "tcp.max-connections: \(limits.connections), since no more than \(granted) files may be open (LimitNOFILE)"
        )
        return limits
    }
}

/// TCP (RFC 3261 §18): listeners, the connections that peers make, and those that workers' messages need.
///
///     listener ──accept──▶ ┐              ┌─▶ frame ──▶ Reception.receive ──▶ worker
///     worker ──send──▶ open ┴▶ connection ┤
///                                         └─◀ queue ◀── send ◀── worker
///
/// All of its sockets are in a poller of its own, which stands in the master's as one: however many there are, each
/// turn of the loop serves so many of them, each for so many bytes, and then the datagrams.
@safe struct Connections: ~Copyable {
    static let readBytes = 65_536
    /// Bytes that a connection may have whatever others have: the least of both queues.
    static let freeBytes = 4096
    /// Connections taken from a listener in one turn.
    static let acceptBatch = 64

    /// A TCP listener; its descriptor belongs to the master.
    struct Listening {
        let number: UInt16
        let socket: Int32
        let address: SocketAddress
        /// No descriptor was free: until then it is not asked. 0: it is.
        var pausedUntil: UInt64 = 0
    }

    let state: SharedState
    private(set) var limits: ConnectionLimits
    var log: LogWriter
    var table: ConnectionTable
    var poller: Poller
    private(set) var listeners: [Listening]
    /// Where a read goes that finds nothing waiting in front of it.
    let scratch: UnsafeMutablePointer<UInt8>
    /// Connections whose message no worker had room for.
    var stalled: [ConnectionReference] = []
    /// When those were tried again.
    var retriedAt: UInt64 = 0
    /// Bytes that wait in all connections.
    var buffered = 0
    /// The earliest of `table.due`, and the last time that all were looked at.
    var earliest = UInt64.max
    var sweptAt: UInt64 = 0
    /// That there are as many connections as may be was told.
    var isFullTold = false
    var failureLog = RateLimit(perSecond: 5)
    var malformedLog = RateLimit(perSecond: 5)
    var limitLog = RateLimit(perSecond: 5)
    var shortageLog = RateLimit(perSecond: 1)

    init(
        state: SharedState, keys: Keys, limits: ConnectionLimits, listeners: [Listening], log: LogWriter
    ) throws(SystemError) {
        self.state = state
        self.limits = limits
        self.listeners = listeners
        self.log = log
        let poller = try Poller()
        for listener in listeners { try poller.add(listener.socket, token: Connections.token(listener)) }
        self.poller = poller
        // Spread, so that the places of one master do not come to the generations of the next.
        let generation = UInt32(truncatingIfNeeded: state.header.masters) &* 0x9E37_79B1 | 1
        table = ConnectionTable(
            limit: limits.connections, hostLimit: limits.perPeer, hash: keys.tables,
            firstGeneration: generation)
        unsafe scratch = UnsafeMutablePointer<UInt8>.allocate(capacity: Connections.readBytes)
        state.counters.set(.connectionsLimit, limits.connections)
    }

    deinit { unsafe scratch.deallocate() }

    /// For the master's poller.
    var pollerNumber: Int32 { poller.number }

    // A reference has its place in the low half, plus one; a listener's token has nothing there.
    private static func token(_ listener: Listening) -> UInt64 { UInt64(listener.number) << 32 }

    /// Serves what is ready, some of it.
    mutating func serve(_ now: UInt64, _ reception: inout Reception) {
        let count = poller.wait(milliseconds: 0)
        for number in 0..<count {
            let event = poller.event(number)
            if event.token & 0xFFFF_FFFF == 0 {
                if let place = listeners.firstIndex(where: { Connections.token($0) == event.token }) {
                    accept(place, now)
                }
                continue
            }
            // One that was closed in this very turn has another generation.
            guard let index = table.find(ConnectionReference(rawValue: event.token)) else { continue }
            handle(index, event, now, &reception)
        }
        state.counters.set(.connections, table.count)
    }

    private mutating func handle(
        _ index: Int, _ event: Poller.Event, _ now: UInt64, _ reception: inout Reception
    ) {
        if table[index].phase == .connecting {
            if event.writable || event.failed { finishConnect(index, now) }
            return
        }
        let reference = table.reference(index)
        if event.writable { write(index, now) }
        guard event.readable || event.failed, table.find(reference) != nil else { return }
        read(index, now, &reception)
    }

    // MARK: reload

    /// Takes over other limits and listeners. Connections stay, those of a listener that is gone as well.
    mutating func reconfigure(_ new: ConnectionLimits, _ wanted: [Listening], _ now: UInt64) {
        limits = new
        table.setLimits(limits.connections, host: limits.perPeer)
        state.counters.set(.connectionsLimit, limits.connections)
        isFullTold = false
        for listener in listeners where !wanted.contains(where: { $0.socket == listener.socket }) {
            if listener.pausedUntil == 0 { poller.remove(listener.socket) }
            outlive(listener)
        }
        listeners = wanted.map { listener in
            if let known = listeners.first(where: { $0.socket == listener.socket }) { return known }
            var added = listener
            // `resumeListeners` puts it into the poller.
            added.pausedUntil = now
            return added
        }
        // What was due by the old limits is looked at by the new ones.
        for index in 0..<table.made where table.due[index] != .max { table.due[index] = now }
        earliest = now
        resumeListeners(now)
    }

    /// Its connections stay; what it was called, they still are.
    private mutating func outlive(_ listener: Listening) {
        if listener.address.isWildcard { return }
        for index in 0..<table.made
        where table[index].phase != .free && table[index].listener == listener.number
            && table[index].local.isNone
        {
            table[index].local = listener.address
        }
    }

    // MARK: accept

    private mutating func accept(_ place: Int, _ now: UInt64) {
        for _ in 0..<Connections.acceptBatch {
            var storage = sockaddr_storage()
            let number = unsafe cp_accept_peer(listeners[place].socket, &storage)
            if number < 0 {
                let code = SystemError.lastCode
                switch code {
                case EAGAIN: return
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pause(place, code, now)
                // A connection that has failed already; accept(2) has more of them than anyone knows.
                default: continue
                }
            }
            take(Descriptor(owning: number), SocketAddress(storage), place, now)
            FaultPoint.connectionAccepted.pass(state.memory)
        }
    }

    private mutating func take(
        _ descriptor: consuming Descriptor, _ peer: SocketAddress, _ place: Int, _ now: UInt64
    ) {
        let listener = listeners[place]
        if table.isHostFull(peer) {
            state.counters.add(.connectionsRefused, .master)
            if table.tellsHostFull(peer) { logLimit(peer, "max-connections-per-peer", limits.perPeer) }
            return
        }
        if table.count >= table.limit {
            refuseFull(peer)
            return
        }
        let number = descriptor.number
        guard let index = table.add(descriptor.release(), peer, listener: listener.number) else { return }
        state.counters.add(.connectionsAccepted, .master)
        if listener.address.isWildcard { table[index].local = Connections.localAddress(number) }
        table[index].activeAt = now
        arm(index, now + limits.idle)
        watch(index)
    }

    /// There are as many as may be: counted, and told once until there are a tenth less.
    mutating func refuseFull(_ peer: SocketAddress) {
        state.counters.add(.connectionsRefused, .master)
        if isFullTold { return }
        isFullTold = true
        logLimit(peer, "max-connections", table.limit)
    }

    /// The system has nothing left for another connection, which would wake the poller for ever.
    private mutating func pause(_ place: Int, _ code: Int32, _ now: UInt64) {
        listeners[place].pausedUntil = now + 1000
        earliest = min(earliest, now + 1000)
        poller.remove(listeners[place].socket)
        state.counters.add(.connectionsRefused, .master)
        logShortage(listeners[place].address, code)
    }

    mutating func resumeListeners(_ now: UInt64) {
        for place in listeners.indices where listeners[place].pausedUntil != 0 {
            let until = listeners[place].pausedUntil
            guard until <= now else {
                earliest = min(earliest, until)
                continue
            }
            let socket = listeners[place].socket
            do {
                try poller.add(socket, token: Connections.token(listeners[place]))
                listeners[place].pausedUntil = 0
            } catch {
                listeners[place].pausedUntil = now + 1000
                earliest = min(earliest, now + 1000)
            }
        }
    }

    static func localAddress(_ socket: Int32) -> SocketAddress {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        unsafe withUnsafeMutableBytes(of: &storage) {
            let address = unsafe $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            _ = unsafe getsockname(socket, address, &length)
        }
        return SocketAddress(storage)
    }

    // MARK: memory

    /// Has the sums follow what a connection holds, which was `before`.
    mutating func account(_ index: Int, _ before: Int) {
        let change = table[index].buffered - before
        if change == 0 { return }
        buffered += change
        table.grow(index, by: change)
    }

    /// True for a connection that is to give way: all, or those of its host, hold more than they may. One that
    /// holds next to nothing is never that, or a few that hold all of it would keep out everybody.
    func isTooMuch(_ index: Int) -> Bool {
        if table[index].buffered <= Connections.freeBytes { return false }
        return buffered > limits.memory || table.buffered(table[index].peer) > limits.memory / 8
    }

    /// Ends a connection with which there is too much; true where that was so.
    mutating func failsByMemory(_ index: Int, _ code: Int32) -> Bool {
        guard isTooMuch(index) else { return false }
        logFailure(table[index].peer, code)
        fail(index, code)
        return true
    }

    // MARK: the poller, and the end

    /// Puts a connection into the poller.
    mutating func watch(_ index: Int) {
        let token = table.reference(index).rawValue
        let interest: Poller.Interest = table[index].watchesRoom ? [.readable, .writable] : .readable
        do { try poller.add(table[index].descriptor, token: token, interest) } catch {
            fail(index, error.code)
        }
    }

    /// Has the poller watch for room to write, or not.
    mutating func watchRoom(_ index: Int, _ wanted: Bool) {
        if table[index].watchesRoom == wanted { return }
        table[index].watchesRoom = wanted
        if table[index].isStalled { return }
        let token = table.reference(index).rawValue
        let interest: Poller.Interest = wanted ? [.readable, .writable] : .readable
        do { try poller.change(table[index].descriptor, token: token, interest) } catch {
            preconditionFailure("a connection that is not in the poller")
        }
    }

    /// Ends a connection that broke or was broken off; `code` says how.
    mutating func fail(_ index: Int, _ code: Int32) {
        state.counters.add(.connectionsFailed, .master)
        end(index, code)
    }

    /// Closes a connection, and tells who sent requests over it that no answer will come.
    mutating func end(_ index: Int, _ code: Int32) {
        while let entry = table[index].requests.removeFirst() { tell(entry.mark, code) }
        if !table[index].isStalled { poller.remove(table[index].descriptor) }
        buffered -= table[index].buffered
        table.remove(index)
        if table.count <= table.limit - max(table.limit / 10, 1) { isFullTold = false }
    }

    /// Tells a worker that its request could not be sent, or will not be answered.
    func tell(_ mark: RequestMark, _ code: Int32) {
        var mail = Mail(.sendFailed)
        mail.transaction = mark.transaction
        mail.fork = mark.fork
        mail.attempt = mark.attempt
        mail.flags = mark.flags
        mail.status = UInt16(truncatingIfNeeded: code)
        if !state.masterRing(to: mark.sender).append(mail) { state.counters.add(.mailDropped, .master) }
    }
}
