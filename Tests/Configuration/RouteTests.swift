import Configuration
import Platform
import Testing

@Suite("sipfork.toml: [[route]]")
struct RouteTests {
    private let to = "to = [\"sip:192.0.2.20\"]"

    @Test("what may be left out has its default")
    func defaults() throws {
        let routes = try accepted("[[route]]\n\(to)").routes
        try #require(routes.count == 1)
        #expect(routes[0].user == "*" && routes[0].domain == "*")
        #expect(routes[0].methods == [] && routes[0].sources == [])
        #expect(routes[0].policy == .failover && routes[0].deadTime == 30)
        #expect(routes[0].hops.map(\.uri) == ["sip:192.0.2.20"])
    }

    @Test("every key reaches its property, in each of several tables")
    func everyKey() throws {
        let routes = try accepted(
            """
            [server]
            listen = ["udp:0.0.0.0", "udp:[::]"]
            [[route]]
            user = "+49*"
            domain = "*.Example.ORG"
            method = ["INVITE", "MESSAGE"]
            source = ["10.0.0.0/8", "2001:db8::/32"]
            to = ["sip:192.0.2.20:5070", "SIP:[2001:db8::20];transport=UDP"]
            policy = "round-robin"
            dead-time = 0

            [[route]]
            method = "REGISTER"
            source = "192.0.2.7"
            to = ["sip:localhost"]
            [log]
            level = "debug"
            """)
        #expect(routes.logLevel == .debug)
        try #require(routes.routes.count == 2)
        let (first, second) = (routes.routes[0], routes.routes[1])
        #expect(first.user == "+49*" && first.domain == "*.example.org")
        #expect(first.methods == ["INVITE", "MESSAGE"])
        #expect(first.sources.map(\.text) == ["10.0.0.0/8", "2001:db8::/32"])
        #expect(first.hops.map(\.address.text) == ["192.0.2.20:5070", "[2001:db8::20]:5060"])
        #expect(first.policy == .roundRobin && first.deadTime == 0)
        #expect(second.user == "*" && second.methods == ["REGISTER"] && second.deadTime == 30)
        #expect(second.sources.map(\.text) == ["192.0.2.7/32"])
        #expect(second.hops.map(\.address.text) == ["127.0.0.1:5060"])
    }

    @Test("the other way of TOML to write the same: an array of inline tables")
    func inline() throws {
        let routes = try accepted("route = [{ \(to), user = \"a\" }, { \(to) }]").routes
        #expect(routes.map(\.user) == ["a", "*"])
        #expect(try accepted("route = []").routes == [])
    }

    @Test(
        "next hops: names and addresses, by UDP and TCP",
        arguments: [
            ("sip:gw.example.net", .udp, "none", 5060),
            ("sip:GW-1.example.net:5070;transport=udp", .udp, "none", 5070),
            ("sip:gw.example.net;transport=tcp", .tcp, "none", 5060),
            ("sip:192.0.2.20", .udp, "192.0.2.20:5060", 5060),
            ("sip:192.0.2.20;transport=tcp", .tcp, "192.0.2.20:5060", 5060),
            ("sip:127.0.0.1:5070;transport=TCP", .tcp, "127.0.0.1:5070", 5070),
            ("sip:localhost;transport=tcp", .tcp, "127.0.0.1:5060", 5060),
        ] as [(String, SIPTransport, String, UInt16)])
    func hops(uri: String, transport: SIPTransport, address: String, port: UInt16) throws {
        let hop = try #require(try accepted(file("route.to", "[\"\(uri)\"]")).routes.first?.hops.first)
        #expect(hop.transport == transport && hop.address.text == address && hop.port == port)
        #expect(hop.uri == uri)
    }

