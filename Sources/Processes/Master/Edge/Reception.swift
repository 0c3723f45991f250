import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax
import Transport

/// Reception, parsing and dispatch (design P8): datagrams come straight into message slots, messages of streams
/// are copied there; they are scanned once, and go to the worker that has their call.
///
///     socket ──recvmmsg──▶ slots ──scan──▶ mail ring of worker w ──one datagram a turn──▶ worker w
///     connection ──frame──▶ ↑
///
/// Requests go by keyed hash of Call-ID, so all of a call meets in one worker; responses by our own branch.
@safe package struct Reception: ~Copyable {
    let state: SharedState
    let keys: Keys
    let workers: Int
    var pool: SlotPool
    private var datagrams: DatagramReceiver
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
        datagrams = DatagramReceiver(state: state)
    }

    /// Takes over the configuration that was published.
    mutating func reconfigure(sockets: [Int32]) {
        core = ProxyCore(state, keys: keys, scratch: core.line)
        stateless.reconfigure(state, sockets: sockets)
        overload.reconfigure()
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
        let source = DatagramReceiver.Source(listener: listener, address: address, isLeaving: isLeaving)
        let count = fetch(from: socket, source)
        if count == 0 || datagrams.count == 0 { return count }
        FaultPoint.datagramsReceived.pass(state.memory)
        for place in 0..<count { take(place, source) }
        for place in 0..<count { dispatch(datagrams.slot(place)) }
        refill(count)
        FaultPoint.batchTaken.pass(state.memory)
        return count
    }

    /// Receives one batch into the places that have slots. Where no slot is free, a datagram is taken from the socket
    /// and dropped, or epoll would spin.
    mutating func fetch(from socket: Int32, _ source: DatagramReceiver.Source) -> Int {
        while datagrams.count < DatagramReceiver.capacity, let slot = pool.takeSmall() { datagrams.add(slot) }
        if datagrams.count == 0 {
            mayHoldMore = true
            let count = datagrams.dropOne(from: socket)
            if count > 0 { state.counters.add(.droppedNoSlot, .master) }
            return count
        }
        let count = datagrams.receive(from: socket, source)
        mayHoldMore = count == datagrams.count
        return count
    }

    /// Replaces the slots of the first places, which are handed out. Others hold nothing, and stay.
    private mutating func refill(_ count: Int) {
        for place in 0..<count {
            guard let slot = pool.takeSmall() else { return datagrams.remove(place..<count) }
            datagrams.replace(place, slot)
        }
    }

    /// One received datagram: into its final slot, with all that is known of it. Whoever finds it there can go on.
    private mutating func take(_ place: Int, _ source: DatagramReceiver.Source) {
        state.counters.add(.messagesReceived, .master)
        var header = SlotHeader()
        header.isReceived = true
        header.length = UInt32(datagrams.length(place))
        header.endpoint = datagrams.endpoint(place, source)
        let slot = datagrams.slot(place)
        if datagrams.length(place) > state.slots.capacity(slot.index) {
            // A large slot holds the longest datagram there is.
            guard let large = pool.takeLarge() else {
                state.counters.add(.droppedNoSlot, .master)
                datagrams.drop(place)
                return pool.giveBack(slot)
            }
            datagrams.move(place, to: large)
            pool.giveBack(slot)
        }
        state.slots.setHeader(header, datagrams.slot(place).index)
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

    /// Dispatches what a former master has received and not dispatched, but for the slots of `kept`; before the first
    /// `receive`.
    mutating func dispatchReceived(except kept: Set<Int>) {
        let source = datagrams.inherit()
        for place in 0..<DatagramReceiver.capacity where datagrams.length(place) > 0 {
            let slot = datagrams.slot(place)
            // Others were placed already, or are of a batch that was dealt with.
            if state.slots.isHeld(slot, by: .master) && !kept.contains(slot.index)
                && !state.slots.header(slot.index).isReceived
            {
                take(place, source)
            }
        }
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
}
