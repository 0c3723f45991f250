import Platform
import Syntax

/// What the proxy core does with a request before it looks for targets: validation (RFC 3261 §16.3) and route
/// information (§16.4). A pure function of the message and of who we are.
package struct RequestRouting {
    /// What comes next.
    package enum Decision: Equatable {
        /// Answer with this status.
        case refuse(UInt16)
        /// The proxy itself is asked: no user, our address, no route left.
        case ours
        /// Look for the user's bindings.
        case lookUp
        /// To `nextHop`: the first route left, or the Request-URI.
        case forward
    }

    package private(set) var decision: Decision = .refuse(500)
    /// The Request-URI to go on with: the request's own, or the last Route where a strict router sent it
    /// (§16.4).
    package private(set) var requestURI = ByteRange.none
    package private(set) var uri = SIPURI()
    /// The URI that names the next hop.
    package private(set) var nextHop = SIPURI()
    /// Leading Route values that are taken off.
    package private(set) var routesToDrop = 0
    /// The next hop does not know loose routing (§16.6 step 6).
    package private(set) var isStrictNextHop = false
    /// The request came here by a Route that names us: it belongs to a dialog that we record-routed, or was
    /// sent through us on purpose.
    package private(set) var hadOurRoute = false
    /// True where the Request-URI is not the request's own.
    package private(set) var replacesURI = false

    package init(_ message: Message, _ identity: Identity) {
        decision = route(message, identity)
        // §16.3 step 3: a proxy must not pass it on; what is for us has arrived.
        let isForUs = decision == .ours || decision == .lookUp && message.method == .register
        switch decision {
        case .forward, .lookUp, .ours:
            if message.index.maxForwards == 0 && !isForUs { decision = .refuse(483) }
        case .refuse: break
        }
    }

    private mutating func route(_ message: Message, _ identity: Identity) -> Decision {
        let bytes = message.bytes
        requestURI = message.index.requestURI
        guard let parsed = SIPURI.parse(bytes, requestURI) else { return .refuse(400) }
        uri = parsed
        // §16.3 step 2. A tel: or sips: URI is a scheme that we cannot serve yet.
        if uri.scheme != .sip { return .refuse(416) }
        // §16.3 step 5: no option tag is known here.
        if message.index.has(.proxyRequire) { return .refuse(420) }

        var routes = message.values(.route)
        var first = routes.next()
        // §16.4: a strict router has put our Record-Route URI into the Request-URI, and the true one last.
        if first != nil, uri.user.isEmpty, identity.isListener(host: bytes.slice(uri.host), port: uri.port),
            uri.hasParameter("lr", bytes)
        {
            guard let last = lastRoute(message), let address = NameAddress.parse(bytes, last.range),
                let target = SIPURI.parse(bytes, address.uri), target.scheme == .sip
            else { return .refuse(400) }
            // Only the single Route value can be taken off its place; more need a rewritten line.
            if last.isFirst {
                requestURI = address.uri
                uri = target
                replacesURI = true
                routesToDrop = 1
                hadOurRoute = true
                first = nil
            } else {
                return .refuse(400)
            }
        } else if let value = first {
            guard let address = NameAddress.parse(bytes, value.range),
                let route = SIPURI.parse(bytes, address.uri)
            else { return .refuse(400) }
            if identity.isOurs(route, bytes) {
                routesToDrop = 1
                hadOurRoute = true
                first = routes.next()
            }
        }
        if let value = first {
            guard let address = NameAddress.parse(bytes, value.range),
                let route = SIPURI.parse(bytes, address.uri)
            else { return .refuse(400) }
            nextHop = route
            isStrictNextHop = !route.hasParameter("lr", bytes)
            return .forward
        }
        nextHop = uri
        if let maddr = uri.parameter(named: "maddr", bytes) {
            if !identity.isListener(host: bytes.slice(maddr), port: uri.port) { return .forward }
            // §16.4: with an maddr that is us it has arrived there; from here on as if there were none.
            nextHop.parameters = .none
        }
        guard identity.isOurs(uri, bytes) else { return .forward }
        return uri.user.isEmpty ? .ours : .lookUp
    }

    private func lastRoute(_ message: Message) -> (range: ByteRange, isFirst: Bool)? {
        var routes = message.values(.route)
        var count = 0
        var last = ByteRange.none
        while let value = routes.next() {
            last = value.range
            count += 1
        }
        return count == 0 ? nil : (last, count == 1)
    }

    /// The address of a next hop that is written as numbers (maddr first, §16.6 step 7 and RFC 3263 §4), or
    /// of "localhost"; nil for a name, or a transport that we do not speak.
    package static func address(of uri: SIPURI, _ bytes: Span<UInt8>) -> SocketAddress? {
        guard uri.scheme == .sip else { return nil }
        if let transport = uri.transport(bytes), transport != .udp { return nil }
        let port = uri.port == 0 ? 5060 : uri.port
        let host = uri.parameter(named: "maddr", bytes) ?? uri.host
        if let address = SocketAddress(host: bytes.slice(host), port: port) { return address }
        return bytes.matches(host, ignoringCase: "localhost")
            ? SocketAddress(ipv4: 0x7F00_0001, port: port) : nil
    }

    /// True for requests that make or refresh a dialog: they get our Record-Route (§16.6 step 4).
    package static func isRecordRouted(_ method: Method) -> Bool {
        switch method {
        case .invite, .subscribe, .refer, .notify, .unknown: true
        default: false
        }
    }
}
