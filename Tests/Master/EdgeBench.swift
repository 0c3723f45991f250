import Configuration
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Syntax
import Testing

@testable import Master

/// Messages that the master has mailed to workers, as they came.
struct Handed {
    let kind: Mail.Kind
    let mail: Mail
    let worker: Int
    let header: SlotHeader
    let text: String
}

/// A peer's socket.
final class Socket {
    let number: Int32

    init(owning number: Int32) { self.number = number }

    /// One that has nothing done to it.
    init(_ type: __socket_type, family: Int32 = AF_INET) {
        number = socket(family, Int32(type.rawValue), 0)
        precondition(number >= 0)
    }

    /// One bound to a loopback address, that listens where it is a stream.
    convenience init(_ type: __socket_type, at host: String, backlog: Int32 = 16) {
        let address = SocketAddress(host: host, port: 0)!
        self.init(type, family: Int32(address.family))
        precondition(unsafe Socket.call(address) { unsafe bind(number, $0, $1) } == 0)
        if type == SOCK_STREAM { precondition(listen(number, backlog) == 0) }
    }

    /// One that has connected, or is connecting.
    convenience init(to address: SocketAddress, from host: String? = nil, waits: Bool = true) {
        self.init(SOCK_STREAM, family: Int32(address.family))
        if let host {
            let own = SocketAddress(host: host, port: 0)!
            precondition(unsafe Socket.call(own) { unsafe bind(number, $0, $1) } == 0)
        }
        if !waits { _ = fcntl(number, F_SETFL, O_NONBLOCK) }
        let result = unsafe Socket.call(address) { unsafe connect(number, $0, $1) }
        precondition(result == 0 || !waits && errno == EINPROGRESS)
    }

    deinit { if number >= 0 { Glibc.close(number) } }

    static func call(
        _ address: SocketAddress, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var target = address
        return unsafe withUnsafeBytes(of: &target) {
            unsafe body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t(address.length))
        }
    }

    var address: SocketAddress { Connections.localAddress(number) }

    func accept() -> Socket {
        let taken = Glibc.accept(number, nil, nil)
        return Socket(owning: taken)
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        let sent = unsafe Glibc.send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        precondition(sent == bytes.count)
    }

    func send(_ text: String, to address: SocketAddress) {
        let bytes = Array(text.utf8)
        _ = unsafe Socket.call(address) { unsafe Int32(sendto(number, bytes, bytes.count, 0, $0, $1)) }
    }

    /// What has come; nil where the other side has closed and nothing is left.
    func hear() -> String? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe recv(number, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0 { return errno == EAGAIN ? "" : nil }
        return count == 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// Closes with a reset.
    func reset() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = unsafe setsockopt(number, SOL_SOCKET, SO_LINGER, &linger, 8)
        dropped = true
        _ = shutdownAndClose()
    }

    private var dropped = false

    private func shutdownAndClose() -> Int32 {
        let copy = unsafe open("/dev/null", O_RDONLY)
        defer { Glibc.close(copy) }
        // The number stays ours until `deinit`.
        return dup2(copy, number)
    }

    func close() { _ = shutdownAndClose() }
}

/// The edge of a master, with a clock of its own and nobody behind the mail rings.
final class EdgeBench {
    let state: SharedState
    let keys: Keys
    var reception: Reception
    var connections: Connections
    let listener: Socket
    var now: UInt64 = 1_000_000

    init(
        host: String = "127.0.0.1", maxDelay: UInt32 = 1_000_000,
        _ change: (inout ConnectionLimits) -> Void = { _ in }
    ) throws {
        let sizes = ArenaSizes(workers: 2, transactions: 2000, bindings: 100)
        let memory = try Arena(name: "edge", size: SharedState.bytes(sizes)).memory
        state = SharedState(memory: memory, sizes: sizes)
        state.slots.initialize()
        // Nobody handles what is handed out, which is no overload.
        var snapshot = ConfigurationSnapshot()
        snapshot.maxDelay = maxDelay
        precondition(state.publish(snapshot, []))
        let keyMemory = try Arena(name: "keys", size: Keys.bytes).memory
        try Keys.generate(in: keyMemory)
        keys = Keys(memory: keyMemory)
        reception = Reception(state: state, keys: keys)
        let address = SocketAddress(host: host, port: 0)!
        listener = Socket(owning: try ListeningSocket(Listener(.tcp, address)).takeDescriptor())
        var limits = ConnectionLimits()
        change(&limits)
        connections = try Connections(
            state: state, keys: keys, limits: limits,
            listeners: [.init(number: 3, socket: listener.number, address: address)],
            log: LogWriter(state: state, process: .master, level: 7))
    }

