import Platform
import Proxy
import SharedState
import Syntax

/// Request targets (RFC 3261 §16.5): from the location table, the Request-URI, or the Contacts of a 3xx.
extension WorkerProcess {
    /// A user of ours: one fork for each binding (`Get_Contacts`).
    mutating func lookUp(_ cell: UInt32, _ message: Message, _ request: RoutedRequest) {
        let time = Clock.epochSeconds()
        guard let set = bindings(message, request.routing, now: time) else {
            respondLocally(cell, message, status: 480)
            return
        }
        // The newest stand last: what is more than `max-breadth` is left out at the begin.
        let surplus = max(0, set.liveCount(now: time) - settings.maxBreadth)
        var needed = TargetSet.headBytes
        var left = surplus
        for binding in set where binding.expiresAt > time {
            left -= 1
            if left < 0 { needed += contactBytes(binding.uri, binding.path) }
        }
        guard let room = shard.stored.reserve(needed) else {
            refuseFull(cell, message)
            return
        }
        var draft = TargetSetDraft(
            memory, room, source: request.source.endpoint)
        left = surplus
        for binding in set where binding.expiresAt > time {
            left -= 1
            if left >= 0 { continue }
            add(contact: binding.uri, path: binding.path, q: binding.q, message, request, to: &draft)
        }
        let targets = draft.seal(in: shard.stored)
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

    /// The bindings that are alive of the user whom the Request-URI names; nil where there are none.
    func bindings(_ message: Message, _ routing: RequestRouting, now time: UInt64) -> BindingSet? {
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
        identity.advertised(0).writeHost(to: &user)
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
        guard !user.overflowed, let set = state.locations.find(user.written) else { return nil }
        return set.contains { $0.expiresAt > time } ? set : nil
    }

    /// One target: the next Route, or the Request-URI.
    mutating func forward(_ cell: UInt32, _ message: Message, _ request: RoutedRequest) {
        switch ownTarget(message, request) {
        case .none: respondLocally(cell, message, status: 500, reason: "Next hop cannot be resolved")
        case .full: refuseFull(cell, message)
        case .stored(let targets):
            startSearch(cell, message, request, targets: targets, count: 1, search: .parallel)
        }
    }

    enum OwnTarget {
        case none, full
        case stored(StoredReference)
    }

    /// The set of the one target that the message itself names.
    func ownTarget(_ message: Message, _ request: RoutedRequest) -> OwnTarget {
        var uri = line
        guard let target = target(message, request, uri: &uri) else { return .none }
        guard let room = shard.stored.reserve(TargetSet.headBytes + ForkTarget.headBytes + uri.count)
        else { return .full }
        var draft = TargetSetDraft(
            memory, room, source: request.source.endpoint)
        draft.add(target, uri: uri.written, route: Span())
        return .stored(draft.seal(in: shard.stored))
    }

    /// There is no room to store the targets.
    mutating func refuseFull(_ cell: UInt32, _ message: Message) {
        state.counters.add(.refusedFull, me)
        respondLocally(cell, message, status: 503, extra: "Retry-After: 2\r\n")
    }

    // MARK: one target

    /// A target at the address that `uri` names, with what all targets of the request share; nil where the
    /// next hop is a name of others or of a transport we lack.
    private func target(
        at uri: SIPURI, _ bytes: Span<UInt8>, _ message: Message, _ request: RoutedRequest
    ) -> ForkTarget? {
        let preferred = Int(request.source.endpoint.listener)
        // A name that is ours leads here again: loop detection sees to it that it ends.
        guard
            let peer = RequestRouting.address(of: uri, bytes)
                ?? (uri.scheme == .sip && identity.isOurs(uri, bytes) && !uri.hasParameter("maddr", bytes)
                    ? identity.ownAddress(preferred: preferred) : nil)
        else { return nil }
        return target(to: peer, message, request)
    }

    /// The same where a user has named it: who may not use a route may not do so by registering its gateway.
    private func target(
        contact uri: SIPURI, _ bytes: Span<UInt8>, _ message: Message, _ request: RoutedRequest
    ) -> ForkTarget? {
        guard let target = target(at: uri, bytes, message, request),
            !routes.isHop(target.peer) || identity.mayRelay(request.origin)
        else { return nil }
        return target
    }

    func target(to peer: SocketAddress, _ message: Message, _ request: RoutedRequest) -> ForkTarget? {
        guard let listener = identity.listener(for: peer, preferred: Int(request.source.endpoint.listener))
        else {
            return nil
        }
        var target = ForkTarget()
        target.peer = peer
        target.listener = UInt16(listener)
        target.routesToDrop = UInt16(request.routing.routesToDrop)
        if request.routing.dropsLastRoute { target.flags.insert(.dropsLastRoute) }
        if settings.recordRoute && RequestRouting.isRecordRouted(message.method) {
            target.flags.insert(.recordRoute)
        }
        return target
    }

    /// Bytes that a contact may take in a set.
    func contactBytes(_ contact: Span<UInt8>, _ path: Span<UInt8>) -> Int {
        ForkTarget.headBytes + contact.count + path.count + 8
    }

    /// Adds the target that is a user's contact, behind the Path by which it registered (RFC 3327 §5.4);
    /// nothing where it cannot be reached.
    func add(
        contact: Span<UInt8>, path: Span<UInt8>, q: UInt16, _ message: Message, _ request: RoutedRequest,
        to draft: inout TargetSetDraft
    ) {
        guard let uri = SIPURI.parse(contact) else { return }
        var written = line
        uri.writeRequestURI(contact, to: &written)
        let uriEnd = written.count
        guard !path.isEmpty else {
            guard var target = target(contact: uri, contact, message, request), !written.overflowed else {
                return
            }
            target.q = q
            target.flags.insert(.replacesURI)
            draft.add(target, uri: written.written, route: Span())
            return
        }
        guard let first = PathRoute(path), var target = target(contact: first.uri, path, message, request)
        else {
            return
        }
        target.q = q
        target.flags.insert(.replacesURI)
        if first.isLoose {
            draft.add(target, uri: written.written, route: path)
            return
        }
        // §16.6 step 6: a strict router gets its own URI, and the contact last.
        written.append(path.extracting(first.rest..<path.count))
        written.append(path.count > first.rest ? ", <" : "<")
        written.append(written.written.extracting(0..<uriEnd))
        written.append(">")
        if written.overflowed { return }
        draft.add(
            target, uri: path.slice(first.uri.whole),
            route: written.written.extracting(uriEnd..<written.count))
    }

    /// The target that the message itself names, and its Request-URI where that changes.
    private func target(
        _ message: Message, _ request: RoutedRequest, uri writer: inout ByteWriter
    ) -> ForkTarget? {
        let routing = request.routing
        guard var target = target(at: routing.nextHop, message.bytes, message, request) else { return nil }
        if routing.isStrictNextHop {
            // §16.6 step 6: the first Route becomes the Request-URI, which goes behind the last one.
            target.flags.insert([.replacesURI, .strictNextHop])
            target.routesToDrop += 1
            writer.append(message.bytes.slice(routing.nextHop.whole))
        } else if writeOwnURI(message, routing, to: &writer) {
            target.flags.insert(.replacesURI)
        }
        return writer.overflowed ? nil : target
    }

    /// The Request-URI that the request goes on with; false, and nothing written, where it is as it came.
    func writeOwnURI(_ message: Message, _ routing: RequestRouting, to writer: inout ByteWriter)
        -> Bool
    {
        if routing.stripsMaddr {
            routing.uri.writeWithoutMaddr(message.bytes, to: &writer)
        } else if routing.replacesURI {
            writer.append(message.bytes.slice(routing.requestURI))
        }
        return routing.stripsMaddr || routing.replacesURI
    }

    /// Builds the request of a target: §16.6 steps 1 to 8, by editing the received bytes.
    func writeForwarded(
        _ message: Message, _ target: ForkTarget, source: SocketAddress, uri: Span<UInt8>,
        route: Span<UInt8>, via: Span<UInt8>, recordRoute: Span<UInt8>, breadth: Int,
        to writer: inout ByteWriter
    ) {
        var appended = line
        // The lines of the caller lie at the begin of the same scratch: behind them.
        appended.skip(via.count + recordRoute.count)
        let start = appended.count
        // A Request-URI longer than that has no place in a Route.
        defer { if appended.overflowed { writer.fail() } }
        if target.flags.contains(.strictNextHop) {
            let routing = RequestRouting(message, identity)
            appended.append("<")
            if !writeOwnURI(message, routing, to: &appended) { appended.append(message.requestURI) }
            appended.append(">")
        }
        let behind = appended.count > start ? appended.written.extracting(start..<appended.count) : route
        var edits = ForwardedRequest.Edits()
        edits.maxForwards = message.index.maxForwards < 0 ? 70 : Int(message.index.maxForwards) - 1
        edits.maxBreadth = breadth
        edits.routesToDrop = Int(target.routesToDrop)
        edits.dropsLastRoute = target.flags.contains(.dropsLastRoute)
        edits.received = source
        ForwardedRequest.write(
            message: message, requestURI: target.flags.contains(.replacesURI) ? uri : nil, via: via,
            recordRoute: recordRoute.count > 0 ? recordRoute : nil,
            appendRoute: behind.count > 0 ? behind : nil, edits, to: &writer)
    }
}
