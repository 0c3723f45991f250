import Platform
import Proxy
import SharedState
import Syntax

/// The configured routes (`[[route]]`): requests that go to a next hop of the operator's choice, before
/// bindings and DNS are asked.
extension WorkerProcess {
    /// One target for each hop that can be reached, in the order of the route.
    mutating func follow(
        _ match: RouteMatch, _ cell: UInt32, _ message: Message, _ request: inout RoutedRequest
    ) {
        // Its sender must be allowed to reach others through us, as the route says or `relay-from`.
        guard match.hasSource || core.identity.mayRelay(request.origin) else {
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
        let isNew = core.writeOwnURI(message, request.routing, to: &uri)
        let hops = core.routes.hops(of: match, now: now)
        guard !uri.overflowed, let room = shard.stored.reserve(core.hopBytes(hops, uri: uri.count)) else {
            refuseFull(cell, message)
            return
        }
        var draft = draft(in: room, request)
        core.add(hops, uri: uri.written, isNew: isNew, message, request, to: &draft)
        let targets = seal(draft, in: room)
        if draft.count == 0 {
            shard.stored.free(targets)
            respondLocally(cell, message, status: 500, reason: WorkerProcess.unresolved)
            return
        }
        startSearch(cell, message, request, targets: targets, count: draft.count, search: .failover)
    }

    /// Remembers that a hop could not be reached, or that it can; and tells so, once.
    mutating func noteHop(of fork: UInt8, _ record: ServerRecord, _ end: ForkEnd) {
        guard record.search == .failover, !record.targets.isNone,
            let hop = target(fork, record)?.hop, hop != 0, let (route, index) = core.routes.place(hop)
        else { return }
        switch end {
        case .silence, .unreachable:
            if let seconds = core.routes.markDead(route, index, now: now) {
                logHop(route, index, end == .silence ? "did not answer" : "could not be reached", seconds)
            }
        case .answer: if core.routes.markAlive(route, index) { logHop(route, index, "answers again", nil) }
        case .timeout: break
        }
    }
}
