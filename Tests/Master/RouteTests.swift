import Configuration
import SharedMemory
import SharedState
import Testing

@testable import Master

@Suite struct RouteTests {
    private func publish(_ text: String) throws -> RouteRegion {
        let memory = try Arena(name: "test", size: RouteRegion.bytes).memory
        let region = RouteRegion(memory: memory, at: 0)
        let configuration = try Configuration.parse(text: text, file: "f.toml").0
        let routes = configuration.routes.map { RouteDraft($0, listen: configuration.listen) }
        try #require(region.publish(routes))
        return region
    }

    private func string(_ region: RouteRegion, _ text: RouteText) -> String {
        let bytes = region.bytes(text)
        return String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
    }

    @Test func writesWhatWasRead() throws {
        let region = try publish(
            """
            [[route]]
            user = "+*"
            domain = "*.Example.org"
            method = "INVITE"
            source = "10.0.0.0/8"
            to = ["sip:192.0.2.1;transport=tls", "sip:gw.example.org;transport=tcp", "sip:localhost:5070"]
            policy = "round-robin"
            dead-time = 7
            """)
        try #require(region.count == 1)
        let entry = region.entry(0)
        #expect(string(region, entry.user) == "+*" && string(region, entry.domain) == "*.example.org")
        #expect(string(region, entry.methods) == "\u{6}INVITE")
        #expect(entry.isRoundRobin && entry.deadTime == 7)
        try #require(entry.sourceCount == 1 && entry.hopCount == 3)
        #expect(region.source(0, 0).network.text == "10.0.0.0:0" && region.source(0, 0).prefix == 8)
        let hops = (0..<3).map { region.hop(0, $0) }
        #expect(hops.map(\.address.text) == ["192.0.2.1:5061", "none", "127.0.0.1:5070"])
        #expect(hops.map(\.transport) == [.tls, .tcp, .udp])
        #expect(hops.map(\.isReachable) == [false, true, true])
        #expect(
            hops.map { string(region, $0.uri) } == [
                "sip:192.0.2.1;transport=tls", "sip:gw.example.org;transport=tcp", "sip:localhost:5070",
            ])
    }

    /// An address by a listener of its transport and family, a name by one of its transport, or by any where
    /// it names none.
    @Test(arguments: [
        ("udp:0.0.0.0", "sip:192.0.2.1 sip:gw sip:gw;transport=udp"),
        ("udp:[::]", "sip:[2001:db8::1] sip:gw sip:gw;transport=udp"),
        ("tcp:0.0.0.0", "sip:192.0.2.1;transport=tcp sip:gw sip:gw;transport=tcp"),
        ("tcp:[::]", "sip:gw sip:gw;transport=tcp"),
    ])
    func tellsWhatCanBeReached(listen: String, expected: String) throws {
        let hops = [
            "sip:192.0.2.1", "sip:[2001:db8::1]", "sip:192.0.2.1;transport=tcp", "sip:gw",
            "sip:gw;transport=udp", "sip:gw;transport=tcp", "sip:gw;transport=tls",
        ]
        let to = hops.map { "\"\($0)\"" }.joined(separator: ",")
        let region = try publish("[[route]]\nto = [\(to)]\n[server]\nlisten = [\"\(listen)\"]")
        let reachable = hops.indices.filter { region.hop(0, $0).isReachable }.map { hops[$0] }
        #expect(reachable.joined(separator: " ") == expected)
    }

    /// What the configuration accepts fits the shared memory, with the same limits.
    @Test func holdsAllThatIsAccepted() throws {
        #expect(Route.most == RouteRegion.maximumRoutes && Route.mostHops == RouteRegion.maximumHops)
        #expect(Route.mostSources == RouteRegion.maximumSources)
        #expect(Route.mostMethods == RouteRegion.maximumMethods)
        #expect(Route.longestMethod == RouteRegion.maximumMethod)
        #expect(Route.longestPattern == RouteRegion.maximumPattern)
        func list(_ element: String, _ count: Int) -> String {
            "[" + Array(repeating: "\"\(element)\"", count: count).joined(separator: ",") + "]"
        }
        let name = Array(repeating: "abcdefg", count: 16).joined(separator: ".")
        let uri = "sip:\(name):65535;transport=udp"
        #expect(uri.utf8.count <= RouteRegion.maximumURI)
        let pattern = String(repeating: "a", count: Route.longestPattern)
        let region = try publish(
            String(
                repeating: """
                    [[route]]
                    user = "\(pattern)"
                    domain = "\(pattern)"
                    method = \(list(String(repeating: "A", count: Route.longestMethod), Route.mostMethods))
                    source = \(list("2001:db8::/32", Route.mostSources))
                    to = \(list(uri, Route.mostHops))

                    """, count: Route.most))
        #expect(region.count == Route.most)
        #expect(string(region, region.hop(Route.most - 1, Route.mostHops - 1).uri) == uri)
    }
}
