import Platform
import SharedMemory

/// A route as the master publishes it; for start-up. Texts are in the form in which they are compared.
package struct RouteDraft {
    package var user = "*"
    package var domain = "*"
    package var methods: [String] = []
    package var sources: [(network: SocketAddress, prefix: Int)] = []
    package var hops: [Hop] = []
    package var isRoundRobin = false
    /// Seconds.
    package var deadTime = 0

    package init() {}

    package struct Hop {
        package var uri: String
        /// None where the host is a name.
        package var address: SocketAddress
        package var transport: SIPTransport
        /// This version can send there, from a listener that it has.
        package var isReachable: Bool

        package init(
            uri: String, address: SocketAddress, transport: SIPTransport = .udp, isReachable: Bool = true
        ) {
            self.uri = uri
            self.address = address
            self.transport = transport
            self.isReachable = isReachable
        }
    }
}

/// A stretch of the region's text area.
package struct RouteText: BitwiseCopyable {
    fileprivate var offset: UInt32 = 0
    package fileprivate(set) var count: UInt32 = 0

    /// None where it is no text: a key that is not there.
    package var isEmpty: Bool { count == 0 }
}

/// One route.
package struct RouteEntry: BitwiseCopyable {
    package fileprivate(set) var user = RouteText()
    package fileprivate(set) var domain = RouteText()
    /// Each as its length in a byte, then the token.
    package fileprivate(set) var methods = RouteText()
    package fileprivate(set) var sourceCount: UInt32 = 0
    package fileprivate(set) var hopCount: UInt32 = 0
    package fileprivate(set) var isRoundRobin = false
    /// Seconds.
    package fileprivate(set) var deadTime: UInt32 = 0
}

/// One next hop of a route.
package struct HopEntry: BitwiseCopyable {
    /// None where the host is a name.
    package fileprivate(set) var address = SocketAddress()
    package fileprivate(set) var transport = SIPTransport.udp
    package fileprivate(set) var isReachable = false
    package fileprivate(set) var uri = RouteText()
}

