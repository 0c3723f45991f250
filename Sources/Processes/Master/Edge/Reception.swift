import CPlatform
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax

/// Reception, parsing and dispatch (design P8): datagrams come straight into message slots, messages of streams
/// are copied there; they are scanned once, and go to the worker that has their call.
///
///     socket ──recvmmsg──▶ slots ──scan──▶ mail ring of worker w ──one datagram a turn──▶ worker w
///     connection ──frame──▶ ↑
///
/// Requests go by keyed hash of Call-ID, so all of a call meets in one worker; responses by our own branch.
@safe package struct Reception: ~Copyable {
    private static let batch = Int(cp_batch)
    private static let spillBytes = 65536 - Slots.smallCapacity

    let state: SharedState
    let keys: Keys
    let workers: Int
    var pool: SlotPool
    private let datagrams: UnsafeMutablePointer<cp_datagram>
    /// What of a long datagram does not fit a small slot.
    private let spill: UnsafeMutableRawPointer
    private var hand: [SlotReference] = []
    /// The last receive got as many as there was room for.
    private(set) var mayHoldMore = false
    private(set) var core: ProxyCore
    var stateless: Stateless
    var overload: Overload
    var trace: MessageTrace

    /// - Parameter sockets: of the listeners, by number; -1 for those of streams.
    package init(state: SharedState, keys: Keys, sockets: [Int32] = []) {
        core = ProxyCore(state, keys: keys)
        stateless = Stateless(state, sockets: sockets)
        overload = Overload(state)
        trace = MessageTrace(state)
        self.state = state
        self.keys = keys
        workers = Int(state.sizes.workers)
        pool = SlotPool(slots: state.slots)
        unsafe datagrams = UnsafeMutablePointer<cp_datagram>.allocate(capacity: Reception.batch)
        unsafe datagrams.initialize(repeating: cp_datagram(), count: Reception.batch)
        unsafe spill = UnsafeMutableRawPointer.allocate(
            byteCount: Reception.batch * Reception.spillBytes, alignment: 4096)
        hand.reserveCapacity(Reception.batch)
    }

    /// Takes over the configuration that was published.
    mutating func reconfigure(sockets: [Int32]) {
        core = ProxyCore(state, keys: keys, scratch: core.line)
        stateless.reconfigure(state, sockets: sockets)
        overload.reconfigure()
    }

    deinit {
        unsafe datagrams.deallocate()
        unsafe spill.deallocate()
    }

    /// Looks at all queues; in each turn of the loop.
    package mutating func measure(_ now: UInt64) { overload.measure(now) }

    /// Receives one batch from a listener's socket and dispatches it; the number of datagrams.
    ///
    /// - Parameters: address: of the listener; isLeaving: a reload may take it away, so that those who read the new
    ///   configuration are told what it was called.
    package mutating func receive(
        from socket: Int32, listener: UInt16, address: SocketAddress, isLeaving: Bool = false
    ) -> Int {
        while hand.count < Reception.batch, let slot = pool.takeSmall() {
            hand.append(slot)
            prepare(hand.count - 1)
        }
        if hand.isEmpty {
            mayHoldMore = true
            return dropOne(socket)
        }
        let count = unsafe Int(
            cp_receive(socket, datagrams, Int32(hand.count), address.isWildcard ? 1 : 0))
        mayHoldMore = count == hand.count
        if count <= 0 { return 0 }
        FaultPoint.datagramsReceived.pass(state.memory)
        for place in 0..<count { take(place, listener, address, isLeaving) }
        for place in 0..<count { dispatch(hand[place]) }
        refill(count)
        FaultPoint.batchTaken.pass(state.memory)
        return count
    }

    /// Replaces the first slots of the hand, which are handed out. Others are prepared already, and stay.
    private mutating func refill(_ count: Int) {
        for place in 0..<count {
            guard let slot = pool.takeSmall() else {
                // Those that are left move up.
                hand.removeSubrange(place..<count)
                for moved in place..<hand.count { prepare(moved) }
                return
            }
            hand[place] = slot
            prepare(place)
        }
    }

    private func prepare(_ place: Int) {
        let offset = state.slots.bytesOffset(hand[place].index)
        unsafe datagrams[place].parts.0 = iovec(
            iov_base: state.memory.address(offset, count: Slots.smallCapacity), iov_len: Slots.smallCapacity)
        unsafe datagrams[place].parts.1 = iovec(
            iov_base: spill + place * Reception.spillBytes, iov_len: Reception.spillBytes)
    }

    /// No slot is free: the datagram is taken from the socket and dropped, or epoll would spin.
    private mutating func dropOne(_ socket: Int32) -> Int {
        unsafe datagrams[0].parts.0 = iovec(iov_base: spill, iov_len: Reception.spillBytes)
        unsafe datagrams[0].parts.1 = iovec()
        let count = unsafe Int(cp_receive(socket, datagrams, 1, 0))
        if count > 0 { state.counters.add(.droppedNoSlot, .master) }
        return max(count, 0)
    }

    /// One received datagram: into its final slot, with all that is known of it. Whoever finds it there can go on.
    private mutating func take(
        _ place: Int, _ listener: UInt16, _ address: SocketAddress, _ isLeaving: Bool
    ) {
        state.counters.add(.messagesReceived, .master)
        var header = SlotHeader()
        header.isReceived = true
        header.length = unsafe datagrams[place].length
        header.endpoint = unsafe Endpoint(.udp, SocketAddress(datagrams[place].peer), listener: listener)
        var local = unsafe SocketAddress(datagrams[place].local)
        if !local.isNone {
            local.port = address.port
            header.endpoint.local = local
        } else if isLeaving && !address.isWildcard {
            header.endpoint.local = address
        }
        let length = Int(header.length)
        if length > Slots.smallCapacity {
            // A large slot holds the longest datagram there is.
            let large = moveToLarge(place, length)
            pool.giveBack(hand[place])
            hand[place] = large ?? .none
            if large == nil {
                state.counters.add(.droppedNoSlot, .master)
                return
            }
        }
        state.slots.setHeader(header, hand[place].index)
        FaultPoint.messagePlaced.pass(state.memory)
    }

    /// Dispatches what was received, or gives its slot back.
    private mutating func dispatch(_ slot: SlotReference) {
        if slot.isNone { return }
        switch dispatch(slot, state.slots.header(slot.index)) {
        case .handed: return
        case .noSlot: state.counters.add(.droppedNoSlot, .master)
        case .noMail: state.counters.add(.mailDropped, .master)
        case .dropped, .notSIP: break
        }
        pool.giveBack(slot)
    }

    /// Dispatches what a former master has received and not dispatched, but for the slots of `kept`.
    mutating func dispatchReceived(except kept: Set<Int>) {
        for index in 0..<state.slots.incomingCount
        where state.slots.holder(index) == .master && !kept.contains(index)
            && state.slots.header(index).isReceived
        {
            dispatch(state.slots.reference(index))
        }
    }

    /// Dispatches one message of a stream, or what can be read of a faulty one. Where there is no room for it now,
    /// nothing has happened.
    mutating func receive(_ bytes: Span<UInt8>, from endpoint: Endpoint, fault: Fault?) -> Dispatch {
        guard let slot = pool.takeForStream(bytes.count) else { return .noSlot }
        var writer = state.memory.writer(
            state.slots.bytesOffset(slot.index), capacity: state.slots.capacity(slot.index))
        writer.append(bytes)
        var header = SlotHeader()
        header.length = UInt32(writer.count)
        header.endpoint = endpoint
        header.fault = fault.map { $0.rawValue + 1 } ?? 0
        state.slots.setHeader(header, slot.index)
        let result = dispatch(slot, header)
        switch result {
        case .handed: state.counters.add(.messagesReceived, .master)
        case .dropped, .notSIP:
            state.counters.add(.messagesReceived, .master)
            pool.giveBack(slot)
        case .noSlot, .noMail: pool.giveBack(slot)
        }
        return result
    }

    /// Puts a message that the master has made into a slot that stays its own; nil where none is free.
    mutating func keep(_ message: Span<UInt8>) -> SlotReference? {
        let taken = message.count <= Slots.smallCapacity ? pool.takeSmall() : pool.takeLarge()
        guard let slot = taken else { return nil }
        var writer = state.memory.writer(
            state.slots.bytesOffset(slot.index), capacity: state.slots.capacity(slot.index))
        writer.append(message)
        var header = SlotHeader()
        header.length = UInt32(writer.count)
        state.slots.setHeader(header, slot.index)
        return slot
    }

    mutating func giveBack(_ slot: SlotReference) { pool.giveBack(slot) }

    private mutating func moveToLarge(_ place: Int, _ length: Int) -> SlotReference? {
        guard let large = pool.takeLarge() else { return nil }
        let target = state.slots.bytesOffset(large.index)
        let rest = length - Slots.smallCapacity
        state.memory.copy(
            from: state.slots.bytesOffset(hand[place].index), to: target, count: Slots.smallCapacity)
        unsafe state.memory.address(target + Slots.smallCapacity, count: rest).copyMemory(
            from: spill + place * Reception.spillBytes, byteCount: rest)
        return large
    }
}
