import Platform
import SharedState
import Syntax

/// The configured routes, `[[route]]` of sipfork.toml(5): which of them takes a request, and to which next
/// hops it goes, in which order.
///
/// Who asks has made sure that the request has neither To tag nor Route left, and decides what a failure is:
/// silence for 64·T1, an error of the transport, 503. It tells `markDead`, and goes on with the next hop.
package struct RouteTable: BitwiseCopyable {
    private let region: RouteRegion

    package init(_ region: RouteRegion) { self.region = region }

    package var isEmpty: Bool { region.count == 0 }

    /// The first route that takes the request; nil where none does.
    ///
    /// - Parameters:
    ///   - user: of the Request-URI, escapes as they came; the bare number of a tel: URI; empty for none.
    ///   - host: of the Request-URI, without port.
    ///   - mustBeNamed: the request is for the proxy itself. Such a request, and every REGISTER, is taken
    ///     only by a route that names the method: routes that forget to say so do not swallow registrations.
    package func match(
        user: Span<UInt8>, host: Span<UInt8>, method: Method, methodToken: Span<UInt8>, source: SocketAddress,
        mustBeNamed: Bool = false
    ) -> RouteMatch? {
        for route in 0..<region.count {
            let entry = region.entry(route)
            if !entry.methods.isEmpty {
                guard contains(region.bytes(entry.methods), methodToken) else { continue }
            } else if mustBeNamed || method == .register {
                continue
            }
            guard entry.sourceCount == 0 || isFrom(route, entry, source),
                Glob.matches(region.bytes(entry.domain), host, ignoringCase: true),
                Glob.matches(region.bytes(entry.user), user, ignoringCase: false)
            else { continue }
            return RouteMatch(
                route: route, hopCount: Int(entry.hopCount), hasSource: entry.sourceCount > 0,
                policy: entry.isRoundRobin ? .roundRobin : .failover)
        }
        return nil
    }

    /// `methods`: tokens, each behind its length. Methods are compared with their case (RFC 3261 §7.1).
    private func contains(_ methods: Span<UInt8>, _ token: Span<UInt8>) -> Bool {
        var place = 0
        while place < methods.count {
            let start = place &+ 1
            let end = start &+ Int(methods[place])
            if end &- start == token.count {
                var index = 0
                while index < token.count && methods[start &+ index] == token[index] { index &+= 1 }
                if index == token.count { return true }
            }
            place = end
        }
        return false
    }

    private func isFrom(_ route: Int, _ entry: RouteEntry, _ source: SocketAddress) -> Bool {
        for number in 0..<Int(entry.sourceCount) {
            let (network, prefix) = region.source(route, number)
            if source.isIn(network: network, prefix: prefix) { return true }
        }
        return false
    }

    /// The hops of a route in the order in which this request is to try them; those that failed lately are
    /// left out, unless all did. Those that cannot be reached are never there: they have no turn, and are no
    /// alternative to one that failed.
    ///
    /// Asked once for each request that is sent, and not for its retransmissions: it takes the route's turn.
    /// Of n hops that are alive, each is the first for every n-th request: a dead one's share goes to all
    /// others alike.
    ///
    /// - Parameter turn: the turn of the request where it must be the same each time it comes; nil for the next.
    package func hops(of match: RouteMatch, now: UInt64, turn: UInt64? = nil) -> RouteHops {
        var hops = RouteHops(region, route: match.route)
        for hop in 0..<match.hopCount
        where region.hop(match.route, hop).isReachable && !isDead(match.route, hop, now: now) {
            hops.append(hop)
        }
        if hops.count == 0 {
            for hop in 0..<match.hopCount where region.hop(match.route, hop).isReachable { hops.append(hop) }
        }
        if match.policy == .roundRobin && hops.count > 0 {
            hops.rotate(by: Int((turn ?? region.takeTurn(match.route)) % UInt64(hops.count)))
        }
        return hops
    }

    /// True where a hop of some route has this address; one that is a name, as far as the cache knows it.
    package func isHop(_ address: SocketAddress, _ dns: DNSCache, now: UInt64) -> Bool {
        for route in 0..<region.count {
            for hop in 0..<Int(region.entry(route).hopCount) {
                let entry = region.hop(route, hop)
                if entry.address == address { return true }
                if entry.address.isNone && leads(region.bytes(entry.uri), to: address, dns, now) {
                    return true
                }
            }
        }
        return false
    }

    private func leads(
        _ uri: Span<UInt8>, to address: SocketAddress, _ dns: DNSCache, _ now: UInt64
    ) -> Bool {
        guard let parsed = SIPURI.parse(uri), let next = NextHop(parsed, uri),
            let answer = dns.find(ForkTarget(next).question, host: uri.slice(next.name), now: now)
        else { return false }
        for index in 0..<answer.count {
            var found = answer.candidates[index].address
            if found.port == 0 { found.port = next.port }
            if found == address { return true }
        }
        return false
    }

    /// True where a hop of some route has this name; either case.
    package func isHop(named name: Span<UInt8>) -> Bool {
        for route in 0..<region.count {
            for hop in 0..<Int(region.entry(route).hopCount) {
                let uri = region.bytes(region.hop(route, hop).uri)
                guard let parsed = SIPURI.parse(uri) else { continue }
                let host = uri.slice(parsed.host)
                if host.count == name.count && Glob.matches(host, name, ignoringCase: true) { return true }
            }
        }
        return false
    }

    // | configuration : 5 | place, from 1 : 11 |
    private static let placeBits: UInt16 = 11
    private var mark: UInt16 { UInt16(truncatingIfNeeded: region.generation) << RouteTable.placeBits }

    /// A hop as one number, `ForkTarget.hop`: never 0.
    package func number(_ route: Int, _ hop: Int) -> UInt16 {
        mark | UInt16(route * RouteRegion.maximumHops + hop + 1)
    }

    /// The route and the hop in it that a number stands for; nil where it is of an earlier configuration.
    package func place(_ number: UInt16) -> (route: Int, hop: Int)? {
        let place = number & (1 << RouteTable.placeBits - 1)
        guard place != 0, number - place == mark else { return nil }
        return (Int(place - 1) / RouteRegion.maximumHops, Int(place - 1) % RouteRegion.maximumHops)
    }

    package func isDead(_ route: Int, _ hop: Int, now: UInt64) -> Bool {
        now < region.deadUntil(route, hop)
    }

    /// The hop has failed: it is left out for the route's dead time. `now` is monotonic milliseconds. The
    /// seconds where that is news; nil where it was so already, or the route has no dead time.
    @discardableResult
    package func markDead(_ route: Int, _ hop: Int, now: UInt64) -> Int? {
        let deadTime = UInt64(region.entry(route).deadTime)
        if deadTime == 0 { return nil }
        let isNews = region.deadUntil(route, hop) == 0
        region.setDeadUntil(now &+ deadTime &* 1000, route, hop)
        return isNews ? Int(deadTime) : nil
    }

    /// The hop has answered; true where that is news. Without this, after all have failed, one that works again
    /// would be tried behind others that do not.
    @discardableResult
    package func markAlive(_ route: Int, _ hop: Int) -> Bool {
        if region.deadUntil(route, hop) == 0 { return false }
        region.setDeadUntil(0, route, hop)
        return true
    }

    /// The URI of a hop, as the configuration has it.
    @_lifetime(immortal)
    package func uri(_ route: Int, _ hop: Int) -> Span<UInt8> { region.bytes(region.hop(route, hop).uri) }
}

