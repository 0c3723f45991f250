import Platform
import Proxy
import SharedState
import Syntax

/// What the master does with a message by itself in the stateless mode.
extension Reception {
    /// What has become of a message.
    enum Forwarding {
        case done
        /// It waits for the resolver, in its slot.
        case kept
        /// The proxy is asked as a server.
        case toWorker
    }

    /// Half of the scratch is for the target set, half for the message.
    private static let setBytes = SharedState.masterScratchBytes / 2

    private var scratch: Int { state.masterScratch }
    private var messageScratch: Int { state.masterScratch + Reception.setBytes }

    // MARK: requests

    /// Forwards a request to its one target: a route's first next hop, the user's newest contact, or what the
    /// message itself names.
    ///
    /// - Parameter mayWait: false once the resolver was asked for it.
    mutating func forward(
        _ message: Message, _ slot: SlotReference, _ header: SlotHeader, mayWait: Bool = true
    ) -> Forwarding {
        let source = RequestSource(message, header.endpoint)
        var request = RoutedRequest(message, source, core.identity, keys)
        let isHopByHop = message.method == .ack || message.method == .cancel
        let isInDialog =
            message.method == .ack
            ? RouteMark.isGenuine(message, request.routing, keys: keys) : !message.toTag.isEmpty
        let match = core.route(of: message, request, isInDialog: isInDialog, asInvite: isHopByHop)
        if match == nil && core.isForUs(message, request.routing) { return .toWorker }
        // What has waited for the resolver was told of before.
        if mayWait { noteReceived(message, header, .handled(.master)) }
        request.loopMark = LoopCheck.mark(message, route: match?.route, withToTag: false, keys: keys)
        if LoopCheck.isLoop(message, mark: request.loopMark) {
            state.counters.add(.loopsDetected, .master)
            return answer(message, source, 482)
        }
        // RFC 5393 §5.3.3.
        if core.breadth(of: request) == 0 { return answer(message, source, 440) }
        if let match { return follow(match, message, request, slot, mayWait) }
        switch request.routing.decision {
        case .refuse(let refusal):
            if refusal.status == 400 { state.counters.add(.badRequests, .master) }
            var unsupported = core.line
            if refusal == .unknownExtension {
                _ = OptionTags.writeUnsupported(message, in: .proxyRequire, to: &unsupported)
            }
            return answer(
                message, source, refusal.status, reason: refusal.reason, extra: unsupported.written)
        case .ours: return answer(message, source, 404)
        case .lookUp: return lookUp(message, request, slot, mayWait)
        case .forward:
            guard core.mayPass(message, request) else {
                return answer(message, source, 403, reason: "Relaying not allowed")
            }
            var draft = makeDraft(request)
            guard core.addOwnTarget(message, request, to: &draft) else {
                return answer(message, source, 500, reason: Reception.unresolved)
            }
            return send(message, request, draft, slot, mayWait)
                ?? answer(message, source, 500, reason: Reception.unresolved)
        }
    }

    private static var unresolved: StaticString { "Next hop cannot be resolved" }

    private func makeDraft(_ request: RoutedRequest) -> TargetSetDraft {
        TargetSetDraft(
            state.memory.writer(scratch, capacity: Reception.setBytes), source: request.source.endpoint)
    }

    /// The newest contact that can be reached. It may be another one when the request comes again: the paper's
    /// way, against §16.11.
    private mutating func lookUp(
        _ message: Message, _ request: RoutedRequest, _ slot: SlotReference, _ mayWait: Bool
    ) -> Forwarding {
        let time = Clock.epochSeconds()
        guard let set = core.bindings(message, request.routing, now: time) else {
            return answer(message, request.source, 480)
        }
        for index in stride(from: set.count - 1, through: 0, by: -1) where set[index].expiresAt > time {
            let binding = set[index]
            var draft = makeDraft(request)
            core.add(
                contact: binding.uri, path: binding.path, q: binding.q, message, request, to: &draft)
            if let done = send(message, request, draft, slot, mayWait) { return done }
        }
        return answer(message, request.source, 500, reason: "No contact can be reached")
    }

    private mutating func follow(
        _ match: RouteMatch, _ message: Message, _ request: RoutedRequest, _ slot: SlotReference,
        _ mayWait: Bool
    ) -> Forwarding {
        guard match.hasSource || core.identity.mayRelay(request.origin) else {
            return answer(message, request.source, 403, reason: "Relaying not allowed")
        }
        if message.index.maxForwards == 0 { return answer(message, request.source, 483) }
        // The same turn for what comes again.
        var turn = keys.tables
        turn.combine(message.callID)
        turn.combine(UInt64(message.index.cseqNumber))
        let hops = core.routes.hops(of: match, now: Clock.milliseconds(), turn: turn.finalize())
        var uri = core.line
        let isNew = core.writeOwnURI(message, request.routing, to: &uri)
        var draft = makeDraft(request)
        if !uri.overflowed {
            core.add(hops, uri: uri.written, isNew: isNew, message, request, to: &draft)
        }
        return send(message, request, draft, slot, mayWait)
            ?? answer(message, request.source, 500, reason: Reception.unresolved)
    }

