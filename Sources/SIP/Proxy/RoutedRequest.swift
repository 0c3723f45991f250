import Platform
import SharedState
import Syntax

/// Where a request came from, and where its answer goes (RFC 3261 §18.2.2, RFC 3581 §4).
package struct RequestSource {
    package let endpoint: Endpoint
    /// Where the answer goes.
    package let response: Endpoint
    package var peer: SocketAddress { endpoint.peer }

    package init(_ message: Message, _ endpoint: Endpoint) {
        self.endpoint = endpoint
        var answer = endpoint
        let via = message.index.topVia
        if endpoint.isReliable {
            answer.fallbackPort = via.portOrDefault
        } else if !via.hasRport && !via.isEmpty {
            answer.peer.port = via.portOrDefault
        }
        response = answer
    }
}

/// A request with what was found out about it, for those who look for its targets.
package struct RoutedRequest {
    package let source: RequestSource
    package let routing: RequestRouting
    /// Who asks: the source, or, where that is ourselves (a contact of a user is a user of ours again), who
    /// had sent the request to us first. What somebody may not ask for he may not have us ask ourselves.
    package let origin: SocketAddress
    /// How often the request has come through us without a way round by others' branches.
    package let passes: Int
    /// For the branches of its forks (`LoopCheck`); set when it is checked.
    package var loopMark: UInt64 = 0

    package init(
        _ message: Message, _ source: RequestSource, _ identity: Identity, _ keys: Keys
    ) {
        self.source = source
        routing = RequestRouting(message, identity, local: source.endpoint.local)
        // The usual case, at the price of eight bytes compared. And who was called has branches of ours, which
        // say nothing in what comes from him.
        if Branch(message.branch) == nil || !identity.isOwn(source.endpoint) {
            origin = source.peer
            passes = 0
        } else {
            (origin, passes) = RoutedRequest.walk(message, source.peer, keys)
        }
    }

    /// Down the Vias as long as they are ours: the first that is not says who sent us the request, by what we
    /// wrote there when it came (§18.2.1).
    private static func walk(
        _ message: Message, _ peer: SocketAddress, _ keys: Keys
    ) -> (SocketAddress, Int) {
        let bytes = message.bytes
        var values = message.values(.via)
        var origin = peer
        var passes = 0
        var current = nextVia(&values, bytes)
        while let via = current {
            let next = nextVia(&values, bytes)
            guard let branch = Branch(bytes.slice(via.branch)), isOurs(branch, next, message, keys) else {
                break
            }
            passes += 1
            origin = SocketAddress()
            if let next {
                let host = next.received.isEmpty ? next.host : next.received
                origin = SocketAddress(host: bytes.slice(host), port: next.portOrDefault) ?? SocketAddress()
            }
            current = next
        }
        return (origin, passes)
    }

    private static func nextVia(_ values: inout HeaderValues, _ bytes: Span<UInt8>) -> Via? {
        guard let value = values.next() else { return nil }
        return Via.parse(bytes, value.range)
    }

    private static func isOurs(
        _ branch: Branch, _ below: Via?, _ message: Message, _ keys: Keys
    ) -> Bool {
        if !branch.isStateless { return branch.isGenuine(keys: keys) }
        guard let below else { return false }
        let expected = Branch(
            statelessOver: message.bytes.slice(below.branch), callID: message.callID,
            cseq: message.index.cseqNumber, answeredTo: AnswerAddress(of: below, message.bytes),
            loopMark: branch.loopMark, keys: keys)
        return expected == branch
    }
}
