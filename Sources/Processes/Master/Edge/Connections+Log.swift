import Glibc
import Mailbox
import Platform
import SharedState

/// What the journal is told of connections: each limit once until there is room, and of all some a second.
extension Connections {
    private func peerField(_ entry: inout LogEntry, _ peer: SocketAddress) {
        entry.add(.peer, string: "tcp:\(peer.text)")
    }

    mutating func logLimit(_ peer: SocketAddress, _ key: StaticString, _ limit: Int) {
        guard log.isWanted(.warning), limitLog.allows(now: Clock.milliseconds()) else { return }
        var entry = log.begin(.limitReached, .warning)
        let text =
            "no room for another connection with tcp:\(peer.text) (tcp.\(key), now \(limit))"
            + Connections.suppressed(limitLog)
        entry.add(.message, string: text)
        peerField(&entry, peer)
        log.commit(entry)
        limitLog.reset()
    }

    /// The system has run out, which is no limit of ours.
    ///
    /// - Parameter address: the listener, or the peer of a connection that cannot be begun.
    mutating func logShortage(_ address: SocketAddress, _ code: Int32) {
        guard log.isWanted(.warning), shortageLog.allows(now: Clock.milliseconds()) else { return }
        var entry = log.begin(.limitReached, .warning)
        let missing = code == EMFILE || code == ENFILE ? "file descriptor" : "memory for sockets"
        let suppressed = Connections.suppressed(shortageLog)
        entry.add(
            .message, string: "no \(missing) is left for connections (tcp:\(address.text))\(suppressed)")
        log.commit(entry)
        shortageLog.reset()
    }

    mutating func logFailure(_ peer: SocketAddress, _ code: Int32) {
        guard log.isWanted(.notice), failureLog.allows(now: Clock.milliseconds()) else { return }
        var entry = log.begin(.connectionFailed, .notice)
        let text =
            "connection with tcp:\(peer.text) failed: \(SystemError.text(code))\(Connections.suppressed(failureLog))"
        entry.add(.message, string: text)
        peerField(&entry, peer)
        log.commit(entry)
        failureLog.reset()
    }

    mutating func logMalformed(_ peer: SocketAddress, _ reason: StaticString) {
        guard log.isWanted(.notice), malformedLog.allows(now: Clock.milliseconds()) else { return }
        var entry = log.begin(.malformedMessage, .notice)
        let text = "malformed stream from tcp:\(peer.text): \(reason)\(Connections.suppressed(malformedLog))"
        entry.add(.message, string: text)
        peerField(&entry, peer)
        log.commit(entry)
        malformedLog.reset()
    }

    private static func suppressed(_ limit: RateLimit) -> String {
        limit.suppressed == 0 ? "" : " (and \(limit.suppressed) more since the last such entry)"
    }
}
