import Configuration
import SharedState

extension RouteDraft {
    /// The route as the configuration has it.
    init(_ route: Route) {
        self.init()
        user = route.user
        domain = route.domain
        methods = route.methods
        sources = route.sources.map { ($0.address, $0.prefix) }
        hops = route.hops.map { hop in
            let transport: HopTransport =
                switch hop.transport {
                case .udp: .udp
                case .tcp: .tcp
                case .tls: .tls
                }
            return (hop.uri, hop.address, transport)
        }
        isRoundRobin = route.policy == .roundRobin
        deadTime = route.deadTime
    }
}