    /// A turn of the loop.
    func turn() {
        connections.serve(now, &reception)
        connections.tend(now, &reception)
    }

    /// Turns until it is so, for ten seconds at most.
    @discardableResult
    func wait(_ isSo: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            turn()
            if isSo() { return true }
            var waiting = pollfd(fd: connections.pollerNumber, events: Int16(POLLIN), revents: 0)
            _ = unsafe poll(&waiting, 1, 5)
        }
        return false
    }

    /// Turns until all that has come is served.
    func settle() {
        // Loopback delivers within the send call.
        for _ in 0..<100_000 {
            turn()
            var waiting = pollfd(fd: connections.pollerNumber, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&waiting, 1, 0) == 0 { return }
        }
    }

    /// What was mailed since the last call; slots go back.
    func handed() -> [Handed] {
        var found: [Handed] = []
        for worker in 0..<2 {
            let ring = state.masterRing(to: .worker(worker))
            while ring.sent < ring.tail {
                let mail = ring.mail(ring.sent)
                ring.setSent(ring.sent + 1)
                ring.setHanded(ring.sent)
                var header = SlotHeader()
                var text = ""
                if !mail.slot.isNone {
                    header = state.slots.header(mail.slot.index)
                    let bytes = state.slots.bytes(mail.slot.index)
                    text = String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
                    state.slots.release(mail.slot, by: .master)
                }
                found.append(Handed(kind: mail.kind, mail: mail, worker: worker, header: header, text: text))
            }
        }
        return found
    }

    /// What is mailed, as soon as so much is.
    func handed(_ count: Int) -> [Handed] {
        var found: [Handed] = []
        wait {
            found += handed()
            return found.count >= count
        }
        return found
    }

    func send(_ text: String, to endpoint: Endpoint, transaction: UInt64 = 0, flags: UInt16 = 0) {
        var mail = Mail(.send)
        mail.sender = .worker(1)
        mail.transaction = TransactionReference(rawValue: transaction)
        mail.fork = 5
        mail.attempt = 6
        mail.flags = flags
        let bytes = Array(text.utf8)
        connections.send(bytes.span, to: endpoint, RequestMark(mail), now)
    }

    /// An endpoint of a peer that no connection is named for.
    func endpoint(_ peer: SocketAddress) -> Endpoint { Endpoint(.tcp, peer, listener: 3) }

    func count(_ counter: Counter) -> Int { Int(state.counters.total(counter)) }

    /// Events of the entries in the master's log ring.
    func logged() -> [LogEvent] {
        var events: [LogEvent] = []
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        defer { unsafe memory.deallocate() }
        let ring = state.log(.master)
        while true {
            var writer = unsafe ByteWriter(memory)
            guard ring.peek(into: &writer) else { return events }
            events.append(unsafe LogEvent(rawValue: memory[0])!)
            ring.drop()
        }
    }
}

/// A request as it stands on the wire.
func options(_ callID: String = "1", body: String = "", length: String? = nil, cseq: Int = 1) -> String {
    """
    OPTIONS sip:bob@biloxi.com SIP/2.0\r
    Via: SIP/2.0/TCP h.example.com;branch=z9hG4bK1\r
    From: <sip:alice@atlanta.com>;tag=1\r
    To: <sip:bob@biloxi.com>\r
    Call-ID: \(callID)\r
    CSeq: \(cseq) OPTIONS\r
    \(length ?? "Content-Length: \(body.utf8.count)\r\n")\r
    \(body)
    """
}
