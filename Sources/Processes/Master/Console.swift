import Glibc
import SharedState
import Systemd

/// What the logger cannot say, since it does not run yet: into the journal where stderr is the journal, else
/// a line on stderr with its priority in front.
package enum Console {
    package static func report(_ priority: LogPriority, _ text: String, event: LogEvent) {
        if Journal.isConnected, journal(priority, text, event) { return }
        print("<\(priority.rawValue)>\(text)")
    }

    /// Plain text on stderr, for somebody at a terminal.
    package static func print(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = unsafe bytes.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress!, $0.count) }
    }

    /// Those of the logger's catalogue that are told before it runs.
    static func messageID(_ event: LogEvent) -> StaticString? {
        switch event {
        case .configurationRefused: MessageID.configurationRefused
        case .startFailed: MessageID.startFailed
        default: nil
        }
    }

    /// The fields that the logger gives its entries, as far as there are any without a message.
    private static func journal(_ priority: LogPriority, _ text: String, _ event: LogEvent) -> Bool {
        var lines = [
            "MESSAGE=\(text)", "PRIORITY=\(priority.rawValue)", "SYSLOG_IDENTIFIER=sipfork",
            "SIPFORK_PROCESS=master",
            "SIPFORK_EVENT=\(event.name)",
        ]
        if let identifier = messageID(event) { lines.append("MESSAGE_ID=\(identifier)") }
        let bytes = lines.flatMap { Array($0.utf8) }
        return unsafe bytes.withUnsafeBytes { buffer in
            var fields = JournalFields()
            var start = 0
            for line in lines {
                let end = start + line.utf8.count
                unsafe fields.append(unsafe: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
                start = end
            }
            return Journal.send(fields) == 0
        }
    }
}
