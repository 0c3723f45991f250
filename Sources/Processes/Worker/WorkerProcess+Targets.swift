import Platform
import Proxy
import SharedState
import Syntax

/// Request targets (RFC 3261 §16.5) and forwarding (§16.6).
extension WorkerProcess {
    /// A user of ours: one fork for each binding (`Get_Contacts`).
    mutating func lookUp(
        _ cell: UInt32, _ message: Message, _ source: RequestSource, _ routing: RequestRouting
    ) {
        var user = line
        routing.uri.writeAddressOfRecord(message.bytes, to: &user)
        guard !user.overflowed, let set = state.locations.find(user.written) else {
            respondLocally(cell, message, status: 480)
            return
        }
        let time = Clock.epochSeconds()
        // The newest stand last: what is more than `max-breadth` is left out at the begin.
        var surplus = set.liveCount(now: time) - settings.maxBreadth
        var start = 0
        while surplus > 0 && start < set.count {
            if set[start].expiresAt > time { surplus -= 1 }
            start += 1
        }
        var needed = 0
        var live = 0
        for index in start..<set.count where set[index].expiresAt > time {
            needed += ForkTarget.headBytes + set[index].uri.count
            live += 1
        }
        if live == 0 {
            respondLocally(cell, message, status: 480)
            return
        }
        guard let room = shard.stored.reserve(needed) else {
            refuseFull(cell, message)
            return
        }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        var count = 0
        for index in start..<set.count where set[index].expiresAt > time {
            let contact = set[index].uri
            guard let target = target(contact: contact, message, source, routing) else { continue }
            target.write(uri: contact, to: &writer)
            count += 1
        }
        let targets = shard.stored.seal(room, length: writer.count)
        if count == 0 || writer.overflowed {
            // Bindings, but none that this server can reach: as a transport error of every fork (§16.9).
            shard.stored.free(targets)
            respondLocally(cell, message, status: 500, reason: "No contact can be reached")
            return
        }
        startForks(cell, targets: targets, count: count)
    }

    /// One target: the next Route, or the Request-URI.
    mutating func forward(
        _ cell: UInt32, _ message: Message, _ source: RequestSource, _ routing: RequestRouting
    ) {
        guard let (target, uri) = target(message, source, routing) else {
            respondLocally(cell, message, status: 500, reason: "Next hop cannot be resolved")
            return
        }
        guard let room = shard.stored.reserve(ForkTarget.headBytes + Int(uri.count)) else {
            refuseFull(cell, message)
            return
        }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        target.write(uri: message.bytes.slice(uri), to: &writer)
        startForks(cell, targets: shard.stored.seal(room, length: writer.count), count: 1)
    }

    /// There is no room to store the targets.
    private mutating func refuseFull(_ cell: UInt32, _ message: Message) {
        state.counters.add(.refusedFull, me)
        respondLocally(cell, message, status: 503, extra: "Retry-After: 2\r\n")
    }

    /// A target at the address that `uri` names, with what all targets of the request share; nil where the
    /// next hop is a name or of a transport we lack.
    private func target(
        at uri: SIPURI, _ bytes: Span<UInt8>, _ message: Message, _ source: RequestSource,
        _ routing: RequestRouting
    ) -> ForkTarget? {
        guard let peer = RequestRouting.address(of: uri, bytes),
            let listener = identity.listener(for: peer, preferred: Int(source.listener))
        else { return nil }
        var target = ForkTarget()
        target.peer = peer
        target.source = source.peer
        target.listener = UInt16(listener)
        target.routesToDrop = UInt16(routing.routesToDrop)
        if settings.recordRoute && RequestRouting.isRecordRouted(message.method) {
            target.flags.insert(.recordRoute)
        }
        return target
    }

    /// The target that is a user's binding.
    private func target(
        contact: Span<UInt8>, _ message: Message, _ source: RequestSource, _ routing: RequestRouting
    ) -> ForkTarget? {
        guard let uri = SIPURI.parse(contact), var target = target(at: uri, contact, message, source, routing)
        else {
            return nil
        }
        target.flags.insert(.replacesURI)
        return target
    }

    /// The target that the message itself names.
    private func target(
        _ message: Message, _ source: RequestSource, _ routing: RequestRouting
    ) -> (ForkTarget, uri: ByteRange)? {
        guard var target = target(at: routing.nextHop, message.bytes, message, source, routing) else {
            return nil
        }
        var uri = ByteRange.none
        if routing.isStrictNextHop {
            // §16.6 step 6: the first Route becomes the Request-URI, which goes behind the last one.
            target.flags.insert([.replacesURI, .strictNextHop])
            target.routesToDrop += 1
            uri = routing.nextHop.whole
        } else if routing.replacesURI {
            target.flags.insert(.replacesURI)
            uri = routing.requestURI
        }
        return (target, uri)
    }