    @Test(
        "a next hop that wants TLS is accepted with a warning",
        arguments: [
            ("sip:192.0.2.20;transport=tls", "192.0.2.20:5061", 5061), ("sip:gw;transport=TLS", "none", 5061),
            ("sip:[::1]:5070;transport=tls", "[::1]:5070", 5070),
        ] as [(String, String, UInt16)])
    func tls(uri: String, address: String, port: UInt16) throws {
        let text = "[[route]]\nto = [\"sip:192.0.2.1\", \"\(uri)\"]"
        #expect(
            try warnings(text) == [
                "f.toml:2:24: route.to: \"\(uri)\" is never reached: this version does not speak TLS"
            ])
        let hops = try Configuration.parse(text: text, file: "f.toml").0.routes[0].hops
        #expect(hops[1].address.text == address && hops[1].port == port && hops[1].uri == uri)
    }

    /// An address needs its transport and family, a name its transport only, and one without any transport
    /// any listener: what its records say is not known yet.
    @Test(
        "a next hop that no listener can send to is accepted with a warning",
        arguments: [
            ("sip:192.0.2.1", ["udp:0.0.0.0"], "transport and address family"),
            ("sip:[2001:db8::1]", ["udp:[::]"], "transport and address family"),
            ("sip:192.0.2.1;transport=tcp", ["tcp:0.0.0.0"], "transport and address family"),
            ("sip:[2001:db8::1];transport=tcp", ["tcp:[::]"], "transport and address family"),
            ("sip:gw;transport=udp", ["udp:0.0.0.0", "udp:[::]"], "transport"),
            ("sip:gw:5070;transport=tcp", ["tcp:0.0.0.0", "tcp:[::]"], "transport"),
            ("sip:gw", ["udp:0.0.0.0", "udp:[::]", "tcp:0.0.0.0", "tcp:[::]"], ""),
        ])
    func noListener(uri: String, enough: [String], lacking: String) throws {
        for listener in ["udp:0.0.0.0", "udp:[::]", "tcp:0.0.0.0", "tcp:[::]"] {
            let text = "[server]\nlisten = [\"\(listener)\"]\n[[route]]\nto = [\"\(uri)\"]"
            let expected =
                enough.contains(listener)
                ? [] : ["f.toml:4:7: route.to: no listener has the \(lacking) of \"\(uri)\""]
            #expect(try warnings(text) == expected, "\(listener)")
        }
    }

    @Test("a method in small letters is accepted with a warning")
    func lowerCase() throws {
        #expect(
            try warnings(file("route.method", "\"invite\"")) == [
                "f.toml:2:10: route.method: \"invite\" is another method than \"INVITE\""
            ])
    }

    @Test("a route without next hop, each where it begins")
    func missing() {
        let expected = "route.to: expected an array of sip:HOST:PORT, found none"
        #expect(
            refusals("[log]\n\n[[route]]\nuser = \"a\"\n[[route]]\n\(to)\n[[route]]\n")
                == ["f.toml:3:1: \(expected)", "f.toml:7:1: \(expected)"])
        #expect(
            refusals("[[route]]\nto = []") == ["f.toml:2:6: route.to: expected at least 1, found 0"])
    }

    @Test("what is no array of tables")
    func noTables() {
        let below = "route: expected tables, each below [[route]], found"
        #expect(refusals("[route]\n\(to)\nusr = 5") == ["f.toml:1:1: \(below) a table"])
        #expect(refusals("route = 5") == ["f.toml:1:9: \(below) an integer"])
        #expect(
            refusals("route = [5, { \(to) }]") == ["f.toml:1:10: route: expected a table, found an integer"])
        #expect(refusals("[[route]]\nuser = [[1]]\n\(to)").count == 1)
        #expect(refusals("[[route]]\nto = [{ user = 1 }]").count == 1)
        #expect(refusals("[[route]]\n\(to)\n[[route.hop]]\nusr = 1\n[[route.hop]]").count == 1)
    }

    @Test("at most 64 routes, 16 next hops, 16 methods, 32 networks")
    func tooMany() {
        let routes = Array(repeating: "[[route]]\n\(to)\n", count: 64).joined()
        #expect(refusals(routes) == [])
        #expect(
            refusals(routes + "[[route]]\nusr = 5\n") == [
                "f.toml:129:1: route: expected at most 64, found 65"
            ])
        for (key, element, most) in [("to", "sip:192.0.2.1", 16), ("method", "A", 16), ("source", "::1", 32)]
        {
            func list(_ count: Int) -> String {
                let elements = Array(repeating: "\"\(element)\"", count: count).joined(separator: ", ")
                return file("route.\(key)", "[\(elements)]")
            }
            #expect(refusals(list(most)) == [])
            #expect(
                refusals(list(most + 1)) == [
                    "f.toml:2:\(key.count + 4): route.\(key): expected at most \(most), found \(most + 1)"
                ])
        }
    }

    @Test(
        "a bad next hop",
        arguments: [
            "", "192.0.2.1", "sip:", "sips:192.0.2.1", "tel:+49", "sip:gw@192.0.2.1", "sip:192.0.2.1:",
            "sip:192.0.2.1:0", "sip:192.0.2.1:65536", "sip:192.0.2.1:000005060", "sip:192.0.2", "sip:::1",
            "sip:[::1", "sip:[192.0.2.1]", "sip:0.0.0.0", "sip:[::]", "sip:a b", "sip:gw_1", "sip:-gw",
            "sip:192.0.2.1;lr", "sip:192.0.2.1;transport=sctp", "sip:192.0.2.1;transport",
            "sip:192.0.2.1;transport=udp;lr", "sip:192.0.2.1?a=b", "sip:192.0.2.1;",
            "sip:gw:5060;transport=udp?x",
            "<sip:192.0.2.1>",
        ])
    func hop(text: String) {
        #expect(
            refusals(file("route.to", "[\"sip:192.0.2.1\", \"\(text)\"]")) == [
                "f.toml:2:24: route.to: expected sip:HOST:PORT, or sip:HOST:PORT;transport=udp, tcp or tls, "
                    + "found \"\(text)\""
            ])
    }

    @Test(
        "a pattern that can match nothing",
        arguments: ["alice@example.org", "sip:+49*", "a b", "50%", "%4", "%zz", "<a>"])
    func userPattern(text: String) {
        #expect(
            refusals(file("route.user", "\"\(text)\"")) == [
                "f.toml:2:8: route.user: expected a pattern of a user part such as \"+49*\", found \"\(text)\""
            ])
    }

    @Test(
        "patterns of user parts", arguments: ["", "+*", "%2A21%23*", "j%c3%bcrgen", "j\u{FC}rgen", "a?b;x=1"])
    func goodUserPattern(text: String) throws {
        #expect(try accepted(file("route.user", "\"\(text)\"")).routes.first?.user == text)
    }

    @Test(
        "a host pattern that can match nothing",
        arguments: ["", "example.org:5060", "a b", "sip:example.org", "a@b", "b\u{FC}ro.example"])
    func domainPattern(text: String) {
        #expect(
            refusals(file("route.domain", "\"\(text)\"")) == [
                "f.toml:2:10: route.domain: expected a pattern of a host such as \"*.example.org\", "
                    + "found \"\(text)\""
            ])
    }

    @Test("patterns and methods that are too long for the shared memory")
    func tooLong() {
        for (key, most) in [("user", 128), ("domain", 128), ("method", 32)] {
            let longest = String(repeating: "A", count: most)
            #expect(refusals(file("route.\(key)", "\"\(longest)\"")) == [])
            #expect(
                refusals(file("route.\(key)", "\"\(longest)A\"")) == [
                    "f.toml:2:\(key.count + 4): route.\(key): expected at most \(most) characters, "
                        + "found \"\(longest)A\""
                ])
        }
    }

    @Test(
        "a wrong type or choice",
        arguments: [
            ("user", "5", "a pattern of a user part such as \"+49*\", found an integer"),
            ("user", "[\"a\"]", "a pattern of a user part such as \"+49*\", found an array"),
            ("domain", "true", "a pattern of a host such as \"*.example.org\", found a boolean"),
            ("method", "5", "a method such as \"INVITE\", or an array of them, found an integer"),
            ("method", "\"IN VITE\"", "a method such as \"INVITE\", found \"IN VITE\""),
            ("method", "\"\"", "a method such as \"INVITE\", found \"\""),
            ("source", "{ a = 1 }", "a network such as \"192.0.2.0/24\", or an array of them, found a table"),
            (
                "source", "\"localhost\"",
                "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", found \"localhost\""
            ),
            ("to", "\"sip:192.0.2.1\"", "an array of sip:HOST:PORT, found a string"),
            ("policy", "\"random\"", "\"failover\" or \"round-robin\", found \"random\""),
            ("policy", "1", "\"failover\" or \"round-robin\", found an integer"),
            ("dead-time", "\"30\"", "an integer from 0 to 86400, found a string"),
        ])
    func wrongType(key: String, value: String, message: String) {
        #expect(
            refusals(file("route.\(key)", value))
                == ["f.toml:2:\(key.count + 4): route.\(key): expected \(message)"])
    }

    @Test("an element of a list that is no string")
    func wrongElement() {
        #expect(
            refusals(file("route.method", "[\"INVITE\", 5]")) == [
                "f.toml:2:21: route.method: expected a method such as \"INVITE\", or an array of them, "
                    + "found an integer"
            ])
    }
}