/// The `[[route]]` tables as the children read them, and what the workers remember of the next hops.
///
///     page 0…   | number of routes | entries : 64 × 64 | hops : 64 × 16 × 64 | sources : 64 × 32 × 32 | texts |
///               written once, by the master, before anyone attaches to it
///     …, last   | turn of each route : 64 × 64 | dead until : 64 × 16 × 8 |
///               written by all workers
///
/// The last pages are the exception to the rule that a word has one writer: each word is read and written as a
/// whole, none depends on another, and any value in it is right. A turn that is lost or taken twice (a worker
/// died) sends one request to another hop; of two times of death either will do. They are no part of a
/// worker's turn, so they are neither undone nor logged.
package struct RouteRegion: BitwiseCopyable {
    package static let maximumRoutes = 64
    package static let maximumHops = 16
    package static let maximumSources = 32
    package static let maximumMethods = 16
    package static let maximumPattern = 128
    package static let maximumMethod = 32
    package static let maximumURI = 160

    private static let headerBytes = 64
    private static let entryBytes = 64
    private static let hopBytes = 64
    private static let sourceBytes = 32
    /// Room for the longest texts of all routes, so that it is never too small; taken as used.
    private static let textBytes =
        maximumRoutes
        * (2 * maximumPattern + maximumMethods * (1 + maximumMethod) + maximumHops * maximumURI)

    private static let hopsOffset = headerBytes + maximumRoutes * entryBytes
    private static let sourcesOffset = hopsOffset + maximumRoutes * maximumHops * hopBytes
    private static let textsOffset = sourcesOffset + maximumRoutes * maximumSources * sourceBytes
    private static let turnsOffset = (textsOffset + textBytes + 4095) & ~4095
    private static let deathsOffset = turnsOffset + maximumRoutes * 64
    package static let bytes = deathsOffset + maximumRoutes * maximumHops * 8

    private let memory: Memory
    private let base: Int

    /// Of the configuration that the routes belong to.
    package let generation: UInt64

    package init(memory: Memory, at base: Int, generation: UInt64 = 0) {
        self.memory = memory
        self.base = base
        self.generation = generation
    }

    // MARK: written by the master

    /// Fills the region, and nobody's turn has come yet; false where the routes do not fit: more or longer than
    /// the limits say.
    package func publish(_ routes: [RouteDraft]) -> Bool {
        guard routes.count <= RouteRegion.maximumRoutes else { return false }
        memory.zero(base, count: RouteRegion.bytes)
        var texts = memory.writer(base + RouteRegion.textsOffset, capacity: RouteRegion.textBytes)
        for (index, route) in routes.enumerated() {
            guard route.hops.count <= RouteRegion.maximumHops,
                route.sources.count <= RouteRegion.maximumSources,
                route.methods.count <= RouteRegion.maximumMethods,
                route.methods.allSatisfy({ $0.utf8.count <= RouteRegion.maximumMethod })
            else { return false }
            var entry = RouteEntry()
            entry.user = append(route.user, to: &texts)
            entry.domain = append(route.domain, to: &texts)
            entry.methods.offset = UInt32(texts.count)
            for method in route.methods {
                texts.append(UInt8(method.utf8.count))
                texts.append(string: method)
            }
            entry.methods.count = UInt32(texts.count) - entry.methods.offset
            entry.sourceCount = UInt32(route.sources.count)
            for (number, source) in route.sources.enumerated() {
                memory.store(source.network, at: sourceOffset(index, number))
                memory.store(UInt32(source.prefix), at: sourceOffset(index, number) + 28)
            }
            entry.hopCount = UInt32(route.hops.count)
            for (number, hop) in route.hops.enumerated() {
                var stored = HopEntry()
                stored.address = hop.address
                stored.transport = hop.transport
                stored.isReachable = hop.isReachable
                stored.uri = append(hop.uri, to: &texts)
                memory.store(stored, at: hopOffset(index, number))
            }
            entry.isRoundRobin = route.isRoundRobin
            entry.deadTime = UInt32(route.deadTime)
            memory.store(entry, at: entryOffset(index))
        }
        if texts.overflowed { return false }
        memory.storeAtomic(UInt64(routes.count), at: base)
        return true
    }

    private func append(_ text: String, to texts: inout ByteWriter) -> RouteText {
        let start = texts.count
        texts.append(string: text)
        return RouteText(offset: UInt32(start), count: UInt32(texts.count - start))
    }

    // MARK: read by all

    package var count: Int { Int(memory.loadAtomic(base)) }

    package func entry(_ route: Int) -> RouteEntry { memory.load(entryOffset(route)) }

    package func hop(_ route: Int, _ hop: Int) -> HopEntry { memory.load(hopOffset(route, hop)) }

    package func source(_ route: Int, _ number: Int) -> (network: SocketAddress, prefix: Int) {
        let offset = sourceOffset(route, number)
        return (memory.load(offset), Int(memory.load(offset + 28, as: UInt32.self)))
    }

    @_lifetime(immortal)
    package func bytes(_ text: RouteText) -> Span<UInt8> {
        memory.bytes(base + RouteRegion.textsOffset + Int(text.offset), count: Int(text.count))
    }

    // MARK: written by all workers

    /// The number of this request among those of the route, from 0: each caller gets another.
    package func takeTurn(_ route: Int) -> UInt64 {
        precondition(route >= 0 && route < RouteRegion.maximumRoutes, "no such route")
        return memory.addAtomic(1, at: base + RouteRegion.turnsOffset + route * 64)
    }

    /// Monotonic milliseconds until which the hop is to be skipped; 0: it never failed.
    package func deadUntil(_ route: Int, _ hop: Int) -> UInt64 {
        memory.loadAtomic(deathOffset(route, hop))
    }

    package func setDeadUntil(_ time: UInt64, _ route: Int, _ hop: Int) {
        memory.storeAtomic(time, at: deathOffset(route, hop))
    }

    // MARK: places

    private func entryOffset(_ route: Int) -> Int {
        precondition(route >= 0 && route < RouteRegion.maximumRoutes, "no such route")
        return base + RouteRegion.headerBytes + route * RouteRegion.entryBytes
    }

    /// The number of a hop among those of all routes.
    private func number(_ route: Int, _ hop: Int) -> Int {
        precondition(route >= 0 && route < RouteRegion.maximumRoutes, "no such route")
        precondition(hop >= 0 && hop < RouteRegion.maximumHops, "no such next hop")
        return route * RouteRegion.maximumHops + hop
    }

    private func hopOffset(_ route: Int, _ hop: Int) -> Int {
        base + RouteRegion.hopsOffset + number(route, hop) * RouteRegion.hopBytes
    }

    private func deathOffset(_ route: Int, _ hop: Int) -> Int {
        base + RouteRegion.deathsOffset + number(route, hop) * 8
    }

    private func sourceOffset(_ route: Int, _ source: Int) -> Int {
        precondition(route >= 0 && route < RouteRegion.maximumRoutes, "no such route")
        precondition(source >= 0 && source < RouteRegion.maximumSources, "no such source")
        return base + RouteRegion.sourcesOffset
            + (route * RouteRegion.maximumSources + source) * RouteRegion.sourceBytes
    }
}
