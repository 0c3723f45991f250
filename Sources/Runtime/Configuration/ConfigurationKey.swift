import Platform

/// One key of `sipfork.toml`: its name, its default as TOML text, what it is for, and the rule that its value
/// follows.
///
/// The list below is the only place that knows the keys: parsing walks it, and a test holds it against the
/// manual page.
package struct ConfigurationKey: Sendable {
    package let name: String
    package let defaultText: String
    package let documentation: String
    /// A reload leaves it as it was: it says how the shared memory is laid out.
    package let waitsForStart: Bool
    let rule: Rule

    /// What a value must be, and where it goes.
    enum Rule: Sendable {
        typealias Target<Value> = WritableKeyPath<Configuration, Value> & Sendable

        case integer(ClosedRange<Int>, Target<Int>)
        case boolean(Target<Bool>)
        case domains(atMost: Int, Target<[String]>)
        case listeners(ClosedRange<Int>, Target<[Listener]>)
        case nameServers(atMost: Int, Target<[SocketAddress]>)
        case mode(Target<ProxyMode>)
        case networks(atMost: Int, Target<[Network]>)
        case order(Target<ForkingOrder>)
        case store(Target<BindingStore>)
        case level(Target<LogLevel>)
        case calls(Target<CallLog>)
        case userPattern(Target<String>)
        case domainPattern(Target<String>)
        /// One, or an array of them.
        case methods(atMost: Int, Target<[String]>)
        case sources(atMost: Int, Target<[Network]>)
        case hops(ClosedRange<Int>, Target<[Route.Hop]>)
        case policy(Target<Route.Policy>)
    }

    init(
        _ name: String, _ defaultText: String, _ rule: Rule, _ documentation: String,
        waitsForStart: Bool = false
    ) {
        self.name = name
        self.waitsForStart = waitsForStart
        self.defaultText = defaultText
        self.rule = rule
        self.documentation = documentation
    }

    /// `server` of `server.domains`.
    package var section: String { String(name.prefix { $0 != "." }) }

    /// `domains` of `server.domains`.
    package var leaf: String { String(name.drop { $0 != "." }.dropFirst()) }

    /// The section that is an array of tables, `[[route]]`; its keys fill a route, not the configuration.
    package static let routeSection = "route"

    /// Without a default: must be given in each table.
    package var isRequired: Bool { defaultText.isEmpty }

    /// The keys in the order of the manual page.
    package static let all: [ConfigurationKey] = [
        .init(
            "server.domains", "[]", .domains(atMost: 64, \.domains),
            "Host names whose addresses of record are ours; the listening addresses always are."),
        .init(
            "server.listen", "[\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\"]", .listeners(1...16, \.listen),
            "Where SIP is received, each as udp:ADDRESS:PORT or tcp:ADDRESS:PORT."),
        .init(
            "server.mode", "\"stateful\"", .mode(\.mode),
            "Whether requests are forwarded with transactions or without.", waitsForStart: true),
        .init(
            "server.workers", "0", .integer(0...64, \.workers),
            "Worker processes; 0 means one per processor, at least two.", waitsForStart: true),
        .init(
            "server.record-route", "true", .boolean(\.recordRoute),
            "Whether the proxy stays in the path of a call by Record-Route."),
        .init(
            "server.max-transactions", "1048576", .integer(64...16_777_216, \.maxTransactions),
            "Server transactions alive at once, over all workers.", waitsForStart: true),
        .init(
            "server.max-bindings", "1048576", .integer(64...16_777_216, \.maxBindings),
            "Registered contacts, over all addresses of record.", waitsForStart: true),
        .init(
            "server.max-delay", "400", .integer(10...60_000, \.maxDelay),
            "Milliseconds that requests may wait for a worker; while it is more, new ones get 503."),
        .init(
            "server.gather", "4", .integer(0...10, \.gather),
            "Milliseconds for which messages may be gathered while many come; 0 means never."),
        .init(
            "server.advertise", "[]", .listeners(0...16, \.advertise),
            "What Via and Record-Route say for a wildcard or translated listener."),

        .init(
            "timers.t1", "500", .integer(10...60_000, \.t1),
            "Estimated round trip in milliseconds, RFC 3261 section 17."),
        .init(
            "timers.t2", "4000", .integer(10...60_000, \.t2),
            "Longest interval between retransmissions in milliseconds, RFC 3261 section 17."),
        .init(
            "timers.t4", "5000", .integer(10...60_000, \.t4),
            "How long a message may stay in the network, in milliseconds, RFC 3261 section 17."),
        .init(
            "timers.c", "185000", .integer(100...86_400_000, \.c),
            "How long an INVITE may ring, in milliseconds, RFC 3261 section 16.6."),

        .init(
            "forking.order", "\"parallel\"", .order(\.order),
            "In which order contacts are tried: all at once, or by their q."),
        .init(
            "forking.max-breadth", "60", .integer(1...64, \.maxBreadth),
            "Forks of one request, RFC 5393."),
        .init(
            "forking.max-passes", "4", .integer(1...16, \.maxPasses),
            "Passes through this proxy after which a request is not forked again."),
        .init(
            "forking.recurse", "false", .boolean(\.recurse),
            "Whether the contacts of a 3xx response are tried by the proxy itself."),

        .init(
            "registrar.enabled", "true", .boolean(\.registrarEnabled),
            "Whether REGISTER is accepted for our domains."),
        .init(
            "registrar.min-expires", "60", .integer(1...3600, \.minExpires),
            "Shortest registration in seconds; shorter ones get 423."),
        .init(
            "registrar.default-expires", "3600", .integer(1...604_800, \.defaultExpires),
            "Seconds of a registration that names no expiry."),
        .init(
            "registrar.max-expires", "7200", .integer(1...604_800, \.maxExpires),
            "Longest registration in seconds; longer ones are shortened."),
        .init(
            "registrar.max-contacts", "10", .integer(1...255, \.maxContacts),
            "Contacts of one address of record."),
        .init(
            "registrar.store", "\"sqlite\"", .store(\.store),
            "Where bindings survive a restart.", waitsForStart: true),

        .init(
            "access.relay-from", "[\"127.0.0.0/8\", \"::1/128\"]", .networks(atMost: 32, \.relayFrom),
            "Who may reach domains that are not ours; the rest get 403."),

        .init(
            "tcp.max-connections", "16384", .integer(1...1_000_000, \.tcpMaxConnections),
            "TCP connections open at once."),
        .init(
            "tcp.max-connections-per-peer", "1024", .integer(1...1_000_000, \.tcpMaxConnectionsPerPeer),
            "TCP connections open at once from one address."),
        .init(
            "tcp.idle-timeout", "3900", .integer(1...86_400, \.tcpIdleTimeout),
            "Seconds after which a connection that carries nothing is closed."),
        .init(
            "tcp.message-timeout", "30", .integer(1...3600, \.tcpMessageTimeout),
            "Seconds within which a message that has begun must be complete."),
        .init(
            "tcp.connect-timeout", "4000", .integer(10...60_000, \.tcpConnectTimeout),
            "Milliseconds within which a peer must accept a connection."),
        .init(
            "tcp.max-message", "65535", .integer(1024...65_535, \.tcpMaxMessage),
            "Longest message on a connection in bytes."),
        .init(
            "tcp.max-header", "16384", .integer(1024...65_535, \.tcpMaxHeader),
            "Longest header on a connection in bytes, start line included."),
        .init(
            "tcp.max-queue", "262144", .integer(65_536...67_108_864, \.tcpMaxQueue),
            "Bytes that wait for a peer that does not read."),

        .init(
            "resolver.servers", "[]", .nameServers(atMost: 8, \.nameServers),
            "Name servers; without any, those of the system."),
        .init(
            "resolver.timeout", "2000", .integer(50...30_000, \.resolverTimeout),
            "Milliseconds that a name server may take; each question is sent twice."),
        .init(
            "resolver.candidate-timeout", "4000", .integer(50...64_000, \.candidateTimeout),
            "Milliseconds after which a next hop that is silent is left for the next candidate."),
        .init(
            "resolver.dead-time", "30", .integer(0...86_400, \.candidateDeadTime),
            "Seconds for which a candidate that failed is tried last."),

        .init(
            "route.user", "\"*\"", .userPattern(\.lastRoute.user),
            "Pattern of the Request-URI's user part."),
        .init(
            "route.domain", "\"*\"", .domainPattern(\.lastRoute.domain),
            "Pattern of the Request-URI's host."),
        .init(
            "route.method", "[]", .methods(atMost: Route.mostMethods, \.lastRoute.methods),
            "Methods that the route takes; without any, all that make no registration."),
        .init(
            "route.source", "[]", .sources(atMost: Route.mostSources, \.lastRoute.sources),
            "Networks whose requests the route takes, and whose hosts may use it."),
        .init(
            "route.to", "", .hops(1...Route.mostHops, \.lastRoute.hops),
            "The next hops, each as sip:HOST:PORT."),
        .init(
            "route.policy", "\"failover\"", .policy(\.lastRoute.policy),
            "Which next hop is the first: always the same, or each in its turn."),
        .init(
            "route.dead-time", "30", .integer(0...86_400, \.lastRoute.deadTime),
            "Seconds for which a next hop that failed is skipped."),

        .init(
            "log.level", "\"info\"", .level(\.logLevel),
            "The least important entries that are still written."),
        .init(
            "log.calls", "\"failed\"", .calls(\.logCalls),
            "Which calls get an entry when they end."),
    ]

    /// The tables of the file, in the order of the manual page.
    package static let sections: [String] = all.reduce(into: []) { list, key in
        if !list.contains(key.section) { list.append(key.section) }
    }

    /// What a value of this key must be, for the manual and for diagnostics: "an integer from 0 to 64".
    package var expectation: String {
        switch rule {
        case .integer(let range, _): "an integer from \(range.lowerBound) to \(range.upperBound)"
        case .boolean: "true or false"
        case .domains: "an array of host names"
        case .listeners: "an array of udp:ADDRESS:PORT or tcp:ADDRESS:PORT"
        case .nameServers: "an array of ADDRESS or ADDRESS:PORT"
        case .mode: choices(ProxyMode.self)
        case .networks: "an array of networks such as \"192.0.2.0/24\""
        case .order: choices(ForkingOrder.self)
        case .store: choices(BindingStore.self)
        case .level: choices(LogLevel.self)
        case .calls: choices(CallLog.self)
        case .userPattern: "a pattern of a user part such as \"+49*\""
        case .domainPattern: "a pattern of a host such as \"*.example.org\""
        case .methods: "a method such as \"INVITE\", or an array of them"
        case .sources: "a network such as \"192.0.2.0/24\", or an array of them"
        case .hops: "an array of sip:HOST:PORT"
        case .policy: choices(Route.Policy.self)
        }
    }
}

/// `"none", "failed" or "all"`.
private func choices<Choice: RawRepresentable<String> & CaseIterable>(_: Choice.Type) -> String {
    let names = Choice.allCases.map { quoted($0.rawValue) }
    return names.dropLast().joined(separator: ", ") + " or " + names.last!
}
