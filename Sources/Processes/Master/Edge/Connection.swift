import Platform
import SharedState
import Syntax

/// A TCP connection.
///
///     phase       what happens there                     ends with
///     ─────────────────────────────────────────────────────────────────────────────────
///     connecting  output waits                           open; closed by an error or the connect timeout
///     open        messages come and go                   refusing, broken; closed by either side, an error, a
///                                                        timeout
///     broken      a write failed: what the peer sent     closed once all is read, or by time
///                 before is read, nothing is written
///     refusing    a fault was found: input is dropped,   closing once its answer is written; closed by time
///                 the answer to it is awaited
///     closing     our side is shut; input is dropped,    closed by the peer or by time
///                 or the kernel would take the answer back
struct Connection: ~Copyable {
    enum Phase {
        case free, connecting, open, broken, refusing, closing
    }

    var phase = Phase.free
    let generation: UInt32
    var descriptor: Int32 = -1
    var listener: UInt16 = 0
    /// The peer made it.
    var isAccepted = true
    var peer = SocketAddress()
    /// None where the listener says enough.
    var local = SocketAddress()
    /// The next connection to the same bucket of peers; of a free one the next free one. -1: none.
    var next: Int32 = -1

    var framer = StreamFramer()
    /// What has come of a message, or of those that no worker has room for.
    var input = ByteQueue()
    /// It is not read from, since no worker has room: it is in no poller.
    var isStalled = false
    /// The poller watches for room to write.
    var watchesRoom = false
    var output = ByteQueue()
    /// Bytes that the kernel has taken, over its life.
    var written: UInt64 = 0
    var requests = SentRequests()
    /// Of the answer that is awaited before it closes.
    var faultStatus: UInt16 = 0
    /// How it broke.
    var breakCode: Int32 = 0

    // Monotonic milliseconds.
    /// Something was read or written.
    var activeAt: UInt64 = 0
    /// The first byte of the message that is not whole; 0: there is none.
    var messageSince: UInt64 = 0
    /// Output was written, or began to wait.
    var progressAt: UInt64 = 0
    /// When it ends at the latest, while connecting, broken, refusing or closing.
    var deadline: UInt64 = 0

    init(generation: UInt32) { self.generation = generation }

    /// Bytes of memory beside its place in the table.
    var buffered: Int { input.capacity + output.capacity }
}