/// A route that takes a request.
package struct RouteMatch: BitwiseCopyable, Equatable {
    package enum Policy: UInt8, BitwiseCopyable {
        case failover, roundRobin
    }

    package let route: Int
    package let hopCount: Int
    /// The route has a `source` key, which the request fulfils: its sender may use the route, also where
    /// `access.relay-from` would not let it.
    package let hasSource: Bool
    package let policy: Policy
}

/// A next hop of a route.
package struct RouteHop: BitwiseCopyable {
    private let region: RouteRegion
    private let entry: HopEntry
    package let route: Int
    /// Its number in `route.to`, from 0.
    package let index: Int

    fileprivate init(_ region: RouteRegion, _ route: Int, _ hop: Int) {
        self.region = region
        entry = region.hop(route, hop)
        self.route = route
        index = hop
    }

    /// None where the host is a name.
    package var address: SocketAddress { entry.address }
    package var transport: SIPTransport { entry.transport }
    /// As the configuration has it.
    package var uri: Span<UInt8> { @_lifetime(immortal) get { region.bytes(entry.uri) } }
}

/// The hops of a route in the order in which one request tries them.
package struct RouteHops: BitwiseCopyable {
    private let region: RouteRegion
    package let route: Int
    package private(set) var count = 0
    private var order = InlineArray<16, UInt8>(repeating: 0)

    fileprivate init(_ region: RouteRegion, route: Int) {
        self.region = region
        self.route = route
    }

    fileprivate mutating func append(_ hop: Int) {
        order[count] = UInt8(hop)
        count += 1
    }

    fileprivate mutating func rotate(by distance: Int) {
        let old = order
        for index in 0..<count { order[index] = old[(index + distance) % count] }
    }

    package subscript(position: Int) -> RouteHop { RouteHop(region, route, Int(order[position])) }
}
