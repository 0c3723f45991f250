import Platform
import Proxy
import SharedState
import Syntax

/// Target sets of server transactions (RFC 3261 §16.5): from the location table, or the message itself.
extension WorkerProcess {
    /// A user of ours: one fork for each binding (`Get_Contacts`).
    mutating func lookUp(_ cell: UInt32, _ message: Message, _ request: RoutedRequest) {
        let time = Clock.epochSeconds()
        guard let set = core.bindings(message, request.routing, now: time) else {
            respondLocally(cell, message, status: 480)
            return
        }
        // The newest stand last: what is more than `max-breadth` is left out at the begin.
        let surplus = max(0, set.liveCount(now: time) - core.settings.maxBreadth)
        var needed = TargetSet.headBytes
        var left = surplus
        for binding in set where binding.expiresAt > time {
            left -= 1
            if left < 0 { needed += core.contactBytes(binding.uri, binding.path) }
        }
        guard let room = shard.stored.reserve(needed) else {
            refuseFull(cell, message)
            return
        }
        var draft = draft(in: room, request)
        left = surplus
        for binding in set where binding.expiresAt > time {
            left -= 1
            if left >= 0 { continue }
            core.add(
                contact: binding.uri, path: binding.path, q: binding.q, message, request, to: &draft)
        }
        let targets = seal(draft, in: room)
        if draft.count == 0 {
            // Bindings, but none that this server can reach: as a transport error of every fork (§16.9).
            shard.stored.free(targets)
            respondLocally(cell, message, status: 500, reason: "No contact can be reached")
            return
        }
        startSearch(
            cell, message, request, targets: targets, count: draft.count,
            search: settings.ordersByQ ? .byQ : .parallel)
    }

    /// One target: the next Route, or the Request-URI.
    mutating func forward(_ cell: UInt32, _ message: Message, _ request: RoutedRequest) {
        guard let room = shard.stored.reserve(core.ownTargetBytes(message, request.routing)) else {
            refuseFull(cell, message)
            return
        }
        var draft = draft(in: room, request)
        let isFound = core.addOwnTarget(message, request, to: &draft)
        let targets = seal(draft, in: room)
        if !isFound {
            shard.stored.free(targets)
            respondLocally(cell, message, status: 500, reason: WorkerProcess.unresolved)
            return
        }
        startSearch(cell, message, request, targets: targets, count: 1, search: .parallel)
    }

    static var unresolved: StaticString { "Next hop cannot be resolved" }

    mutating func draft(in room: StoredMessages.Reservation, _ request: RoutedRequest) -> TargetSetDraft {
        TargetSetDraft(
            memory.writer(room.offset, capacity: room.capacity), source: request.source.endpoint)
    }

    mutating func seal(_ draft: TargetSetDraft, in room: StoredMessages.Reservation) -> StoredReference {
        shard.stored.seal(room, length: draft.written.count)
    }

    /// There is no room to store the targets.
    mutating func refuseFull(_ cell: UInt32, _ message: Message) {
        state.counters.add(.refusedFull, me)
        respondLocally(cell, message, status: 503, extra: "Retry-After: 2\r\n")
    }
}
