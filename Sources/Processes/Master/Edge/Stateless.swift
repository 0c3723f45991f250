import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax
import Transport

/// The stateless mode (RFC 3261 §16.11; the paper's stateless proxy): what forwards requests and responses in
/// the master itself, without a transaction. Only what the proxy must answer as a server goes to a worker.
///
///     request ──▶ core: route, contact, next hop ──▶ one target ──▶ written, sent
///                                                        └ a name that the cache does not hold: waits, bounded
///     response ──▶ our Via cut off ──▶ to the Via below
struct Stateless: ~Copyable {
    /// Messages that may wait for the resolver at once.
    static let mostWaiting = 512
    let isActive: Bool
    private(set) var sender: DatagramSender
    /// How long a message may wait for the resolver.
    private(set) var patience: UInt64
    var waiting: [Waiting] = []
    var lastNumber: UInt64 = 0
    /// What leaves by connections, which are not at hand while one of them is read.
    var output = StreamOutput()

    /// A request that waits for the resolver.
    struct Waiting {
        /// As the mail has it.
        let number: UInt64
        /// Of the message: one that comes again while it waits is absorbed.
        let key: UInt64
        let slot: SlotReference
        /// The question's.
        let question: SlotReference
        // Monotonic milliseconds.
        var askAt: UInt64
        let end: UInt64
    }

    init(_ state: SharedState, sockets: [Int32]) {
        let snapshot = state.configuration.snapshot
        isActive = snapshot.isStateless != 0
        patience = snapshot.resolvingTime
        sender = Stateless.sender(state, sockets)
        if isActive { waiting.reserveCapacity(Stateless.mostWaiting) }
        // Answers to what a former master has asked are none of this one's.
        lastNumber = state.header.masters << 32
    }

    private static func sender(_ state: SharedState, _ sockets: [Int32]) -> DatagramSender {
        var numbers = InlineArray<16, Int32>(repeating: -1)
        for index in sockets.indices.prefix(16) { numbers[index] = sockets[index] }
        return DatagramSender(memory: state.memory, sockets: numbers)
    }

    /// Takes over the configuration that was published; the mode is none of it.
    mutating func reconfigure(_ state: SharedState, sockets: [Int32]) {
        patience = state.configuration.snapshot.resolvingTime
        sender = Stateless.sender(state, sockets)
    }

    /// When `Reception.expireWaiting` is to be called; nil: nothing waits.
    var nextDeadline: UInt64? { waiting.lazy.map { min($0.askAt, $0.end) }.min() }

    /// The number of the next message that waits.
    mutating func takeNumber() -> UInt64 {
        lastNumber += 1
        return lastNumber
    }
}

/// Messages on their way to connections, one behind the other.
struct StreamOutput {
    private struct Piece {
        let endpoint: Endpoint
        let start: Int
        let count: Int
    }

    private var pieces: [Piece] = []
    private var bytes: [UInt8] = []

    var isEmpty: Bool { pieces.isEmpty }

    mutating func append(_ message: Span<UInt8>, to endpoint: Endpoint) {
        pieces.append(Piece(endpoint: endpoint, start: bytes.count, count: message.count))
        unsafe message.withUnsafeBufferPointer { unsafe bytes.append(contentsOf: $0) }
    }

    /// Hands each message on, in order.
    mutating func drain(_ send: (Span<UInt8>, Endpoint) -> Void) {
        for piece in pieces {
            send(bytes.span.extracting(piece.start..<piece.start + piece.count), piece.endpoint)
        }
        pieces.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
    }
}
