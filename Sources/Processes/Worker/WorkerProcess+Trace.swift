import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax

/// Messages of traced calls that leave a worker by datagrams; what goes by connections, the master tells of.
struct SentTrace {
    private let region: TraceRegion
    private let memory: Memory
    private let me: ProcessID
    private let line: ByteWriter
    /// Where a message in two stretches becomes one.
    private let scratch: ByteWriter

    init(_ state: SharedState, _ me: ProcessID) {
        region = state.trace
        memory = state.memory
        self.me = me
        line = SentTrace.allocate(4096)
        scratch = SentTrace.allocate(Slots.largeCapacity)
    }

    private static func allocate(_ count: Int) -> ByteWriter {
        unsafe ByteWriter(
            unsafe: UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 8), capacity: count)
    }

    var isOn: Bool { region.isOn }

    /// Tells of a datagram that has left, where its call is traced.
    ///
    /// - Parameters: code: the errno where the kernel refused it, else 0; time: when it was about to leave.
    func note(_ entry: OutboxEntry, _ code: Int32, _ time: UInt64, _ log: inout LogWriter) {
        var copy = scratch
        copy.append(memory.bytes(Int(entry.first), count: Int(entry.firstCount)))
        copy.append(memory.bytes(Int(entry.second), count: Int(entry.secondCount)))
        let bytes = copy.written
        var index = MessageIndex()
        if Scanner.scan(bytes, into: &index) == .notSIP { return }
        let message = Message(bytes, index)
        guard region.isMarked(message.callID) else { return }
        var traced = log.begin(.messageTraced, .info, time: time)
        TracedMessage(
            message, isIncoming: false, entry.endpoint, code == 0 ? .handled(me) : .notSent(me, code)
        ).describe(&traced, line)
        log.commit(traced)
    }
}