    /// Writes and sends the request to the set's first target; nil where it has none that can be reached.
    private mutating func send(
        _ message: Message, _ request: RoutedRequest, _ draft: TargetSetDraft, _ slot: SlotReference,
        _ mayWait: Bool
    ) -> Forwarding? {
        let set = draft.written
        var writer = messageWriter()
        let now = Clock.milliseconds()
        switch core.writeStateless(message, request, set: set, recordRoutes: true, now: now, to: &writer) {
        case .nowhere: return nil
        case .send(let endpoint):
            transmit(writer, to: endpoint)
            return .done
        case .wait(let placed):
            guard mayWait else { return nil }
            let key = waitingKey(message)
            if stateless.waiting.contains(where: { $0.key == key }) { return .done }
            return wait(slot, key, placed.target.question, set.extracting(placed.name)) ? .kept : nil
        }
    }

    private func messageWriter() -> ByteWriter {
        state.memory.writer(
            messageScratch, capacity: SharedState.masterScratchBytes - Reception.setBytes)
    }

    /// Sends the message that lies in the scratch.
    private mutating func transmit(_ writer: ByteWriter, to endpoint: Endpoint) {
        transmit(OutboxEntry(offset: messageScratch, count: writer.count, to: endpoint))
    }

    private mutating func transmit(_ entry: OutboxEntry) {
        if entry.endpoint.isReliable {
            let count = Int(entry.firstCount)
            stateless.output.append(state.memory.bytes(Int(entry.first), count: count), to: entry.endpoint)
            return
        }
        trace.stamp()
        let isSent = stateless.sender.send(entry)
        state.counters.add(isSent ? .messagesSent : .sendErrors, .master)
        if trace.isOn {
            let code = SystemError.lastCode
            let bytes = state.memory.bytes(Int(entry.first), count: Int(entry.firstCount))
            trace.noteSent(bytes, entry.endpoint, isSent ? .handled(.master) : .notSent(.master, code))
        }
    }

    /// An answer without state; never to an ACK.
    mutating func answer(
        _ message: Message, _ source: RequestSource, _ status: UInt16, reason: StaticString? = nil,
        extra: Span<UInt8> = Span()
    ) -> Forwarding {
        if message.method == .ack { return .done }
        var writer = messageWriter()
        core.writeAnswer(
            message, source, status: status, reason: reason, extra: extra, to: &writer)
        if !writer.overflowed { transmit(writer, to: source.response) }
        return .done
    }

    // MARK: responses

    /// Forwards a response by the Via below ours.
    mutating func forwardResponse(_ message: Message, _ branch: Branch, _ header: SlotHeader) {
        guard
            let endpoint = core.endpoint(
                ofStateless: message, branch, cameOn: header.endpoint)
        else {
            state.counters.add(.strayResponses, .master)
            return
        }
        var writer = messageWriter()
        ForwardedResponse.write(message, isForStream: endpoint.isReliable, to: &writer)
        if !writer.overflowed { transmit(writer, to: endpoint) }
    }

    // MARK: waiting for the resolver

    /// The same for a message that comes again, and for no other.
    private func waitingKey(_ message: Message) -> UInt64 {
        var hash = keys.tables
        hash.combine(message.branch)
        hash.combine(UInt8(0))
        hash.combine(message.callID)
        hash.combine(UInt64(message.index.cseqNumber))
        hash.combine(message.methodToken)
        return hash.finalize()
    }

    /// Keeps the request in its slot, and asks. False where too many wait.
    private mutating func wait(
        _ slot: SlotReference, _ key: UInt64, _ kind: DNSQuestion.Kind, _ name: Span<UInt8>
    ) -> Bool {
        var question = core.line
        question.append(kind.rawValue)
        question.append(name)
        let isLarge = slot.index >= state.slots.smallCount
        let large = stateless.waiting.count { $0.slot.index >= state.slots.smallCount }
        guard stateless.waiting.count < Stateless.mostWaiting,
            !isLarge || large < state.slots.largeCount / 4, let place = keep(question.written)
        else {
            state.counters.add(.refusedFull, .master)
            return false
        }
        let now = Clock.milliseconds()
        let entry = Stateless.Waiting(
            number: stateless.takeNumber(), key: key, slot: slot, question: place,
            askAt: now + DNSQuestion.askingInterval, end: now + stateless.patience)
        stateless.waiting.append(entry)
        ask(entry)
        return true
    }

    private func ask(_ entry: Stateless.Waiting) {
        var mail = Mail(.resolve)
        mail.transaction = TransactionReference(rawValue: entry.number)
        mail.second = entry.question.rawValue
        _ = state.masterRing(to: .resolver).append(mail)
    }

    /// The resolver has answered.
    mutating func takeResolved(_ mail: Mail) {
        guard
            let index = stateless.waiting.firstIndex(where: { $0.number == mail.transaction.rawValue })
        else { return }
        finish(stateless.waiting.remove(at: index))
    }

    /// Asks again for what waits, and gives up what has waited too long.
    mutating func expireWaiting(_ now: UInt64) {
        var index = 0
        while index < stateless.waiting.count {
            if stateless.waiting[index].end <= now {
                finish(stateless.waiting.remove(at: index))
                continue
            }
            if stateless.waiting[index].askAt <= now {
                stateless.waiting[index].askAt = now + DNSQuestion.askingInterval
                ask(stateless.waiting[index])
            }
            index += 1
        }
    }

    private mutating func finish(_ entry: Stateless.Waiting) {
        giveBack(entry.question)
        let index: MessageIndex = state.memory.load(state.slots.indexOffset(entry.slot.index))
        let message = Message(state.slots.bytes(entry.slot.index), index)
        _ = forward(message, entry.slot, state.slots.header(entry.slot.index), mayWait: false)
        giveBack(entry.slot)
    }
}
