import Platform
import SharedState

/// Where a name leads (RFC 3263 §4.1, §4.2), as a machine without network and clock: lookups out, replies in.
///
///     naptr ───► NAPTR of the name ──rules──► SRV of each ─────────┐
///                  │ none                                          │
///     srvX ──────► └─► SRV of _sip._udp and _sip._tcp ──servers──► AAAA and A of each ──► candidates
///                        │ none                                    │
///     address ─────────► └─► the name itself, port 5060 ───────────┘
///
/// What a stage asks it asks at once, and goes on when all is answered. A stage that nobody answers ends it;
/// one that a server cannot tell counts as empty, but the outcome is not kept for long then.
struct Resolution {
    /// A question to the name servers; `number` comes back with the reply.
    struct Lookup: Equatable {
        let number: Int
        let type: DNSType
        let name: String
    }

    /// What we can send by: anything else need not be asked for.
    struct Reach {
        var udp = true
        var tcp = true
        var ipv4 = true
        var ipv6 = true

        func has(_ transport: SIPTransport) -> Bool {
            switch transport {
            case .udp: udp
            case .tcp: tcp
            case .tls: false
            }
        }
    }

    /// NAPTR records that are followed, and addresses that are taken of one name in one family.
    static let maximumRules = 16
    static let maximumAddresses = 16
    static let defaultPort: UInt16 = 5060

    /// A set of SRV records.
    private struct Service {
        let name: String
        let transport: SIPTransport
        /// Position among those that are preferred to one another.
        let group: Int
    }

    /// One SRV record, or the name itself.
    struct Server {
        let group: Int
        let priority: UInt16
        let weight: UInt16
        let transport: SIPTransport
        let port: UInt16
        let target: Int
    }

    /// A name whose addresses are asked for; several servers may share it.
    struct Target {
        let name: String
        var addresses: [SocketAddress] = []
    }

    private enum Step {
        case rules
        case service(Service)
        case address(target: Int)
    }

    private let kind: DNSQuestion.Kind
    private let host: String
    let reach: Reach
    private let hosts: LocalHosts
    private var open: [Int: Step] = [:]
    private var lookups = 0
    private var isAskingAddresses = false
    private var rules: [(order: UInt16, preference: UInt16, service: String, transport: SIPTransport)] = []
    /// The transports of the name itself, the preferred first, where no SRV record says more.
    private var transports: [SIPTransport]
    private var records: [(server: Server, target: String)] = []
    /// SRV records were there: the name itself is then none of the servers (RFC 2782).
    private var hasRecords = false
    private var isSilent = false
    private(set) var hasFailed = false
    private(set) var ttl = UInt32.max
    private(set) var servers: [Server] = []
    private(set) var targets: [Target] = []

    init(_ kind: DNSQuestion.Kind, _ host: String, reach: Reach, hosts: LocalHosts) {
        self.kind = kind
        // A name may end with a dot (RFC 1034 §3.1); records of it do not.
        self.host = (host.hasSuffix(".") ? String(host.dropLast()) : host).lowercased()
        self.reach = reach
        self.hosts = hosts
        transports = [kind == .srvTCP || !reach.udp ? .tcp : .udp]
    }

    /// Nothing is asked that has not been answered.
    var isDone: Bool { open.isEmpty }

    /// The first lookups; none where the name leads somewhere without.
    mutating func begin() -> [Lookup] {
        if kind == .address || hosts.find(host) != nil { return askItself() }
        switch kind {
        case .naptr: return ask(.naptr, host, .rules).map { [$0] } ?? askItself()
        case .srvTCP: return askServices([Service(name: "_sip._tcp." + host, transport: .tcp, group: 0)])
        default: return askServices([Service(name: "_sip._udp." + host, transport: .udp, group: 0)])
        }
    }

    /// The reply to a lookup; what is to be asked next.
    mutating func take(_ reply: DNSReply, of number: Int) -> [Lookup] {
        guard let step = open.removeValue(forKey: number) else { return [] }
        switch reply {
        case .found(let found, let seconds):
            ttl = min(ttl, seconds)
            for record in found { add(record, step) }
            if case .service = step { hasRecords = true }
            trim()
        case .none(let seconds): ttl = min(ttl, seconds)
        case .failed: hasFailed = true
        case .silent:
            hasFailed = true
            isSilent = true
        }
        guard open.isEmpty, !isAskingAddresses else { return [] }
        if case .rules = step { return isSilent ? [] : askServices(services()) }
        if !records.isEmpty { return askTargets() }
        return hasRecords || isSilent ? [] : askItself()
    }

    /// Nobody waits any longer for what is still asked.
    mutating func giveUp() {
        if open.isEmpty { return }
        hasFailed = true
        open.removeAll()
    }

