import Platform
import Proxy
import SharedState
import Syntax

/// The configured routes (`[[route]]`): requests that go to a next hop of the operator's choice, before
/// bindings and DNS are asked.
extension WorkerProcess {
    /// The route that takes a request; nil where none does. Requests in a dialog follow their route set, and
    /// what has a Route left follows that.
    func route(of message: Message, _ request: RoutedRequest) -> RouteMatch? {
        let routing = request.routing
        guard !routes.isEmpty, message.toTag.isEmpty, routing.routesLeft == 0 else { return nil }
        var isToUs = false
        switch routing.decision {
        // A dialling plan that is not ours may be a gateway's.
        case .refuse(let refusal): if refusal != .foreignPhoneContext { return nil }
        case .ours: isToUs = true
        case .lookUp, .forward: break
        }
        var number = line
        if routing.uri.scheme == .tel { routing.uri.writeUser(message.bytes, to: &number) }
        if number.overflowed { return nil }
        return routes.match(
            user: routing.uri.scheme == .tel ? number.written : message.bytes.slice(routing.uri.user),
            host: message.bytes.slice(routing.uri.host), method: message.method,
            methodToken: message.methodToken, source: request.origin, mustBeNamed: isToUs)
    }

    /// One target for each hop that can be reached, in the order of the route.
    mutating func follow(
        _ match: RouteMatch, _ cell: UInt32, _ message: Message, _ request: inout RoutedRequest
    ) {
        // Its sender must be allowed to reach others through us, as the route says or `relay-from`.
        guard match.hasSource || identity.mayRelay(request.origin) else {
            respondLocally(cell, message, status: 403, reason: "Relaying not allowed")
            return
        }
        // What the proxy would have served itself may have come this far (§16.3 step 3), but no further.
        if message.index.maxForwards == 0 {
            respondLocally(cell, message, status: 483)
            return
        }
        if isLooping(cell, message, &request, by: match.route) { return }
        var uri = line
        let isNew = writeOwnURI(message, request.routing, to: &uri)
        let hops = routes.hops(of: match, now: now)
        guard !uri.overflowed,
            let room = shard.stored.reserve(
                TargetSet.headBytes + hops.count * (ForkTarget.headBytes + uri.count))
        else {
            refuseFull(cell, message)
            return
        }
        var draft = TargetSetDraft(
            memory, room, source: request.source.endpoint)
        for position in 0..<hops.count {
            let hop = hops[position]
            guard var target = target(to: hop.address, message, request) else { continue }
            if isNew { target.flags.insert(.replacesURI) }
            target.q = UInt16(1000 - position)
            target.hop = RouteTable.number(match.route, hop.index)
            draft.add(target, uri: uri.written, route: Span())
        }
        let targets = draft.seal(in: shard.stored)
        if draft.count == 0 {
            shard.stored.free(targets)
            respondLocally(cell, message, status: 500, reason: "Next hop cannot be resolved")
            return
        }
        startSearch(cell, message, request, targets: targets, count: draft.count, search: .failover)
    }

    /// Remembers that a hop could not be reached, or that it can; and tells so, once.
    mutating func noteHop(of fork: UInt8, _ record: ServerRecord, _ end: ForkEnd) {
        guard record.search == .failover, !record.targets.isNone,
            let hop = target(fork, record)?.hop, hop != 0
        else { return }
        let (route, index) = RouteTable.place(hop)
        switch end {
        case .silence, .unreachable:
            if let seconds = routes.markDead(route, index, now: now) {
                logHop(route, index, end == .silence ? "did not answer" : "could not be reached", seconds)
            }
        case .answer: if routes.markAlive(route, index) { logHop(route, index, "answers again", nil) }
        case .timeout: break
        }
    }
}
