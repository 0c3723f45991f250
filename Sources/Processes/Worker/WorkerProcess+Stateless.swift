import Platform
import Proxy
import SharedState
import Syntax

/// What is forwarded without a transaction (RFC 3261 §16.11): an ACK to a 2xx, a CANCEL that matches nothing.
extension WorkerProcess {
    mutating func forwardStateless(_ message: Message, _ source: RequestSource) {
        var request = RoutedRequest(message, source, identity, keys)
        var isSent = false
        // §16.3 step 4, also here: what comes round again would do so until its hops are used up.
        request.loopMark = LoopCheck.mark(message, keys: keys)
        if LoopCheck.isLoop(message, mark: request.loopMark) {
            state.counters.add(.loopsDetected, me)
            if message.method == .cancel { answerStateless(message, source, status: 482) }
            return
        }
        switch request.routing.decision {
        case .forward:
            if mayPass(message, request), case .stored(let targets) = ownTarget(message, request) {
                isSent = emitStateless(message, request, targets)
            }
        case .lookUp: isSent = forwardToContact(message, request)
        case .refuse, .ours: break
        }
        // A CANCEL for nothing that is known here or can be passed on is answered 481; an ACK never is.
        if !isSent && message.method == .cancel { answerStateless(message, source, status: 481) }
    }

    /// To the newest binding that can be reached: an ACK or CANCEL whose sender has dropped our Record-Route.
    private mutating func forwardToContact(_ message: Message, _ request: RoutedRequest) -> Bool {
        let time = Clock.epochSeconds()
        guard let set = bindings(message, request.routing, now: time) else { return false }
        for index in stride(from: set.count - 1, through: 0, by: -1) where set[index].expiresAt > time {
            let binding = set[index]
            let needed = TargetSet.headBytes + contactBytes(binding.uri, binding.path)
            guard let room = shard.stored.reserve(needed) else { return false }
            var draft = TargetSetDraft(
                memory, room, source: request.source.endpoint)
            add(contact: binding.uri, path: binding.path, q: binding.q, message, request, to: &draft)
            if emitStateless(message, request, draft.seal(in: shard.stored)) { return true }
        }
        return false
    }

    /// Sends to the one target of a set, and frees the set. False where it has none.
    private mutating func emitStateless(
        _ message: Message, _ request: RoutedRequest, _ targets: StoredReference
    ) -> Bool {
        defer { shard.stored.free(targets) }
        let bytes = shard.stored.bytes(targets)
        guard let (target, uri, route) = TargetSet(bytes)?.target(0) else { return false }
        let branch = Branch(
            statelessOver: message.branch, callID: message.callID, cseq: message.index.cseqNumber,
            loopMark: request.loopMark, keys: keys)
        var lines = line
        writeVia(identity.advertised(Int(target.listener)), branch, to: &lines)
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        writeForwarded(
            message, target, source: request.source.peer, uri: bytes.extracting(uri),
            route: bytes.extracting(route), via: lines.written, recordRoute: Span(),
            breadth: breadth(of: request), to: &writer)
        if writer.overflowed { return false }
        turn.keepScratch(writer.count)
        transmit(
            OutboxEntry(
                offset: offset, count: writer.count,
                to: Endpoint(.udp, target.peer, listener: target.listener)))
        return true
    }

    /// The response to a request that was forwarded without state: by its second Via, if the check in ours
    /// is right.
    mutating func forwardStatelessResponse(_ message: Message, _ slot: SlotReference) {
        guard let branch = Branch(message.branch), branch.isStateless, let next = message.secondVia(),
            Branch(
                statelessOver: message.bytes.slice(next.branch), callID: message.callID,
                cseq: message.index.cseqNumber, loopMark: branch.loopMark, keys: keys) == branch
        else {
            state.counters.add(.strayResponses, me)
            return
        }
        let host = next.received.isEmpty ? next.host : next.received
        let port = next.rportValue != 0 ? next.rportValue : next.portOrDefault
        guard let peer = SocketAddress(host: message.bytes.slice(host), port: port), !peer.isForMany,
            let listener = identity.listener(
                for: peer, preferred: Int(state.slots.header(slot.index).endpoint.listener))
        else { return }
        let cut = ForwardedResponse.cut(message)
        let base = state.slots.bytesOffset(slot.index)
        let start = Int(message.index.start)
        var entry = OutboxEntry(
            offset: base + start, count: cut.from - start,
            to: Endpoint(.udp, peer, listener: UInt16(listener)))
        entry.second = UInt64(base + cut.to)
        entry.secondCount = UInt32(Int(message.index.end) - cut.to)
        transmit(entry)
    }
}
