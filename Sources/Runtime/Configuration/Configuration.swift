import Platform

/// What the operator can set: the keys of `sipfork.toml`, checked, with their defaults.
///
/// `ConfigurationKey.all` says which key fills which property, within which bounds; `sipfork.toml(5)`
/// explains them.
package struct Configuration: Equatable, Sendable {
    // [server]
    /// Host names whose addresses of record are ours, in lower case.
    package var domains: [String] = []
    package var listen = [
        Listener(.udp, SocketAddress(ipv4: 0x7F00_0001, port: 5060)),
        Listener(.tcp, SocketAddress(ipv4: 0x7F00_0001, port: 5060)),
    ]
    package var mode = ProxyMode.stateful
    /// 0: one per processor, at least two.
    package var workers = 0
    package var recordRoute = true
    package var maxTransactions = 1_048_576
    package var maxBindings = 1_048_576
    /// Milliseconds.
    package var maxDelay = 400
    package var gather = 4
    /// What Via and Record-Route say instead of the listener of the same transport and family.
    package var advertise: [Listener] = []

    // [timers], milliseconds
    package var t1 = 500
    package var t2 = 4000
    package var t4 = 5000
    package var c = 185_000

    // [forking]
    package var order = ForkingOrder.parallel
    package var maxBreadth = 60
    /// Whether the contacts of a 3xx are tried, RFC 3261 §16.7 step 4.
    package var recurse = false
    package var maxPasses = 4

    // [registrar], seconds
    package var registrarEnabled = true
    package var minExpires = 60
    package var defaultExpires = 3600
    package var maxExpires = 7200
    package var maxContacts = 10
    package var store = BindingStore.sqlite

    // [access]
    /// Who may send requests to domains that are not ours.
    package var relayFrom = [Network(ipv4: 0x7F00_0000, prefix: 8), Network.ipv6Loopback]

    // [tcp]
    package var tcpMaxConnections = 16_384
    package var tcpMaxConnectionsPerPeer = 1024
    /// Seconds.
    package var tcpIdleTimeout = 3900
    package var tcpMessageTimeout = 30
    /// Milliseconds.
    package var tcpConnectTimeout = 4000
    /// Bytes.
    package var tcpMaxMessage = 65_535
    package var tcpMaxHeader = 16_384
    package var tcpMaxQueue = 262_144

    // [resolver]
    /// Name servers with their ports; empty: the system's.
    package var nameServers: [SocketAddress] = []
    /// Milliseconds.
    package var resolverTimeout = 2000
    package var candidateTimeout = 4000
    /// Seconds.
    package var candidateDeadTime = 30

    // [[route]]
    /// In the order in which they are looked at.
    package var routes: [Route] = []
    /// The route that is being read: what the keys of `[[route]]` fill.
    var lastRoute: Route {
        get { routes[routes.count - 1] }
        set { routes[routes.count - 1] = newValue }
    }

    // [log]
    package var logLevel = LogLevel.info
    package var logCalls = CallLog.failed

    private init() {}

    package static let defaults = Configuration()

    /// Where the installed daemon looks.
    package static let defaultPath = "/etc/sipfork/sipfork.toml"

    /// What others are to be told instead of `listener`: the advertised address, or the listener's own.
    package func advertised(for listener: Listener) -> Listener {
        advertise.first { $0.serves(listener) } ?? listener
    }
}

/// `server.mode`: whether requests are forwarded with or without transactions.
package enum ProxyMode: String, CaseIterable, Sendable {
    case stateful, stateless
}

/// `forking.order`: in which order the contacts of a user are tried.
package enum ForkingOrder: String, CaseIterable, Sendable {
    case parallel
    /// Highest q first, equal q at once.
    case qValue = "q-value"
}

/// `registrar.store`: where bindings survive a restart.
package enum BindingStore: String, CaseIterable, Sendable {
    case sqlite, memory
}

/// `log.level`: the least important entries that are still written. Raw values of `priority` are those of
/// syslog(3).
package enum LogLevel: String, CaseIterable, Sendable {
    case error, warning, notice, info, debug

    package var priority: Int {
        switch self {
        case .error: 3
        case .warning: 4
        case .notice: 5
        case .info: 6
        case .debug: 7
        }
    }
}

/// `log.calls`: which calls get an entry when they end.
package enum CallLog: String, CaseIterable, Sendable {
    case none, failed, all
}
