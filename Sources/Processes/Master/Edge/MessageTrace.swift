import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax

/// Tracing in the master: what is received is held against the filter, and what it sends by itself or for
/// workers is told of where its call is marked. While nothing is traced, each asks one word.
struct MessageTrace {
    private let region: TraceRegion
    private let line: ByteWriter
    var log: LogWriter
    private var filter: TraceFilter?
    /// When what is sent next was about to leave; 0: when it is told of.
    private var stampedAt: UInt64 = 0
    private var quarantineLimit = RateLimit(perSecond: 1)

    init(_ state: SharedState) {
        region = state.trace
        filter = state.trace.filter.flatMap { try? TraceFilter($0) }
        log = LogWriter(state: state, process: .master, level: state.configuration.snapshot.logLevel)
        line = unsafe ByteWriter(
            unsafe: UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 8), capacity: 4096)
    }

    var isOn: Bool { region.isOn }

    mutating func begin(_ filter: TraceFilter) {
        region.begin(filter.text, since: Clock.epochSeconds())
        self.filter = filter
    }

    mutating func end() {
        region.end()
        filter = nil
    }

    /// Something is about to leave: its answer must not seem to have come first.
    mutating func stamp() { stampedAt = isOn ? Clock.epochMicroseconds() : 0 }

    /// A message has come; where the filter wants it, all of its call is traced from now on.
    mutating func noteReceived(_ message: Message, _ endpoint: Endpoint, _ fate: TracedMessage.Fate) {
        if !region.isMarked(message.callID) {
            guard let filter, filter.matches(message, from: endpoint.peer, line) else { return }
            region.note(message.callID)
        }
        write(TracedMessage(message, isIncoming: true, endpoint, fate))
    }

    /// A message is on its way: a datagram has left, or a connection has taken it.
    mutating func noteSent(_ bytes: Span<UInt8>, _ endpoint: Endpoint, _ fate: TracedMessage.Fate) {
        let time = stampedAt
        stampedAt = 0
        var index = MessageIndex()
        if Scanner.scan(bytes, into: &index) == .notSIP { return }
        let message = Message(bytes, index)
        guard region.isMarked(message.callID) else { return }
        write(TracedMessage(message, isIncoming: false, endpoint, fate), time == 0 ? nil : time)
    }

    /// What connections have made of a message.
    mutating func noteSent(
        _ bytes: Span<UInt8>, _ endpoint: Endpoint, by process: ProcessID,
        _ result: (peer: SocketAddress, code: Int32)
    ) {
        var reached = endpoint
        reached.peer = result.peer
        noteSent(bytes, reached, result.code == 0 ? .handled(process) : .notSent(process, result.code))
    }

    /// A message was dropped unread. What is shown of it may be what ended the last one who wrote it.
    mutating func noteQuarantined(_ bytes: Span<UInt8>, _ endpoint: Endpoint, isShown: Bool) {
        guard quarantineLimit.allows(now: Clock.milliseconds()) else { return }
        var entry = log.begin(.quarantined, .error)
        var text = line
        text.append("a message from ")
        endpoint.writePeer(to: &text)
        text.append(" has ended the master twice, and is dropped from now on")
        quarantineLimit.tellSuppressed(to: &text)
        entry.add(.message, text.written)
        text.reset()
        endpoint.writePeer(to: &text)
        entry.add(.peer, text.written)
        if isShown { entry.add(.rawMessage) { MaskedMessage.write(bytes, to: &$0) } }
        log.commit(entry)
    }

    /// Whatever `log.level` says: somebody has asked for it.
    private mutating func write(_ traced: TracedMessage, _ time: UInt64? = nil) {
        var entry = log.begin(.messageTraced, .info, time: time)
        traced.describe(&entry, line)
        log.commit(entry)
    }
}
