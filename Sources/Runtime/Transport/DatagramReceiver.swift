import CPlatform
import Glibc
import Platform
import SharedMemory
import SharedState

/// Receives datagrams into message slots, a batch at once.
///
///     | source : 64 | cp_inbox: slot, length, peer of each place | spill: what does not fit a small slot, of each |
///
/// All of it lies in shared memory: the kernel takes datagrams out of the socket one by one, and writes the length of
/// each as it does. A process that is killed before it has seen any of that loses none of them: the next one finds
/// them here (`inherit`).
@safe package struct DatagramReceiver: ~Copyable {
    /// Where a batch comes from.
    package struct Source: BitwiseCopyable {
        package let listener: UInt16
        /// Of the listener.
        package let address: SocketAddress
        /// A reload may take it away: its address is told with each datagram.
        package let isLeaving: Bool

        package init(listener: UInt16, address: SocketAddress, isLeaving: Bool) {
            self.listener = listener
            self.address = address
            self.isLeaving = isLeaving
        }
    }

    package static let capacity = Int(cp_batch)

    private let state: SharedState
    private let datagrams: UnsafeMutablePointer<cp_datagram>
    private let inbox: OpaquePointer
    /// Places that have a slot: the first ones.
    package private(set) var count = 0
    /// What the inbox is prepared for.
    private var preparedLocal: Bool?

    package init(state: SharedState) {
        self.state = state
        let memory = unsafe state.memory.address(
            state.datagrams + DatagramLayout.inboxOffset, count: Int(cp_inbox_bytes))
        unsafe datagrams = memory.assumingMemoryBound(to: cp_datagram.self)
        unsafe inbox = OpaquePointer(memory)
    }

    private func spill(_ place: Int) -> UnsafeMutableRawPointer {
        let bytes = DatagramLayout.spillBytes
        return unsafe state.memory.address(
            state.datagrams + DatagramLayout.spillOffset + place * bytes, count: bytes)
    }

    // MARK: places

    package func slot(_ place: Int) -> SlotReference { unsafe SlotReference(rawValue: datagrams[place].slot) }

    /// A small slot for one more place.
    package mutating func add(_ slot: SlotReference) {
        count += 1
        replace(count - 1, slot)
    }

    /// Another small slot for a place whose own is handed out.
    package mutating func replace(_ place: Int, _ slot: SlotReference) {
        // First of all: the new slot holds nothing of what came into the old one.
        unsafe cp_vacate(inbox, Int32(place))
        let bytes = state.slots.bytesOffset(slot.index)
        unsafe datagrams[place].parts.0 = iovec(
            iov_base: state.memory.address(bytes, count: Slots.smallCapacity), iov_len: Slots.smallCapacity)
        unsafe datagrams[place].parts.1 = iovec(
            iov_base: spill(place), iov_len: DatagramLayout.spillBytes)
        unsafe datagrams[place].slot = slot.rawValue
    }

    /// Takes places out for which there is no other slot; those behind them move up.
    package mutating func remove(_ places: Range<Int>) {
        let left = count - places.count
        for place in places.lowerBound..<left { replace(place, slot(place + places.count)) }
        count = left
    }

    /// Copies a long datagram to a large slot, which is the place's from then on.
    package mutating func move(_ place: Int, to large: SlotReference) {
        let target = state.slots.bytesOffset(large.index)
        let rest = length(place) - Slots.smallCapacity
        state.memory.copy(
            from: state.slots.bytesOffset(slot(place).index), to: target, count: Slots.smallCapacity)
        unsafe state.memory.address(target + Slots.smallCapacity, count: rest).copyMemory(
            from: spill(place), byteCount: rest)
        unsafe datagrams[place].slot = large.rawValue
    }

    /// Forgets a datagram for which there is no slot; the place has none until it gets another.
    package mutating func drop(_ place: Int) {
        unsafe cp_vacate(inbox, Int32(place))
        unsafe datagrams[place].slot = SlotReference.none.rawValue
    }

    // MARK: what has come

    /// Receives what there is without waiting, at most as many as there are places; how many.
    package mutating func receive(from socket: Int32, _ source: Source) -> Int {
        let local = source.address.isWildcard
        state.memory.store(source, at: state.datagrams)
        prepare(local)
        return unsafe max(Int(cp_receive(socket, inbox, Int32(count), local ? 1 : 0)), 0)
    }

    private mutating func prepare(_ local: Bool) {
        if local == preparedLocal { return }
        unsafe cp_prepare(inbox, local ? 1 : 0)
        preparedLocal = local
    }

    /// Takes one datagram out of the socket and drops it, where no place has a slot; how many it were.
    package mutating func dropOne(from socket: Int32) -> Int {
        precondition(count == 0, "there is room for it")
        prepare(false)
        unsafe datagrams[0].parts.0 = iovec(
            iov_base: spill(0), iov_len: DatagramLayout.spillBytes)
        unsafe datagrams[0].parts.1 = iovec()
        unsafe datagrams[0].slot = SlotReference.none.rawValue
        return unsafe max(Int(cp_receive(socket, inbox, 1, 0)), 0)
    }

    /// Bytes of the datagram.
    package func length(_ place: Int) -> Int { unsafe Int(datagrams[place].length) }

    /// Who sent it, and which address of ours that was sent to, where it is to be known.
    package func endpoint(_ place: Int, _ source: Source) -> Endpoint {
        var endpoint = unsafe Endpoint(
            .udp, SocketAddress(datagrams[place].peer), listener: source.listener)
        var local = unsafe SocketAddress(datagrams[place].local)
        if !local.isNone {
            local.port = source.address.port
            endpoint.local = local
        } else if source.isLeaving && !source.address.isWildcard {
            endpoint.local = source.address
        }
        return endpoint
    }

    /// Before the first `receive`: where the batch came from in which a former process ended. What it has received
    /// and not dealt with is in places of any number whose `length` is not 0.
    package func inherit() -> Source {
        let source: Source = state.memory.load(state.datagrams)
        unsafe cp_inherit(inbox, source.address.isWildcard ? 1 : 0)
        return source
    }
}
