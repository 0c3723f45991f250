import Platform
import SharedState
import Syntax

/// Request targets (RFC 3261 §16.5): what the message itself names, a user's contacts, a route's next hops.
extension ProxyCore {
    /// A target at the next hop, with what all targets of the request share; nil where we have no listener to
    /// send from.
    package func target(to hop: NextHop, _ message: Message, _ request: RoutedRequest) -> ForkTarget? {
        guard hop.isName || identity.speaks(hop.transport, family: hop.address.family) else { return nil }
        var target = ForkTarget(hop)
        target.routesToDrop = UInt16(request.routing.routesToDrop)
        if request.routing.dropsLastRoute { target.flags.insert(.dropsLastRoute) }
        if settings.recordRoute && RequestRouting.isRecordRouted(message.method) {
            target.flags.insert(.recordRoute)
        }
        return target
    }

    /// Where a URI leads; a name that is ours leads here again: loop detection sees to it that it ends.
    private func hop(_ uri: SIPURI, _ bytes: Span<UInt8>, _ request: RoutedRequest) -> NextHop? {
        guard let hop = NextHop(uri, bytes) else { return nil }
        if hop.isName, identity.isOurs(uri, bytes), !uri.hasParameter("maddr", bytes) {
            let listener = Int(request.source.endpoint.listener)
            return NextHop(
                to: identity.ownAddress(preferred: listener), identity.transport(listener))
        }
        return hop
    }

    // MARK: what the message names

    /// Bytes that the set takes at most which `addOwnTarget` fills.
    package func ownTargetBytes(_ message: Message, _ routing: RequestRouting) -> Int {
        let uri = max(
            message.requestURI.count, Int(routing.uri.whole.count), Int(routing.nextHop.whole.count))
        return TargetSet.headBytes + ForkTarget.headBytes + uri + min(uri, DNSQuestion.longestHost)
    }

    /// Adds the one target that the message itself names: the next Route, or the Request-URI. False where it
    /// cannot be reached.
    package func addOwnTarget(
        _ message: Message, _ request: RoutedRequest, to draft: inout TargetSetDraft
    ) -> Bool {
        let routing = request.routing
        let bytes = message.bytes
        guard let hop = hop(routing.nextHop, bytes, request), var target = target(to: hop, message, request)
        else { return false }
        var uri = line
        if routing.isStrictNextHop {
            // §16.6 step 6: the first Route becomes the Request-URI, which goes behind the last one.
            target.flags.insert([.replacesURI, .strictNextHop])
            target.routesToDrop += 1
            uri.append(bytes.slice(routing.nextHop.whole))
        } else if writeOwnURI(message, routing, to: &uri) {
            target.flags.insert(.replacesURI)
        }
        if uri.overflowed { return false }
        draft.add(target, uri: uri.written, route: Span(), name: bytes.slice(hop.name))
        return true
    }

    /// The Request-URI that the request goes on with; false, and nothing written, where it is as it came.
    package func writeOwnURI(
        _ message: Message, _ routing: RequestRouting, to writer: inout ByteWriter
    ) -> Bool {
        if routing.stripsMaddr {
            routing.uri.writeWithoutMaddr(message.bytes, to: &writer)
        } else if routing.replacesURI {
            writer.append(message.bytes.slice(routing.requestURI))
        }
        return routing.stripsMaddr || routing.replacesURI
    }

    // MARK: contacts

    /// Bytes that a contact may take in a set.
    package func contactBytes(_ contact: Span<UInt8>, _ path: Span<UInt8>) -> Int {
        ForkTarget.headBytes + contact.count + path.count + 8 + DNSQuestion.longestHost
    }

    /// A target that a user has named: who may not use a route may not do so by registering its gateway.
    private func target(
        contact hop: NextHop, _ name: Span<UInt8>, _ message: Message, _ request: RoutedRequest
    ) -> ForkTarget? {
        guard var target = target(to: hop, message, request) else { return nil }
        if !routes.isEmpty && !identity.mayRelay(request.origin) {
            let isHop =
                hop.isName
                ? routes.isHop(named: name) : isHop(hop.address, now: Clock.milliseconds())
            if isHop { return nil }
            target.flags.insert(.avoidsHops)
        }
        return target
    }

    /// Adds the target that is a user's contact, behind the Path by which it registered (RFC 3327 §5.4);
    /// nothing where it cannot be reached.
    package func add(
        contact: Span<UInt8>, path: Span<UInt8>, q: UInt16, _ message: Message, _ request: RoutedRequest,
        to draft: inout TargetSetDraft
    ) {
        guard let uri = SIPURI.parse(contact) else { return }
        var written = line
        uri.writeRequestURI(contact, to: &written)
        let uriEnd = written.count
        guard !path.isEmpty else {
            guard let hop = hop(uri, contact, request),
                var target = target(contact: hop, contact.slice(hop.name), message, request),
                !written.overflowed
            else { return }
            target.q = q
            target.flags.insert(.replacesURI)
            draft.add(target, uri: written.written, route: Span(), name: contact.slice(hop.name))
            return
        }
        guard let first = PathRoute(path), let hop = hop(first.uri, path, request),
            var target = target(contact: hop, path.slice(hop.name), message, request)
        else { return }
        target.q = q
        target.flags.insert(.replacesURI)
        let name = path.slice(hop.name)
        if first.isLoose {
            if written.overflowed { return }
            draft.add(target, uri: written.written, route: path, name: name)
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
            route: written.written.extracting(uriEnd..<written.count), name: name)
    }

    // MARK: routes

    /// Bytes of a set of a route's next hops.
    package func hopBytes(_ hops: RouteHops, uri: Int) -> Int {
        TargetSet.headBytes + hops.count * (ForkTarget.headBytes + uri + DNSQuestion.longestHost)
    }

    /// Adds a target for each next hop of a route, in their order; `uri` is the Request-URI where that changes.
    package func add(
        _ hops: RouteHops, uri: Span<UInt8>, isNew: Bool, _ message: Message, _ request: RoutedRequest,
        to draft: inout TargetSetDraft
    ) {
        for position in 0..<hops.count {
            let hop = hops[position]
            guard let named = SIPURI.parse(hop.uri), let next = next(hop, named),
                var target = target(to: next, message, request)
            else { continue }
            if isNew { target.flags.insert(.replacesURI) }
            target.q = UInt16(1000 - position)
            target.hop = routes.number(hops.route, hop.index)
            draft.add(target, uri: uri, route: Span(), name: hop.uri.slice(next.name))
        }
    }

    /// The configuration's address of a hop, or its name.
    private func next(_ hop: RouteHop, _ uri: SIPURI) -> NextHop? {
        if hop.address.isNone { return NextHop(uri, hop.uri) }
        return NextHop(
            to: hop.address, hop.transport, statesTransport: uri.hasParameter("transport", hop.uri))
    }
}
