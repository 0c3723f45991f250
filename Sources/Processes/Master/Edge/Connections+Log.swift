import Glibc
import Mailbox
import Platform
import SharedState

/// What the journal is told of connections: each limit once until there is room, and of all some a second.
extension Connections {
    mutating func logLimit(_ peer: SocketAddress, _ key: StaticString, _ limit: Int) {
        Connections.write(.limitReached, .warning, &log, &limitLog, peer) {
            "no room for another connection with \($0) (tcp.\(key), now \(limit))"
        }
    }

    /// The system has run out, which is no limit of ours.
    ///
    /// - Parameter address: the listener, or the peer of a connection that cannot be begun.
    mutating func logShortage(_ address: SocketAddress, _ code: Int32) {
        let missing = code == EMFILE || code == ENFILE ? "file descriptor" : "memory for sockets"
        Connections.write(.limitReached, .warning, &log, &shortageLog, address, isPeer: false) {
            "no \(missing) is left for connections (\($0))"
        }
    }

    mutating func logFailure(_ peer: SocketAddress, _ code: Int32) {
        Connections.write(.connectionFailed, .notice, &log, &failureLog, peer) {
            "connection with \($0) failed: \(SystemError.text(code))"
        }
    }

    mutating func logMalformed(_ peer: SocketAddress, _ reason: StaticString) {
        Connections.write(.malformedMessage, .notice, &log, &malformedLog, peer) {
            "malformed stream from \($0): \(reason)"
        }
    }

    /// - Parameters: isPeer: the address is somebody else's for sure; text: is given it as the journal has it.
    private static func write(
        _ event: LogEvent, _ priority: LogPriority, _ log: inout LogWriter, _ limit: inout RateLimit,
        _ address: SocketAddress, isPeer: Bool = true, _ text: (String) -> String
    ) {
        guard log.isWanted(priority), limit.allows(now: Clock.milliseconds()) else { return }
        let peer = "tcp:\(address.text)"
        var entry = log.begin(event, priority)
        let message = text(peer)
        entry.add(.message) { writer in
            writer.append(string: message)
            limit.tellSuppressed(to: &writer)
        }
        if isPeer { entry.add(.peer, string: peer) }
        log.commit(entry)
    }
}
