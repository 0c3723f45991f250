import CPlatform
import Glibc
import Proxy
import SharedState
import Syntax

/// What the network says of datagrams that workers have sent: the error queues of the listeners' sockets, which
/// only the master drains. An error that is about a request of a fork goes to the worker that has it.
@safe struct DatagramErrors: ~Copyable {
    /// Errors taken in one turn of the loop; the queue is level-triggered, so what is left comes again.
    private static let batch = 64
    private static let capacity = 2048

    /// The begin of a datagram that came back.
    private let returned: UnsafeMutablePointer<UInt8>

    init() {
        unsafe returned = UnsafeMutablePointer<UInt8>.allocate(capacity: DatagramErrors.capacity)
    }

    deinit { unsafe returned.deallocate() }

    mutating func drain(_ socket: Int32, _ reception: borrowing Reception) {
        for _ in 0..<DatagramErrors.batch {
            var error = cp_error()
            guard unsafe cp_next_error(socket, &error, returned, DatagramErrors.capacity) == 1 else {
                // The socket may still have a pending error, which would wake epoll for ever.
                var code: Int32 = 0
                var length = socklen_t(4)
                _ = unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
                return
            }
            if error.code == 0 { continue }
            let bytes = unsafe Span(
                _unsafeStart: returned, count: min(Int(error.length), DatagramErrors.capacity))
            report(bytes, error.code, reception)
        }
    }

    private func report(_ bytes: Span<UInt8>, _ code: Int32, _ reception: borrowing Reception) {
        // Nobody waits for an answer to an ACK.
        guard let range = ReturnedRequest.branch(bytes), !ReturnedRequest.isMethod(bytes, "ACK"),
            let branch = Branch(bytes.slice(range)), reception.isOurs(branch)
        else { return }
        var mail = Mail(.sendFailed)
        mail.transaction = branch.transaction
        mail.fork = branch.fork
        mail.attempt = branch.attempt
        mail.status = UInt16(truncatingIfNeeded: code)
        mail.flags = ReturnedRequest.isMethod(bytes, "CANCEL") ? 1 : 0
        let ring = reception.state.masterRing(to: .worker(reception.workerOfFork(branch)))
        if !ring.append(mail) { reception.state.counters.add(.mailDropped, .master) }
    }
}