    /// Builds the request of a target: §16.6 steps 1 to 8, by editing the received bytes.
    func writeForwarded(
        _ message: Message, _ target: ForkTarget, _ uri: Span<UInt8>, via: Span<UInt8>,
        recordRoute: Span<UInt8>,
        to writer: inout ByteWriter
    ) {
        let hops = message.index.maxForwards < 0 ? 70 : Int(message.index.maxForwards) - 1
        var route = line
        // The lines of the caller lie at the begin of the same scratch: behind them.
        route.skip(via.count + recordRoute.count)
        let start = route.count
        // A Request-URI longer than that has no place in a Route.
        defer { if route.overflowed { writer.fail() } }
        if target.flags.contains(.strictNextHop) {
            route.append("<")
            route.append(message.requestURI)
            route.append(">")
        }
        ForwardedRequest.write(
            message: message, requestURI: target.flags.contains(.replacesURI) ? uri : nil, via: via,
            recordRoute: recordRoute.count > 0 ? recordRoute : nil, maxForwards: hops,
            routesToDrop: Int(target.routesToDrop),
            appendRoute: route.count > start ? route.written.extracting(start..<route.count) : nil,
            receivedParameter: target.source, to: &writer)
    }

    // MARK: without state

    /// ACK to a 2xx, or a CANCEL that matches nothing: forwarded without state (§16.11).
    mutating func forwardStateless(_ message: Message, _ source: RequestSource) {
        let routing = RequestRouting(message, identity)
        let found: (ForkTarget, uri: ByteRange)?
        switch routing.decision {
        case .forward: found = mayPass(message, source, routing) ? target(message, source, routing) : nil
        case .lookUp:
            forwardToContact(message, source, routing)
            return
        case .refuse, .ours: found = nil
        }
        guard let (target, uri) = found else {
            refuseStateless(message, source)
            return
        }
        emitStateless(message, target, message.bytes.slice(uri))
    }

    /// To the newest binding that can be reached: an ACK or CANCEL whose sender has dropped our Record-Route.
    private mutating func forwardToContact(
        _ message: Message, _ source: RequestSource, _ routing: RequestRouting
    ) {
        var user = line
        routing.uri.writeAddressOfRecord(message.bytes, to: &user)
        let time = Clock.epochSeconds()
        if !user.overflowed, let set = state.locations.find(user.written) {
            for index in stride(from: set.count - 1, through: 0, by: -1) where set[index].expiresAt > time {
                guard let target = target(contact: set[index].uri, message, source, routing) else { continue }
                emitStateless(message, target, set[index].uri)
                return
            }
        }
        refuseStateless(message, source)
    }

    /// A CANCEL for nothing that is known here or can be passed on is answered 481; an ACK never is.
    private mutating func refuseStateless(_ message: Message, _ source: RequestSource) {
        if message.method == .cancel { answerStateless(message, source, status: 481) }
    }

    private mutating func emitStateless(_ message: Message, _ target: ForkTarget, _ uri: Span<UInt8>) {
        let branch = Branch(
            statelessOver: message.branch, callID: message.callID, cseq: message.index.cseqNumber, keys: keys)
        var lines = line
        writeVia(identity.advertised(Int(target.listener)), branch, to: &lines)
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        writeForwarded(message, target, uri, via: lines.written, recordRoute: Span(), to: &writer)
        if writer.overflowed { return }
        turn.keepScratch(writer.count)
        transmit(
            OutboxEntry(offset: offset, count: writer.count, peer: target.peer, listener: target.listener))
    }

    /// The response to a request that was forwarded without state: by its second Via (§16.11), if the check
    /// in ours is right.
    mutating func forwardStatelessResponse(_ message: Message, _ slot: SlotReference) {
        guard let branch = Branch(message.branch), branch.isStateless, let next = message.secondVia(),
            Branch(
                statelessOver: message.bytes.slice(next.branch), callID: message.callID,
                cseq: message.index.cseqNumber, keys: keys) == branch
        else {
            state.counters.add(.strayResponses, me)
            return
        }
        let host = next.received.isEmpty ? next.host : next.received
        let port = next.rportValue != 0 ? next.rportValue : next.portOrDefault
        guard let peer = SocketAddress(host: message.bytes.slice(host), port: port),
            let listener = identity.listener(
                for: peer, preferred: Int(state.slots.header(slot.index).listener))
        else { return }
        let cut = ForwardedResponse.cut(message)
        let base = state.slots.bytesOffset(slot.index)
        let start = Int(message.index.start)
        var entry = OutboxEntry(
            offset: base + start, count: cut.from - start, peer: peer, listener: UInt16(listener))
        entry.second = UInt64(base + cut.to)
        entry.secondCount = UInt32(Int(message.index.end) - cut.to)
        transmit(entry)
    }
}
