import Platform
import SharedMemory

/// The configuration as the children read it: fixed size, in shared memory, written by the master, never changed
/// after (`SharedState.publish`).
package struct ConfigurationSnapshot: BitwiseCopyable {
    package static let maximumListeners = 16
    package static let maximumDomains = 64
    package static let domainBytes = 128
    package static let maximumNetworks = 32
    package static let maximumNameServers = 8

    package var workers: UInt32 = 0
    package var listenerCount: UInt32 = 0
    package var domainCount: UInt32 = 0
    package var networkCount: UInt32 = 0
    /// Requests are forwarded by the master, without transactions.
    package var isStateless: UInt32 = 0
    package var recordRoute: UInt32 = 1
    package var maxBreadth: UInt32 = 60
    /// Contacts are tried by their q, not all at once.
    package var orderByQ: UInt32 = 0
    /// The contacts of a 3xx are tried.
    package var recurse: UInt32 = 0
    package var maxPasses: UInt32 = 4
    // Milliseconds.
    package var t1: UInt32 = 500
    package var t2: UInt32 = 4000
    package var t4: UInt32 = 5000
    package var timerC: UInt32 = 185_000
    package var maxDelay: UInt32 = 400
    package var gather: UInt32 = 4
    /// For which a process may let messages come together: some of such pauses are no delay to speak of.
    package var longestPause: Int { Int(min(gather, maxDelay / 16)) }
    // Seconds.
    package var registrarEnabled: UInt32 = 1
    package var minExpires: UInt32 = 60
    package var defaultExpires: UInt32 = 3600
    package var maxExpires: UInt32 = 7200
    package var maxContacts: UInt32 = 10
    package var storeInMemory: UInt32 = 0
    /// `LogPriority` up to which entries are made.
    package var logLevel: UInt32 = 6
    /// 0 none, 1 failed, 2 all.
    package var logCalls: UInt32 = 1
    /// Server transactions one worker may have alive.
    package var transactionsPerWorker: UInt64 = 0
    package var tcpMaxConnections: UInt32 = 16_384
    package var tcpMaxConnectionsPerPeer: UInt32 = 1024
    // Seconds.
    package var tcpIdleTimeout: UInt32 = 3900
    package var tcpMessageTimeout: UInt32 = 30
    // Milliseconds.
    package var tcpConnectTimeout: UInt32 = 4000
    // Bytes.
    package var tcpMaxMessage: UInt32 = 65_535
    package var tcpMaxHeader: UInt32 = 16_384
    package var tcpMaxQueue: UInt32 = 262_144
    /// 0: the system's.
    package var nameServerCount: UInt32 = 0
    // Milliseconds.
    package var resolverTimeout: UInt32 = 2000
    package var candidateTimeout: UInt32 = 4000
    // Seconds.
    package var candidateDeadTime: UInt32 = 30
    package var nameServers = InlineArray<8, SocketAddress>(repeating: SocketAddress())
    /// Of each listener.
    package var transports = InlineArray<16, SIPTransport>(repeating: .udp)
    package var listeners = InlineArray<16, SocketAddress>(repeating: SocketAddress())
    /// What Via and Record-Route say for that listener.
    package var advertised = InlineArray<16, SocketAddress>(repeating: SocketAddress())
    /// Of listeners that an earlier configuration had: what is on its way may still name them.
    package var formerly = InlineArray<16, SocketAddress>(repeating: SocketAddress())
    package var networks = InlineArray<32, SocketAddress>(repeating: SocketAddress())
    package var networkPrefixes = InlineArray<32, UInt32>(repeating: 0)
    /// 64 × 128 bytes: a length, then the lower-cased name.
    package var domains = InlineArray<8192, UInt8>(repeating: 0)
    /// A length in two bytes, then the path of the state directory.
    package var stateDirectory = InlineArray<1024, UInt8>(repeating: 0)
    private var padding: UInt32 = 0

    package init() {}

    /// Milliseconds within which the resolver ends a question, whatever it meets.
    package var questionTime: UInt64 { 4 * UInt64(resolverTimeout) + 1000 }
    /// Milliseconds for which a request waits for it: one second is for a resolver that was replaced.
    package var resolvingTime: UInt64 { questionTime + 1000 }

    /// A number below `listenerCount` may be that of a listener that a reload has removed.
    package func hasListener(_ number: Int) -> Bool { !listeners[number].isNone }

    /// Adds a domain; false where there is no room. `name` is lower-cased and shorter than 128 bytes.
    package mutating func addDomain(_ name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard domainCount < UInt32(ConfigurationSnapshot.maximumDomains),
            bytes.count < ConfigurationSnapshot.domainBytes
        else { return false }
        let base = Int(domainCount) * ConfigurationSnapshot.domainBytes
        domains[base] = UInt8(bytes.count)
        for index in bytes.indices { domains[base + 1 + index] = bytes[index] }
        domainCount += 1
        return true
    }

    package mutating func setStateDirectory(_ path: String) -> Bool {
        let bytes = Array(path.utf8)
        guard bytes.count <= 1000 else { return false }
        stateDirectory[0] = UInt8(truncatingIfNeeded: bytes.count)
        stateDirectory[1] = UInt8(truncatingIfNeeded: bytes.count >> 8)
        for index in bytes.indices { stateDirectory[2 + index] = bytes[index] }
        return true
    }

    package var stateDirectoryPath: String {
        let count = Int(stateDirectory[0]) | Int(stateDirectory[1]) << 8
        return String(decoding: (0..<count).map { stateDirectory[2 + $0] }, as: UTF8.self)
    }
}

