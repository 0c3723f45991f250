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
        #expect(configuration.listen.map(\.text) == ["udp:127.0.0.1:5060"])
        #expect(configuration.workers == 0)
        #expect(configuration.recordRoute)
        #expect(configuration.maxTransactions == 1_048_576)
        #expect(configuration.maxBindings == 1_048_576)
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
        let configuration = try accepted(
            """
            [server]
            domains = ["Example.ORG", "a-1.example.net"]
            listen = ["udp:0.0.0.0:5070", "udp:[2001:DB8::1]"]
            mode = "stateful"
            workers = 3
            record-route = false
            max-transactions = 64
            max-bindings = 100
            advertise = ["udp:203.0.113.5:5060"]
            [timers]
            t1 = 50
            t2 = 400
            t4 = 501
            c = 180001
            [forking]
            order = "q-value"
            max-breadth = 7
            recurse = true
            [registrar]
            enabled = false
            min-expires = 10
            default-expires = 20
            max-expires = 30
            max-contacts = 3
            store = "memory"
            [access]
            relay-from = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
            [log]
            level = "debug"
            calls = "all"
            """)
        var expected = Configuration.defaults
        expected.domains = ["example.org", "a-1.example.net"]
        expected.listen = ["udp:0.0.0.0:5070", "udp:[2001:db8::1]:5060"].map { Listener(specification: $0)! }
        expected.workers = 3
        expected.recordRoute = false
        expected.maxTransactions = 64
        expected.maxBindings = 100
        expected.advertise = [Listener(specification: "udp:203.0.113.5:5060")!]
        (expected.t1, expected.t2, expected.t4, expected.c) = (50, 400, 501, 180_001)
        expected.order = .qValue
        expected.maxBreadth = 7
        expected.recurse = true
        expected.registrarEnabled = false
        (expected.minExpires, expected.defaultExpires, expected.maxExpires) = (10, 20, 30)
        expected.maxContacts = 3
        expected.store = .memory
        expected.relayFrom = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map {
            Network(specification: $0)!
        }
        expected.logLevel = .debug
        expected.logCalls = .all
        #expect(configuration == expected)
    }

    @Test("the listener's advertised address is the one of its transport and family")
    func advertised() throws {
        let configuration = try accepted(
            """
            [server]
            listen = ["udp:0.0.0.0:5060", "udp:[::1]:5060"]
            advertise = ["udp:203.0.113.5:5080"]
            """)
        #expect(configuration.advertised(for: configuration.listen[0]).text == "udp:203.0.113.5:5080")
        #expect(configuration.advertised(for: configuration.listen[1]).text == "udp:[::1]:5060")
    }

    @Test("the command line replaces domains and listeners, and nothing where it says nothing")
    func overriding() throws {
        var configuration = try accepted(file("server.domains", "[\"example.org\"]"))
        try configuration.override(domains: [], listen: ["udp:[::1]"])
        #expect(configuration.domains == ["example.org"])
        #expect(configuration.listen.map(\.text) == ["udp:[::1]:5060"])
        try configuration.override(domains: ["LOCALHOST"], listen: [])
        #expect(configuration.domains == ["localhost"])
    }

    @Test("each wrong option of the command line is reported")
    func wrongOptions() throws {
        var configuration = Configuration.defaults
        let error = #expect(throws: ConfigurationError.self) {
            try configuration.override(domains: ["a b"], listen: ["tcp:127.0.0.1:5060"])
        }
        #expect(
            error?.description == """
                --domain: expected a host name, found "a b"
                --listen: expected udp:ADDRESS:PORT, found "tcp:127.0.0.1:5060"
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
    }
}
