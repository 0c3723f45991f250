import Platform
import SharedState
import Syntax

/// Who we are: listeners, what they are called outside, and our domains. Read where they lie: the lists are two
/// kilobytes, which would be copied for each question.
package struct Identity: BitwiseCopyable {
    private let configuration: ConfigurationView
    package let domainCount: Int
    package let listenerCount: Int
    private let networkCount: Int
    /// Some listener is gone.
    private let hasFormer: Bool

    package init(_ configuration: ConfigurationView) {
        self.configuration = configuration
        let snapshot = configuration.snapshot
        domainCount = Int(snapshot.domainCount)
        listenerCount = Int(snapshot.listenerCount)
        networkCount = Int(snapshot.networkCount)
        hasFormer = !snapshot.formerly[0].isNone
    }

    /// A domain of ours, in lower case; in the order of the configuration.
    @_lifetime(immortal)
    package func domain(_ index: Int) -> Span<UInt8> { configuration.domain(index) }

    /// False for a listener that a reload has removed.
    package func isListening(_ listener: Int) -> Bool {
        listener < listenerCount && !configuration.listener(listener).isNone
    }

    /// There is at least one.
    package var first: Int {
        var first = 0
        while first < listenerCount - 1 && configuration.listener(first).isNone { first += 1 }
        return first
    }

    /// Where we reach ourselves, on the listener preferred: for contacts in domains of ours.
    package func ownAddress(preferred: Int) -> SocketAddress {
        let listener = configuration.listener(isListening(preferred) ? preferred : first)
        if !listener.isWildcard { return listener }
        return listener.isIPv4
            ? SocketAddress(ipv4: 0x7F00_0001, port: listener.port)
            : SocketAddress(ipv6: [0, 0, 0, 0, 0, 0, 0, 1], port: listener.port)
    }

    /// What Via and Record-Route of that listener say.
    package func advertised(_ listener: Int) -> SocketAddress { configuration.advertised(listener) }

    package func transport(_ listener: Int) -> SIPTransport { configuration.transport(listener) }

    /// True where we have a listener of that transport and address family: nothing is sent by another, for its
    /// answer could not come back.
    package func speaks(_ transport: SIPTransport, family: UInt16) -> Bool {
        for index in 0..<listenerCount
        where configuration.transport(index) == transport && configuration.listener(index).family == family {
            return true
        }
        return false
    }

    package func speaks(_ transport: SIPTransport) -> Bool {
        for index in 0..<listenerCount where configuration.transport(index) == transport && isListening(index)
        {
            return true
        }
        return false
    }

    /// The listener to send from, of the transport and of the peer's family; nil where there is none. Best
    /// one from which the peer can be reached, for nobody but this machine hears what leaves from loopback; of
    /// these the one that the request came in on, then one at the same address.
    package func listener(for peer: SocketAddress, _ transport: SIPTransport, preferred: Int) -> Int? {
        var best: Int?
        var bestRank = -1
        for index in 0..<listenerCount
        where configuration.transport(index) == transport
            && configuration.listener(index).family == peer.family
        {
            let address = configuration.listener(index)
            var rank = address.isWildcard || address.isLoopback == peer.isLoopback ? 4 : 0
            if index == preferred {
                rank += 2
            } else if isListening(preferred) && address.host == configuration.listener(preferred).host {
                rank += 1
            }
            if rank > bestRank { (best, bestRank) = (index, rank) }
        }
        return best
    }

    /// True where `source` may reach domains that are not ours (`access.relay-from`).
    package func mayRelay(_ source: SocketAddress) -> Bool {
        for index in 0..<networkCount
        where source.isIn(
            network: configuration.network(index), prefix: Int(configuration.networkPrefix(index)))
        {
            return true
        }
        return false
    }

    /// True where a message came from this very service: one of our addresses, and by UDP the port of a listener
    /// as well.
    package func isOwn(_ endpoint: Endpoint) -> Bool {
        let peer = endpoint.peer
        if endpoint.isReliable && !endpoint.local.isNone && peer.host == endpoint.local.host { return true }
        for index in 0..<listenerCount where configuration.transport(index) == endpoint.transport {
            let listener = configuration.listener(index)
            guard
                endpoint.isReliable || listener.port == peer.port
                    || configuration.advertised(index).port == peer.port
            else { continue }
            if peer.host == listener.host || peer.host == configuration.advertised(index).host { return true }
            if listener.isWildcard && listener.family == peer.family
                && (peer.isLoopback || peer.host == endpoint.local.host)
            {
                return true
            }
        }
        return false
    }

    /// True where a Via says what ours say: its sent-by is one of ours.
    package func isAdvertised(_ via: Via, _ bytes: Span<UInt8>) -> Bool {
        guard let address = SocketAddress(host: bytes.slice(via.host), port: via.portOrDefault) else {
            return false
        }
        for index in 0..<listenerCount where configuration.advertised(index) == address { return true }
        return wasListener(address)
    }

    private func wasListener(_ address: SocketAddress) -> Bool {
        if !hasFormer { return false }
        for index in 0..<16 where configuration.formerly(index) == address { return true }
        return false
    }

    /// True where host and port are what a listener was called since the start, and is no more: established calls
    /// have that in their routes.
    package func wasListener(host: Span<UInt8>, port: UInt16) -> Bool {
        if !hasFormer { return false }
        return SocketAddress(host: host, port: port == 0 ? 5060 : port).map { wasListener($0) } ?? false
    }

    /// True where host and port are one of our listeners (port 0: not given), as they are or as advertised.
    ///
    /// - Parameter local: what a wildcard listener was asked by, which is an address of ours.
    package func isListener(
        host: Span<UInt8>, port: UInt16, local: SocketAddress = SocketAddress()
    ) -> Bool {
        guard let address = SocketAddress(host: host, port: port == 0 ? 5060 : port) else { return false }
        if address == local { return true }
        for index in 0..<listenerCount {
            if address == configuration.advertised(index) || address == configuration.listener(index) {
                return true
            }
        }
        return false
    }

    /// True where a URI with this host and port names us: a listening address, or one of our domains, with no
    /// port or one that we listen on.
    package func isOurs(
        host: Span<UInt8>, port: UInt16, local: SocketAddress = SocketAddress()
    ) -> Bool {
        if isListener(host: host, port: port, local: local) { return true }
        guard configuration.isOurDomain(host, count: domainCount) else { return false }
        if port == 0 { return true }
        for index in 0..<listenerCount
        where configuration.advertised(index).port == port || configuration.listener(index).port == port {
            return true
        }
        return false
    }

    package func isOurs(
        _ uri: SIPURI, _ bytes: Span<UInt8>, local: SocketAddress = SocketAddress()
    ) -> Bool {
        uri.isSIP && isOurs(host: bytes.slice(uri.host), port: uri.port, local: local)
    }
}
