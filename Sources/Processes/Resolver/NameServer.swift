import CAres
import Platform

/// One name server: a channel of c-ares, which asks it, and what is known of its health.
///
/// c-ares calls back in the middle of its calls; what it says is put down here, and whoever has made the call
/// looks at it afterwards.
@safe final class NameServer {
    /// How c-ares has ended a question.
    struct Ending {
        /// Of the lookup, and the name that it was for.
        let number: UInt64
        let name: String
        /// ARES_SUCCESS, or one of its errors.
        let status: Int32
        /// The whole message where there was one.
        let message: [UInt8]
    }

    /// What a socket waits for; neither: it is about to be closed.
    struct SocketChange {
        let number: Int32
        let isReadable: Bool
        let isWritable: Bool
    }

    /// What has changed in the sockets of all servers, in the order in which it happened: one server may open
    /// a socket under the number that another has just closed.
    final class SocketChanges {
        private var changes: [SocketChange] = []

        func append(_ change: SocketChange) { changes.append(change) }

        func take() -> [SocketChange] {
            defer { changes.removeAll(keepingCapacity: true) }
            return changes
        }
    }

    let address: SocketAddress
    private(set) var endings: [Ending] = []
    private let changes: SocketChanges
    private(set) var sockets: Set<Int32> = []
    /// Questions that ended in silence since it answered last.
    var silences = 0
    /// Monotonic milliseconds until which the others are asked first.
    var avoidedUntil: UInt64 = 0
    /// The journal has been told that it is silent.
    var isReported = false
    /// Monotonic milliseconds from which on it may be told again.
    var nextReport: UInt64 = 0
    private var channel: ares_channel?

    /// Handed to c-ares with each question, and taken back with its end.
    private final class Question {
        let server: NameServer
        let number: UInt64
        let name: String

        init(_ server: NameServer, _ number: UInt64, _ name: String) {
            self.server = server
            self.number = number
            self.name = name
        }
    }

    /// Nil where c-ares has no memory left. `close` it: c-ares holds on to it.
    init?(_ address: SocketAddress, timeout: Int32, changes: SocketChanges) {
        self.address = address
        self.changes = changes
        let context = unsafe Unmanaged.passUnretained(self).toOpaque()
        let status = unsafe ca_open(
            &channel, address.text, timeout,
            { context, number, readable, writable in
                let server = unsafe Unmanaged<NameServer>.fromOpaque(context!).takeUnretainedValue()
                server.change(number, readable != 0, writable != 0)
            }, context)
        guard status == ARES_SUCCESS else { return nil }
    }

    /// Ends all questions: what had not been answered says so among `endings`.
    func close() {
        if let open = unsafe channel { unsafe ares_destroy(open) }
        unsafe channel = nil
    }

    private func change(_ number: Int32, _ isReadable: Bool, _ isWritable: Bool) {
        if isReadable || isWritable { sockets.insert(number) } else { sockets.remove(number) }
        changes.append(SocketChange(number: number, isReadable: isReadable, isWritable: isWritable))
    }

    // MARK: questions

    /// Asks once; `endings` has what becomes of it, perhaps at once.
    func ask(_ type: DNSType, _ name: String, number: UInt64) {
        let question = unsafe Unmanaged.passRetained(Question(self, number, name)).toOpaque()
        unsafe ares_query(
            channel, name, 1, Int32(type.rawValue),
            { context, status, _, message, count in
                let question = unsafe Unmanaged<Question>.fromOpaque(context!).takeRetainedValue()
                let bytes = unsafe UnsafeBufferPointer(start: message, count: Int(message == nil ? 0 : count))
                question.server.endings.append(
                    unsafe Ending(
                        number: question.number, name: question.name, status: status, message: Array(bytes)))
            }, question)
    }

    /// One of its sockets is ready.
    func process(_ number: Int32, isReadable: Bool, isWritable: Bool) {
        unsafe ares_process_fd(channel, isReadable ? number : -1, isWritable ? number : -1)
    }

    /// Ends questions whose time is up.
    func processTime() { unsafe ares_process_fd(channel, -1, -1) }

    /// Milliseconds after which `processTime` is due; nil where nothing is asked.
    var patience: Int32? {
        let time = unsafe ca_patience(channel)
        return time < 0 ? nil : time
    }

    func takeEndings() -> [Ending] {
        defer { endings.removeAll(keepingCapacity: true) }
        return endings
    }
}
