import Mailbox
import Platform
import SharedState

/// What the journal is told of connections: each limit once, of faults some a second.
extension Connections {
    private func peerField(_ entry: inout LogEntry, _ peer: SocketAddress) {
        entry.add(.peer, string: "tcp:\(peer.text)")
    }

    mutating func logLimit(_ peer: SocketAddress, _ key: StaticString, _ limit: Int) {
        guard log.isWanted(.warning) else { return }
        var entry = log.begin(.limitReached, .warning)
        entry.add(.message, string: "no room for another connection (tcp.\(key), now \(limit))")
        peerField(&entry, peer)
        log.commit(entry)
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
        let text = "malformed stream: \(reason) from tcp:\(peer.text)\(Connections.suppressed(malformedLog))"
        entry.add(.message, string: text)
        peerField(&entry, peer)
        log.commit(entry)
        malformedLog.reset()
    }

    private static func suppressed(_ limit: RateLimit) -> String {
        limit.suppressed == 0 ? "" : " (and \(limit.suppressed) more since the last such entry)"
    }
}
