import Configuration
import Platform
import Testing

@Suite("sipfork.toml: what is accepted")
struct ConfigurationTests {
    @Test("an empty file means the defaults of design §7")
    func defaults() throws {
        let configuration = try accepted("")
        #expect(configuration == .defaults)
        #expect(configuration.domains == [])
        #expect(configuration.listen.map(\.text) == ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"])
        #expect(configuration.mode == .stateful)
        #expect(configuration.workers == 0)
        #expect(configuration.recordRoute)
        #expect(configuration.maxTransactions == 1_048_576)
        #expect(configuration.maxBindings == 1_048_576)
        #expect(configuration.maxDelay == 400)
        #expect(configuration.gather == 4)
        #expect(configuration.advertise == [])
        #expect([configuration.t1, configuration.t2, configuration.t4] == [500, 4000, 5000])
        #expect(configuration.c == 185_000)
        #expect(configuration.order == .parallel)
        #expect(configuration.maxBreadth == 60)
        #expect(!configuration.recurse)
        #expect(configuration.registrarEnabled)
        #expect(
            [configuration.minExpires, configuration.defaultExpires, configuration.maxExpires] == [
                60, 3600, 7200,
            ])
        #expect(configuration.maxContacts == 10)
        #expect(configuration.store == .sqlite)
        #expect(configuration.relayFrom.map(\.text) == ["127.0.0.0/8", "::1/128"])
        #expect([configuration.tcpMaxConnections, configuration.tcpMaxConnectionsPerPeer] == [16_384, 1024])
        #expect([configuration.tcpIdleTimeout, configuration.tcpMessageTimeout] == [3900, 30])
        #expect(configuration.tcpConnectTimeout == 4000)
        #expect(
            [configuration.tcpMaxMessage, configuration.tcpMaxHeader, configuration.tcpMaxQueue] == [
                65_535, 16_384, 262_144,
            ])
        #expect(configuration.nameServers == [])
        #expect([configuration.resolverTimeout, configuration.candidateTimeout] == [2000, 4000])
        #expect(configuration.candidateDeadTime == 30)
        #expect(configuration.routes == [])
        #expect(configuration.logLevel == .info)
        #expect(configuration.logCalls == .failed)
    }

    @Test(
        "the default that the table of keys shows is the default",
        arguments: ConfigurationKey.all.filter { !$0.isRequired }.map(\.name))
    func shownDefault(name: String) throws {
        let key = try #require(ConfigurationKey.all.first { $0.name == name })
        let shown = try accepted(file(name, key.defaultText))
        if key.section == ConfigurationKey.routeSection {
            #expect(shown == (try accepted("[[route]]\nto = [\"sip:192.0.2.20\"]")))
        } else {
            #expect(shown == .defaults)
        }
    }

    @Test("every key reaches its property")
    func everyKey() throws {
        let configuration = try accepted(everyKeyChanged)
        var expected = Configuration.defaults
        expected.domains = ["example.org", "a-1.example.net"]
        let texts = [
            "udp:0.0.0.0:5070", "udp:[2001:db8::1]:5060", "tcp:0.0.0.0:5070", "tcp:[2001:db8::1]:5060",
        ]
        expected.listen = texts.map { Listener(specification: $0)! }
        expected.mode = .stateless
        expected.workers = 3
        expected.recordRoute = false
        expected.maxTransactions = 64
        expected.maxBindings = 100
        expected.maxDelay = 250
        expected.gather = 0
        expected.advertise = ["udp:203.0.113.5:5060", "tcp:203.0.113.5:5080"].map {
            Listener(specification: $0)!
        }
        (expected.t1, expected.t2, expected.t4, expected.c) = (50, 400, 501, 180_001)
        expected.order = .qValue
        expected.maxBreadth = 7
        expected.maxPasses = 3
        expected.recurse = true
        expected.registrarEnabled = false
        (expected.minExpires, expected.defaultExpires, expected.maxExpires) = (10, 20, 30)
        expected.maxContacts = 3
        expected.store = .memory
        expected.relayFrom = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map {
            Network(specification: $0)!
        }
        (expected.tcpMaxConnections, expected.tcpMaxConnectionsPerPeer) = (10, 2)
        (expected.tcpIdleTimeout, expected.tcpMessageTimeout, expected.tcpConnectTimeout) = (60, 5, 250)
        (expected.tcpMaxMessage, expected.tcpMaxHeader, expected.tcpMaxQueue) = (20_000, 4000, 70_000)
        expected.nameServers = [
            SocketAddress(host: "192.0.2.53", port: 53)!, SocketAddress(host: "127.0.0.1", port: 5353)!,
            SocketAddress(host: "2001:db8::53", port: 54)!, SocketAddress(host: "2001:db8::54", port: 53)!,
        ]
        (expected.resolverTimeout, expected.candidateTimeout, expected.candidateDeadTime) = (300, 600, 0)
        expected.logLevel = .debug
        expected.logCalls = .all
        #expect(configuration == expected)
    }

    @Test("the listener's advertised address is the one of its transport and family")
    func advertised() throws {
        let configuration = try accepted(
            """
            [server]
            listen = ["udp:0.0.0.0:5060", "udp:[::1]:5060", "tcp:0.0.0.0:5060", "tcp:[::1]:5060"]
            advertise = ["udp:203.0.113.5:5080", "tcp:[2001:db8::5]:5090"]
            """)
        #expect(
            configuration.listen.map { configuration.advertised(for: $0).text } == [
                "udp:203.0.113.5:5080", "udp:[::1]:5060", "tcp:0.0.0.0:5060", "tcp:[2001:db8::5]:5090",
            ])
    }

    @Test("one address and port by both transports are two listeners")
    func bothTransports() throws {
        let listen = try accepted(file("server.listen", "[\"tcp:192.0.2.1\", \"udp:192.0.2.1:5060\"]")).listen
        #expect(listen.map(\.text) == ["tcp:192.0.2.1:5060", "udp:192.0.2.1:5060"])
        #expect(listen.map(\.transport) == [.tcp, .udp])
    }

    @Test("the command line replaces domains and listeners, and nothing where it says nothing")
    func overriding() throws {
        var configuration = try accepted(file("server.domains", "[\"example.org\"]"))
        try configuration.override(domains: [], listen: ["udp:[::1]"])
        #expect(configuration.domains == ["example.org"])
        #expect(configuration.listen.map(\.text) == ["udp:[::1]:5060"])
        try configuration.override(domains: ["LOCALHOST"], listen: ["tcp:[::1]:5070"])
        #expect(configuration.domains == ["localhost"])
        #expect(configuration.listen.map(\.text) == ["tcp:[::1]:5070"])
    }

    @Test("each wrong option of the command line is reported")
    func wrongOptions() throws {
        var configuration = Configuration.defaults
        let error = #expect(throws: ConfigurationError.self) {
            try configuration.override(domains: ["a b"], listen: ["tls:127.0.0.1:5061"])
        }
        #expect(
            error?.description == """
                --domain: expected a host name, found "a b"
                --listen: expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT, found "tls:127.0.0.1:5061"
                """)
        #expect(configuration == .defaults)
    }

    @Test("a timer C of three minutes or less is accepted with a warning, RFC 3261 §16.6")
    func shortTimerC() throws {
        #expect(
            try warnings(file("timers.c", "180000")) == [
                "f.toml:2:5: timers.c: RFC 3261 section 16.6 wants more than 180000 (three minutes), found 180000"
            ])
        #expect(try warnings(file("timers.c", "180001")) == [])
    }

    @Test("an advertised address without a listener is accepted with a warning")
    func uselessAdvertise() throws {
        #expect(
            try warnings(file("server.advertise", "[\"udp:[2001:db8::1]:5060\"]")) == [
                "f.toml:2:13: server.advertise: no listener has the transport and address family of "
                    + "\"udp:[2001:db8::1]:5060\""
            ])
        #expect(
            try warnings("[server]\nlisten = [\"udp:192.0.2.1\"]\nadvertise = [\"tcp:192.0.2.1\"]") == [
                "f.toml:3:13: server.advertise: no listener has the transport and address family of "
                    + "\"tcp:192.0.2.1:5060\""
            ])
    }
}
