import Platform
import SharedState
import Syntax

/// What the log is told of a message of a call that is traced: a line for the eye, fields to search for, and
/// the message itself without its credentials.
///
///     in INVITE sip:bob@example.org from udp:192.0.2.4:5060 to worker 1
///     out 180 Ringing to udp:192.0.2.4:5060 by worker 1
package struct TracedMessage: ~Escapable {
    /// What has become of it.
    package enum Fate {
        /// In: this process has it. Out: it is this one's, and has left.
        case handled(ProcessID)
        /// Out: it is this process's, and could not be sent; an errno.
        case notSent(ProcessID, Int32)
        /// In: nobody has it, for this reason.
        case dropped(StaticString)
    }

    /// Bytes of a method, URI or reason in the line.
    private static let longestPart = 200

    private let message: Message
    private let isIncoming: Bool
    private let endpoint: Endpoint
    private let fate: Fate

    /// - Parameter endpoint: where it came from, or goes.
    @_lifetime(copy message)
    package init(_ message: Message, isIncoming: Bool, _ endpoint: Endpoint, _ fate: Fate) {
        self.message = message
        self.isIncoming = isIncoming
        self.endpoint = endpoint
        self.fate = fate
    }

    /// Fills an entry.
    ///
    /// - Parameter line: scratch, of which only the memory counts.
    package func describe(_ entry: inout LogEntry, _ line: ByteWriter) {
        var text = line
        text.reset()
        writeLine(to: &text)
        entry.add(.message, text.written)
        entry.add(.callID, message.callID)
        entry.add(.method, method)
        if !message.isRequest { entry.add(.status, number: Int(message.status)) }
        entry.add(.from, message.value(.from))
        entry.add(.to, message.value(.to))
        entry.add(.branch, message.branch)
        text.reset()
        endpoint.writePeer(to: &text)
        entry.add(.peer, text.written)
        entry.add(.direction, isIncoming ? "in" : "out")
        switch fate {
        case .handled(let process): addHandler(process, &entry, &text)
        case .notSent(let process, let code):
            addHandler(process, &entry, &text)
            entry.add(.error, number: Int(code))
        case .dropped: break
        }
        let bytes = message.bytes
        entry.add(.rawMessage) { MaskedMessage.write(bytes, to: &$0) }
    }

    /// Of the CSeq; a request that has none has its own.
    private var method: Span<UInt8> {
        @_lifetime(copy self) get {
            let cseq = message.index.cseqMethodRange
            return cseq.isEmpty ? message.methodToken : message.bytes.slice(cseq)
        }
    }

    private func addHandler(_ process: ProcessID, _ entry: inout LogEntry, _ text: inout ByteWriter) {
        text.reset()
        process.writeName(to: &text)
        entry.add(.handler, text.written)
    }

    private func append(_ bytes: Span<UInt8>, to text: inout ByteWriter) {
        text.append(bytes, from: 0, to: min(bytes.count, TracedMessage.longestPart))
    }

    private func writeLine(to text: inout ByteWriter) {
        text.append(isIncoming ? "in " : "out ")
        if message.isRequest {
            append(message.methodToken, to: &text)
            text.append(" ")
            append(message.requestURI, to: &text)
        } else {
            text.append(decimal: UInt64(message.status))
            text.append(" ")
            append(message.reason, to: &text)
        }
        text.append(isIncoming ? " from " : " to ")
        endpoint.writePeer(to: &text)
        switch fate {
        case .handled(let process):
            text.append(isIncoming ? " to " : " by ")
            process.writeName(to: &text)
        case .notSent(let process, let code):
            text.append(" by ")
            process.writeName(to: &text)
            text.append(": not sent: ")
            text.append(string: SystemError.text(code))
        case .dropped(let reason):
            text.append(": dropped, ")
            text.append(reason)
        }
    }
}
