import Configuration
import SharedState

extension Configuration {
    /// The routes as they are published.
    var drafts: [RouteDraft] { routes.map { RouteDraft($0, listen: listen) } }
}

extension RouteDraft {
    /// The route as the configuration has it; `listen` is what can be sent from.
    init(_ route: Route, listen: [Listener]) {
        self.init()
        user = route.user
        domain = route.domain
        methods = route.methods
        sources = route.sources.map { ($0.address, $0.prefix) }
        hops = route.hops.map { hop in
            Hop(
                uri: hop.uri, address: hop.address, transport: hop.transport,
                isReachable: hop.isReachable(from: listen))
        }
        isRoundRobin = route.policy == .roundRobin
        deadTime = route.deadTime
    }
}
