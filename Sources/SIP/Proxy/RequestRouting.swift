import Platform
import Syntax

/// What the proxy core does with a request before it looks for targets: validation (RFC 3261 §16.3) and route
/// information (§16.4). A pure function of the message and of who we are.
package struct RequestRouting {
    /// What comes next.
    package enum Decision: Equatable {
        case refuse(Refusal)
        /// The proxy itself is asked: no user, our address, no route left.
        case ours
        /// Look for the user's bindings.
        case lookUp
        /// To `nextHop`: the first route left, or the Request-URI.
        case forward
    }

    package private(set) var decision: Decision = .refuse(.badRequestURI)
    /// The Request-URI to go on with: the request's own, or the last Route where a strict router sent it
    /// (§16.4).
    package private(set) var requestURI = ByteRange.none
    package private(set) var uri = SIPURI()
    /// The URI that names the next hop.
    package private(set) var nextHop = SIPURI()
    /// Leading Route values that are taken off.
    package private(set) var routesToDrop = 0
    /// The last Route value is taken off: it has become the Request-URI.
    package private(set) var dropsLastRoute = false
    /// Route values that remain for others.
    package private(set) var routesLeft = 0
    /// The next hop does not know loose routing (§16.6 step 6).
    package private(set) var isStrictNextHop = false
    /// The URI by which the request came here, of a Route or from a strict router: our own Record-Route, or
    /// what somebody made look like it. `whole` is empty where there is none.
    package private(set) var ourRoute = SIPURI()
    /// True where the Request-URI is not the request's own.
    package private(set) var replacesURI = false
    /// An `maddr` that is us goes off the Request-URI (§16.4).
    package private(set) var stripsMaddr = false
    /// The domain of ours that a tel URI's phone-context names; empty where it names none.
    package private(set) var phoneContext = ByteRange.none
    /// What Max-Breadth says; -1 where it is absent (RFC 5393 §5).
    package private(set) var breadth = -1

    private let local: SocketAddress

    /// - Parameter local: what a wildcard listener was asked by: an address of ours.
    package init(_ message: Message, _ identity: Identity, local: SocketAddress = SocketAddress()) {
        self.local = local
        if message.index.has(.maxBreadth) {
            guard let value = RequestRouting.number(message, .maxBreadth) else {
                decision = .refuse(.badMaxBreadth)
                return
            }
            breadth = value
        }
        decision = route(message, identity)
        // §16.3 step 3: a proxy must not pass it on; what is for us has arrived.
        let isForUs = decision == .ours || decision == .lookUp && message.method == .register
        switch decision {
        case .forward, .lookUp, .ours:
            if message.index.maxForwards == 0 && !isForUs { decision = .refuse(.tooManyHops) }
        case .refuse: break
        }
    }

    private mutating func route(_ message: Message, _ identity: Identity) -> Decision {
        let bytes = message.bytes
        requestURI = message.index.requestURI
        guard let parsed = SIPURI.parse(bytes, requestURI) else { return .refuse(.badRequestURI) }
        uri = parsed
        // §16.3 step 2. sips: waits for TLS.
        guard uri.scheme == .sip || uri.scheme == .tel else { return .refuse(.unsupportedScheme) }
        // §16.3 step 5: no option tag is known here.
        if message.index.has(.proxyRequire) { return .refuse(.unknownExtension) }
        if message.index.has(.route) {
            if let refusal = takeRoutes(message, identity) { return .refuse(refusal) }
            if routesLeft > 0 { return .forward }
        }
        if uri.scheme == .tel { return telephone(message, identity) }
        nextHop = uri
        if let maddr = uri.parameter(named: "maddr", bytes) {
            // §16.4: named by it, and received as the URI says, it has arrived; from here on it is as if
            // maddr, port and transport had not been there.
            guard let hop = NextHop(uri, bytes), identity.speaks(hop.transport),
                identity.isOurs(host: bytes.slice(maddr), port: uri.port, local: local)
            else { return .forward }
            stripsMaddr = true
            uri.port = 0
            nextHop.port = 0
            nextHop.parameters = .none
        }
        guard identity.isOurs(uri, bytes, local: local) else { return .forward }
        return uri.user.isEmpty ? .ours : .lookUp
    }

    /// §16.4: what a strict router did before us is undone, and the Route that led here taken off.
    private mutating func takeRoutes(_ message: Message, _ identity: Identity) -> Refusal? {
        let bytes = message.bytes
        let (count, last) = RequestRouting.countRoutes(message)
        routesLeft = count
        // A strict router has put our Record-Route URI into the Request-URI, and the true one last.
        if count > 0, uri.isSIP, uri.user.isEmpty, uri.hasParameter("lr", bytes),
            identity.isListener(host: bytes.slice(uri.host), port: uri.port, local: local)
                || identity.wasListener(host: bytes.slice(uri.host), port: uri.port)
        {
            guard let target = RequestRouting.route(bytes, last) else { return .badRoute }
            guard target.scheme == .sip || target.scheme == .tel else { return .unsupportedScheme }
            ourRoute = uri
            requestURI = target.whole
            uri = target
            replacesURI = true
            dropsLastRoute = true
            routesLeft -= 1
        }
        var routes = message.values(.route)
        while routesLeft > 0, let value = routes.next() {
            guard let route = RequestRouting.route(bytes, value.range) else { return .badRoute }
            let isOurs =
                routesToDrop == 0 || routesToDrop == 1 && isOtherSide(route, bytes)
                ? identity.isOurs(route, bytes, local: local)
                    || identity.wasListener(host: bytes.slice(route.host), port: route.port) : false
            if isOurs {
                routesToDrop += 1
                routesLeft -= 1
                ourRoute = route
                continue
            }
            nextHop = route
            isStrictNextHop = !route.hasParameter("lr", bytes)
            break
        }
        return nil
    }

    /// True where a Route may be the second Record-Route that we wrote into a request between IPv4 and IPv6,
    /// or between transports (RFC 5658 §3), the first being gone.
    private func isOtherSide(_ route: SIPURI, _ bytes: Span<UInt8>) -> Bool {
        guard let first = NextHop(ourRoute, bytes), let second = NextHop(route, bytes), !first.isName,
            !second.isName
        else { return false }
        let isOther = first.address.family != second.address.family || first.transport != second.transport
        return isOther && route.hasParameter("sf", bytes)
    }

    private static func route(_ bytes: Span<UInt8>, _ range: ByteRange) -> SIPURI? {
        guard let address = NameAddress.parse(bytes, range) else { return nil }
        return SIPURI.parse(bytes, address.uri)
    }

    private static func countRoutes(_ message: Message) -> (count: Int, last: ByteRange) {
        var routes = message.values(.route)
        var count = 0
        var last = ByteRange.none
        while let value = routes.next() {
            last = value.range
            count += 1
        }
        return (count, last)
    }

    /// A tel URI is for one of our users (RFC 3966): a global number in any of our domains, a local one in
    /// the domain that its context names. A context that we do not know is not translated (§9): what a
    /// prefix such as +1914 is local to, nobody has told us. A local number that lacks its context, as some
    /// phones send it, is taken for one of our own dialling plan.
    private mutating func telephone(_ message: Message, _ identity: Identity) -> Decision {
        if message.method == .register { return .refuse(.unsupportedScheme) }
        guard uri.isTelephoneNumber(message.bytes) else { return .refuse(.badRequestURI) }
        let isGlobal = message.bytes[uri.user.start] == UInt8(ascii: "+")
        if !isGlobal, let context = uri.parameter(named: "phone-context", message.bytes) {
            guard identity.isOurs(host: message.bytes.slice(context), port: 0) else {
                return .refuse(.foreignPhoneContext)
            }
            phoneContext = context
        }
        return .lookUp
    }

    /// The number that is the one value of a header field; nil where it is none, or not alone.
    private static func number(_ message: Message, _ id: HeaderID) -> Int? {
        let field = message.index.first(id)
        guard field.count == 1, field.value.count > 0 else { return nil }
        var number = 0
        for place in field.value.start..<field.value.end {
            let digit = message.bytes[place] &- 0x30
            if digit > 9 { return nil }
            number = min(number * 10 + Int(digit), 0xFFFF)
        }
        return number
    }

    /// True for requests that make or refresh a dialog: they get our Record-Route (§16.6 step 4).
    package static func isRecordRouted(_ method: Method) -> Bool {
        switch method {
        case .invite, .subscribe, .refer, .notify, .unknown: true
        default: false
        }
    }
}
