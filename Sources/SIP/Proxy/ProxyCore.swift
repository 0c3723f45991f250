import Platform
import SharedState
import Syntax

/// The proxy core as far as it needs no transactions (the paper's transaction user, RFC 3261 §16): which
/// targets a request has, and what it looks like when it leaves. Workers use it for forks, and whoever forwards
/// without state.
package struct ProxyCore {
    package let identity: Identity
    package let keys: Keys
    package let routes: RouteTable
    package let locations: LocationTable
    private let dns: DNSCache
    private let deadPeers: DeadPeers
    package let settings: ForwardingSettings
    /// Where header lines are made before they are copied: each use begins at its start.
    package let line: ByteWriter

    private static let lineBytes = 4096

    /// - Parameter scratch: of the one before, after a reload; nil allocates it, for the life of the process.
    package init(_ state: SharedState, keys: Keys, scratch: ByteWriter? = nil) {
        identity = Identity(state.configuration)
        self.keys = keys
        routes = RouteTable(state.routes)
        locations = state.locations
        dns = state.dns
        deadPeers = state.deadPeers
        settings = ForwardingSettings(state.configuration.snapshot)
        if let scratch {
            line = scratch
            return
        }
        line = unsafe ByteWriter(
            unsafe: UnsafeMutableRawPointer.allocate(byteCount: ProxyCore.lineBytes, alignment: 8),
            capacity: ProxyCore.lineBytes)
    }

    // MARK: who may

    /// No open relay: to others' domains only for `access.relay-from`, and within dialogs that we
    /// record-routed.
    package func mayPass(_ message: Message, _ request: RoutedRequest) -> Bool {
        identity.mayRelay(request.origin) || RouteMark.isGenuine(message, request.routing, keys: keys)
    }

    /// Requests that the proxy itself answers as the server: REGISTER for the registrar, OPTIONS (§11).
    package func isForUs(_ message: Message, _ routing: RequestRouting) -> Bool {
        switch routing.decision {
        case .ours: message.method == .register || message.method == .options
        case .lookUp: message.method == .register
        case .refuse, .forward: false
        }
    }

    /// The route that takes a request; nil where none does. Requests in a dialog follow their route set, and
    /// what has a Route left follows that.
    ///
    /// - Parameter asInvite: without transactions, a CANCEL and the ACK to a failure must take the way of their
    ///   INVITE.
    package func route(
        of message: Message, _ request: RoutedRequest, isInDialog: Bool, asInvite: Bool = false
    ) -> RouteMatch? {
        let routing = request.routing
        guard !routes.isEmpty, !isInDialog, routing.routesLeft == 0 else { return nil }
        var isToUs = false
        switch routing.decision {
        // A dialling plan that is not ours may be a gateway's.
        case .refuse(let refusal): if refusal != .foreignPhoneContext { return nil }
        case .ours: isToUs = true
        case .lookUp, .forward: break
        }
        var text = line
        text.append(Method.invite.text)
        let methodEnd = text.count
        if routing.uri.scheme == .tel { routing.uri.writeUser(message.bytes, to: &text) }
        if text.overflowed { return nil }
        let written = text.written
        let number = written.extracting(methodEnd..<written.count)
        return routes.match(
            user: routing.uri.scheme == .tel ? number : message.bytes.slice(routing.uri.user),
            host: message.bytes.slice(routing.uri.host), method: asInvite ? .invite : message.method,
            methodToken: asInvite ? written.extracting(0..<methodEnd) : message.methodToken,
            source: request.origin, mustBeNamed: isToUs)
    }

    /// What the forks of a request that run at once may come to: Max-Breadth, or our own limit.
    package func breadth(of request: RoutedRequest) -> Int {
        let limit = settings.maxBreadth
        return request.routing.breadth < 0 ? limit : min(request.routing.breadth, limit)
    }

    // MARK: next hops

    /// The addresses of a target in the order in which they are tried; false where the resolver has to be asked
    /// for its name.
    ///
    /// - Parameters: set: the bytes that the target lies in; seed: the lot among servers of one rank, so that
    ///   the same request gets the same order; now: milliseconds; list: empty, filled in place, for it is large.
    package func findCandidates(
        of placed: PlacedTarget, in set: Span<UInt8>, seed: UInt64, now: UInt64,
        into list: inout CandidateList
    ) -> Bool {
        if placed.name.isEmpty {
            list.append(Candidate(placed.target.peer, placed.target.transport))
            return true
        }
        guard let answer = dns.find(placed.target.question, host: set.extracting(placed.name), now: now)
        else { return false }
        list = candidates(answer, for: placed.target, seed: seed, now: now)
        return true
    }

    /// The same from what the resolver found for its name.
    func candidates(
        _ answer: DNSAnswer, for target: ForkTarget, seed: UInt64, now: UInt64
    ) -> CandidateList {
        let found = CandidateList(
            answer, port: target.port, transport: target.question == .address ? target.transport : nil,
            seed: seed, identity
        ) { isDead($0, now: now) }
        guard target.flags.contains(.avoidsHops) else { return found }
        var list = CandidateList()
        for index in 0..<found.count where !isHop(found[index].address, now: now) {
            list.append(found[index])
        }
        return list
    }

    /// A candidate that failed lately.
    package func isDead(_ candidate: Candidate, now: UInt64) -> Bool {
        deadPeers.isDead(candidate.transport, candidate.address, now: now)
    }

    func isHop(_ address: SocketAddress, now: UInt64) -> Bool { routes.isHop(address, dns, now: now) }

    // MARK: bindings

    /// The bindings that are alive of the user whom the Request-URI names; nil where there are none.
    package func bindings(_ message: Message, _ routing: RequestRouting, now time: UInt64) -> BindingSet? {
        var user = line
        let bytes = message.bytes
        guard routing.uri.scheme == .tel else {
            routing.uri.writeAddressOfRecord(bytes, to: &user)
            return live(user, time)
        }
        if !routing.phoneContext.isEmpty {
            return bindings(of: routing.uri, bytes, domain: bytes.slice(routing.phoneContext), time)
        }
        for index in 0..<identity.domainCount {
            if let set = bindings(of: routing.uri, bytes, domain: identity.domain(index), time) { return set }
        }
        if identity.domainCount > 0 { return nil }
        routing.uri.writeUser(bytes, to: &user)
        user.append(UInt8(ascii: "@"))
        identity.advertised(identity.first).writeHost(to: &user)
        return live(user, time)
    }

    /// Of a telephone number in a domain of ours.
    private func bindings(
        of uri: SIPURI, _ bytes: Span<UInt8>, domain: Span<UInt8>, _ time: UInt64
    ) -> BindingSet? {
        var user = line
        uri.writeUser(bytes, to: &user)
        user.append(UInt8(ascii: "@"))
        for index in domain.indices {
            let byte = domain[index]
            user.append(byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte)
        }
        return live(user, time)
    }

    private func live(_ user: ByteWriter, _ time: UInt64) -> BindingSet? {
        guard !user.overflowed, let set = locations.find(user.written) else { return nil }
        return set.contains { $0.expiresAt > time } ? set : nil
    }
}

/// What forwarding needs of the configuration, without the snapshot's bulk.
package struct ForwardingSettings: BitwiseCopyable {
    package let recordRoute: Bool
    package let maxBreadth: Int
    package let maxPasses: Int

    init(_ snapshot: ConfigurationSnapshot) {
        recordRoute = snapshot.recordRoute != 0
        maxBreadth = min(Int(snapshot.maxBreadth), 64)
        maxPasses = Int(snapshot.maxPasses)
    }
}
