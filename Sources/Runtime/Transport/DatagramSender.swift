import CPlatform
import Glibc
import Platform
import SharedMemory
import SharedState

/// Sends a turn's outbox over the listeners' sockets, as many datagrams per call as lie behind one another.
@safe package struct DatagramSender: ~Copyable {
    private let memory: Memory
    private let batch: UnsafeMutablePointer<cp_outgoing>
    private let peers: UnsafeMutablePointer<SocketAddress>
    private let locals: UnsafeMutablePointer<SocketAddress>
    private let sockets: InlineArray<16, Int32>
    // For a listener that is gone: the first of each family.
    private let anyIPv4: Int32
    private let anyIPv6: Int32

    package init(memory: Memory, sockets: InlineArray<16, Int32>) {
        self.memory = memory
        self.sockets = sockets
        anyIPv4 = DatagramSender.first(AF_INET, of: sockets)
        anyIPv6 = DatagramSender.first(AF_INET6, of: sockets)
        unsafe batch = UnsafeMutablePointer<cp_outgoing>.allocate(capacity: Int(cp_batch))
        unsafe batch.initialize(repeating: cp_outgoing(), count: Int(cp_batch))
        unsafe peers = UnsafeMutablePointer<SocketAddress>.allocate(capacity: Int(cp_batch))
        unsafe peers.initialize(repeating: SocketAddress(), count: Int(cp_batch))
        unsafe locals = UnsafeMutablePointer<SocketAddress>.allocate(capacity: Int(cp_batch))
        unsafe locals.initialize(repeating: SocketAddress(), count: Int(cp_batch))
    }

    deinit {
        unsafe batch.deallocate()
        unsafe peers.deallocate()
        unsafe locals.deallocate()
    }

    private static func first(_ family: Int32, of sockets: InlineArray<16, Int32>) -> Int32 {
        for index in 0..<16 where sockets[index] >= 0 {
            var found: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            if unsafe getsockopt(sockets[index], SOL_SOCKET, SO_DOMAIN, &found, &length) == 0, found == family
            {
                return sockets[index]
            }
        }
        return -1
    }

    /// Where an entry leaves: from its listener, or, where a reload has removed that, from another of the family.
    private func socket(of entry: OutboxEntry) -> Int32 {
        let socket = sockets[Int(entry.endpoint.listener) & 15]
        if socket >= 0 { return socket }
        return entry.endpoint.peer.isIPv4 ? anyIPv4 : anyIPv6
    }

    /// Times that a datagram is sent again before its error is taken for its own.
    private static let tries = 4

    /// Sends entries 0 ..< `count`; the number that the kernel refused.
    ///
    /// - Parameters:
    ///   - isWatched: `onEnd` is to be called.
    ///   - failures, ends: what `onFailure` and `onEnd` change. They capture none of it, for that would be copied.
    ///   - onFailure: each of these, and the errno; not what just found no room in the socket.
    ///   - onEnd: each entry once it has left or failed, in order; the errno, or 0.
    package func flush<Failures, Ends>(
        _ turn: Turn, count: Int, isWatched: Bool = false, _ failures: inout Failures, _ ends: inout Ends,
        onFailure: (inout Failures, OutboxEntry, Int32) -> Void,
        onEnd: (inout Ends, OutboxEntry, Int32) -> Void
    ) -> (sent: Int, failed: Int) {
        var sent = 0
        var failed = 0
        var first = 0
        while first < count {
            let listener = Int(turn.entry(first).endpoint.listener)
            let socket = socket(of: turn.entry(first))
            var filled = 0
            while filled < Int(cp_batch), first + filled < count {
                let entry = turn.entry(first + filled)
                if Int(entry.endpoint.listener) != listener { break }
                fill(filled, entry)
                filled += 1
            }
            var done = 0
            var tries = 0
            while done < filled {
                let result = unsafe cp_send(socket, batch + done, Int32(filled - done))
                if result > 0 {
                    FaultPoint.datagramsSent.pass(memory)
                    if isWatched {
                        for index in done..<done + Int(result) { onEnd(&ends, turn.entry(first + index), 0) }
                    }
                    done += Int(result)
                    sent += Int(result)
                    tries = 0
                } else if tries < DatagramSender.tries || SystemError.lastCode == EINTR {
                    // An ICMP error of an earlier datagram is reported to any sender on the socket, and others
                    // may come meanwhile.
                    tries += 1
                } else {
                    let code = SystemError.lastCode
                    if code != EAGAIN && code != ENOBUFS {
                        onFailure(&failures, turn.entry(first + done), code)
                    }
                    if isWatched { onEnd(&ends, turn.entry(first + done), code) }
                    done += 1
                    failed += 1
                    tries = 0
                }
            }
            first += filled
        }
        return (sent, failed)
    }

    /// Sends one message at once, without a turn; false where the kernel refused it.
    package func send(_ entry: OutboxEntry) -> Bool {
        fill(0, entry)
        for _ in 0...DatagramSender.tries {
            if unsafe cp_send(socket(of: entry), batch, 1) > 0 { return true }
        }
        return false
    }

    private func fill(_ index: Int, _ entry: OutboxEntry) {
        unsafe peers[index] = entry.endpoint.peer
        unsafe batch[index].peer = UnsafeRawPointer(peers + index)
        unsafe batch[index].peer_length = entry.endpoint.peer.length
        unsafe locals[index] = entry.endpoint.local
        unsafe batch[index].local = entry.endpoint.local.isNone ? nil : UnsafeRawPointer(locals + index)
        unsafe batch[index].parts.0 = iovec(
            iov_base: memory.address(Int(entry.first), count: Int(entry.firstCount)),
            iov_len: Int(entry.firstCount))
        unsafe batch[index].part_count = 1
        if entry.secondCount > 0 {
            unsafe batch[index].parts.1 = iovec(
                iov_base: memory.address(Int(entry.second), count: Int(entry.secondCount)),
                iov_len: Int(entry.secondCount))
            unsafe batch[index].part_count = 2
        }
    }
}