/// The snapshot where it lies: read in place, for it is larger than anyone wants to copy.
package struct ConfigurationView: BitwiseCopyable {
    private let memory: Memory
    private let base: Int
    // Where its lists are.
    private let domainsOffset: Int
    private let transportsOffset: Int
    private let listenersOffset: Int
    private let advertisedOffset: Int
    private let formerlyOffset: Int
    private let networksOffset: Int
    private let prefixesOffset: Int

    package static var bytes: Int { (MemoryLayout<ConfigurationSnapshot>.size + 63) & ~63 }

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
        domainsOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.domains)!
        transportsOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.transports)!
        listenersOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.listeners)!
        advertisedOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.advertised)!
        formerlyOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.formerly)!
        networksOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.networks)!
        prefixesOffset = base + MemoryLayout<ConfigurationSnapshot>.offset(of: \.networkPrefixes)!
    }

    /// Element `index` of a list of `count`.
    @inline(__always)
    private func element<T: BitwiseCopyable>(_ list: Int, _ index: Int, of count: Int) -> T {
        precondition(index >= 0 && index < count, "no such element")
        return memory.load(list &+ index &* MemoryLayout<T>.stride)
    }

    package func listener(_ index: Int) -> SocketAddress {
        element(listenersOffset, index, of: ConfigurationSnapshot.maximumListeners)
    }

    package func advertised(_ index: Int) -> SocketAddress {
        element(advertisedOffset, index, of: ConfigurationSnapshot.maximumListeners)
    }

    package func transport(_ index: Int) -> SIPTransport {
        element(transportsOffset, index, of: ConfigurationSnapshot.maximumListeners)
    }

    package func formerly(_ index: Int) -> SocketAddress {
        element(formerlyOffset, index, of: ConfigurationSnapshot.maximumListeners)
    }

    package func network(_ index: Int) -> SocketAddress {
        element(networksOffset, index, of: ConfigurationSnapshot.maximumNetworks)
    }

    package func networkPrefix(_ index: Int) -> UInt32 {
        element(prefixesOffset, index, of: ConfigurationSnapshot.maximumNetworks)
    }

    /// A copy; for start-up.
    package var snapshot: ConfigurationSnapshot { memory.load(base) }

    package func publish(_ snapshot: ConfigurationSnapshot) { memory.store(snapshot, at: base) }

    @_lifetime(immortal)
    package func domain(_ index: Int) -> Span<UInt8> {
        let at = domainsOffset + index * ConfigurationSnapshot.domainBytes
        return memory.bytes(at + 1, count: Int(memory.load(at, as: UInt8.self)))
    }

    /// True where `host` (any case) is one of the configured domains.
    package func isOurDomain(_ host: Span<UInt8>, count: Int) -> Bool {
        for index in 0..<count {
            let domain = domain(index)
            if domain.count == host.count && matches(host, domain) { return true }
        }
        return false
    }

    private func matches(_ host: Span<UInt8>, _ domain: Span<UInt8>) -> Bool {
        for index in host.indices {
            let byte = host[index]
            let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
            if lower != domain[index] { return false }
        }
        return true
    }
}