    // MARK: what replies say

    private mutating func add(_ record: DNSRecord, _ step: Step) {
        switch (record, step) {
        case (.rule(let order, let preference, "s", let services, let replacement), .rules):
            // RFC 3263 §4.1: what leads to transports that we have not is discarded.
            let transport: SIPTransport? =
                services == "sip+d2u" ? .udp : services == "sip+d2t" ? .tcp : nil
            guard let transport, reach.has(transport), !replacement.isEmpty else { return }
            rules.append((order, preference, replacement, transport))
        case (.service(let priority, let weight, let port, let target), .service(let service)):
            // RFC 2782: "." says that the service is not offered.
            if target.isEmpty { return }
            let server = Server(
                group: service.group, priority: priority, weight: weight, transport: service.transport,
                port: port, target: 0)
            records.append((server, target))
        case (.address(let address), .address(let target)):
            targets[target].addresses.append(address)
        default: break
        }
    }

    /// Keeps the best of what may be thousands of records. Their order is the same for the same records
    /// (RFC 3263 §4.4), in whatever order they have come.
    private mutating func trim() {
        rules.sort {
            ($0.order, $0.preference, $0.service) < ($1.order, $1.preference, $1.service)
        }
        rules.removeLast(max(rules.count - Resolution.maximumRules, 0))
        records.sort {
            let (left, right) = ($0.server, $1.server)
            if left.group != right.group { return left.group < right.group }
            if left.priority != right.priority { return left.priority < right.priority }
            if left.weight != right.weight { return left.weight > right.weight }
            return ($0.target, left.port) < ($1.target, right.port)
        }
        records.removeLast(max(records.count - maximumServers, 0))
    }

    /// Each has a candidate of each family, or may have.
    private var maximumServers: Int {
        reach.ipv4 && reach.ipv6 ? DNSAnswer.capacity / 2 : DNSAnswer.capacity
    }

    /// Where the rules lead; without rules, the name's own services. UDP goes first then, as for requests
    /// that may take either.
    private mutating func services() -> [Service] {
        if rules.isEmpty {
            let own = [
                Service(name: "_sip._udp." + host, transport: .udp, group: 0),
                Service(name: "_sip._tcp." + host, transport: .tcp, group: 1),
            ]
            return own.filter { reach.has($0.transport) }
        }
        transports = []
        var services: [Service] = []
        var group = 0
        for (index, rule) in rules.enumerated() {
            if index > 0,
                (rule.order, rule.preference) != (rules[index - 1].order, rules[index - 1].preference)
            {
                group += 1
            }
            services.append(Service(name: rule.service, transport: rule.transport, group: group))
            if !transports.contains(rule.transport) { transports.append(rule.transport) }
        }
        return services
    }

    // MARK: what is asked

    private mutating func ask(_ type: DNSType, _ name: String, _ step: Step) -> Lookup? {
        // With "_sip._udp." in front it may be longer than names are; and what strangers call a host need
        // not be one.
        guard name.utf8.count <= DNSQuestion.longestHost, DNSReader.isUsable(name) else { return nil }
        lookups += 1
        open[lookups] = step
        return Lookup(number: lookups, type: type, name: name)
    }

    private mutating func askServices(_ services: [Service]) -> [Lookup] {
        let asked = services.compactMap { ask(.srv, $0.name, .service($0)) }
        return asked.isEmpty ? askItself() : asked
    }

    /// RFC 3263 §4.2: no SRV records, or a port in the URI.
    private mutating func askItself() -> [Lookup] {
        records = transports.enumerated().map { group, transport in
            let server = Server(
                group: group, priority: 0, weight: 0, transport: transport,
                port: kind == .address ? 0 : Resolution.defaultPort, target: 0)
            return (server, host)
        }
        return askTargets()
    }

    private mutating func askTargets() -> [Lookup] {
        isAskingAddresses = true
        var asked: [Lookup] = []
        for (server, name) in records {
            let known = targets.firstIndex { $0.name == name }
            if known == nil { asked += askAddresses(name) }
            servers.append(
                Server(
                    group: server.group, priority: server.priority, weight: server.weight,
                    transport: server.transport, port: server.port, target: known ?? targets.count - 1))
        }
        records = []
        return asked
    }

    private mutating func askAddresses(_ name: String) -> [Lookup] {
        targets.append(Target(name: name))
        if let local = hosts.find(name) {
            targets[targets.count - 1].addresses = local.addresses
            ttl = min(ttl, local.ttl)
            return []
        }
        let step = Step.address(target: targets.count - 1)
        let types: [DNSType] = (reach.ipv6 ? [.aaaa] : []) + (reach.ipv4 ? [.a] : [])
        return types.compactMap { ask($0, name, step) }
    }
}
