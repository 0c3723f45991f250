import Platform
import SharedMemory
import SharedState
import Syntax

@testable import Proxy

/// A proxy core with listeners of several transports and families; without any named, those of a server that
/// speaks all that there is:
///
///     0  udp 192.0.2.1:5060    2  udp [2001:db8::1]:5060
///     1  tcp 192.0.2.1:5060    3  tcp [2001:db8::1]:5060
final class MixedProxy {
    static let everything = [
        "udp 192.0.2.1:5060", "tcp 192.0.2.1:5060", "udp [2001:db8::1]:5060", "tcp [2001:db8::1]:5060",
    ]

    private let arena: Arena
    let core: ProxyCore
    let keys = Proxy.keys()

    var identity: Identity { core.identity }

    init(_ listeners: [String] = everything, routes: [RouteDraft] = []) throws {
        let sizes = ArenaSizes(workers: 1, transactions: 64, bindings: 64)
        arena = try Arena(name: "mixed", size: SharedState.bytes(sizes))
        let state = SharedState(memory: arena.memory, sizes: sizes)
        var snapshot = ConfigurationSnapshot()
        for (index, text) in listeners.enumerated() {
            let endpoint = MixedProxy.endpoint(text)
            snapshot.listeners[index] = endpoint.peer
            snapshot.advertised[index] = endpoint.peer
            snapshot.transports[index] = endpoint.transport
        }
        snapshot.listenerCount = UInt32(listeners.count)
        _ = snapshot.addDomain("example.org")
        precondition(state.publish(snapshot, routes))
        core = ProxyCore(state, keys: keys)
    }

    /// `tcp 192.0.2.7:5060`, `udp [2001:db8::7]:5060`; without a port, 0.
    static func endpoint(_ text: String) -> Endpoint {
        let words = text.split(separator: " ").map(String.init)
        let afterBracket = words[1].lastIndex(of: "]") ?? words[1].startIndex
        let colon = words[1][afterBracket...].lastIndex(of: ":")
        let port = colon.flatMap { UInt16(words[1][words[1].index(after: $0)...]) } ?? 0
        let host = colon.map { String(words[1][..<$0]) } ?? words[1]
        return Endpoint(SIPTransport(name: words[0])!, SocketAddress(host: host, port: port)!, listener: 0)
    }

    /// The other way round: as the tests above write it.
    static func text(_ transport: SIPTransport, _ address: SocketAddress) -> String {
        "\(transport.name) \(address.text)"
    }
}

extension CandidateList {
    init(_ texts: [String]) {
        self.init()
        for text in texts {
            let endpoint = MixedProxy.endpoint(text)
            append(Candidate(endpoint.peer, endpoint.transport))
        }
    }

    var texts: [String] { (0..<count).map { MixedProxy.text(self[$0].transport, self[$0].address) } }
}
