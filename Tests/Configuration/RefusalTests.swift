import Configuration
import Glibc
import Testing

@Suite("sipfork.toml: what is refused, and where")
struct RefusalTests {
    static let integerKeys = ConfigurationKey.all.filter { Int($0.defaultText) != nil }.map(\.name)

    /// The running service reads such a file, too, when it is told to reload.
    @Test("a file that is none of ours ends soon")
    func manyFaults() {
        let lines = (0..<5000).map { "key-of-something-else-\($0) = \($0)" }.joined(separator: "\n")
        let found = refusals(lines)
        #expect(found.count == 101)
        #expect(found.count { $0.hasSuffix(": too many faults: the rest of the file is not looked at") } == 1)
        let long = refusals("\(String(repeating: "a", count: 50_000)) = 1")
        #expect(long.count == 1 && long[0].utf8.count < 200)
    }

    @Test(
        "an unknown key gets the nearest known name",
        arguments: [
            ("[server]\ndomain = []", "2:1", "server.domain", "did you mean \"server.domains\"?"),
            ("[server]\n  lsiten = []", "2:3", "server.lsiten", "did you mean \"server.listen\"?"),
            ("[sever]\ndomains = []", "1:2", "sever", "did you mean \"server\"?"),
            ("domains = []", "1:1", "domains", "did you mean \"server.domains\"?"),
            ("server.domain = []", "1:8", "server.domain", "did you mean \"server.domains\"?"),
            (
                "[server]\nmax-contacts = 3", "2:1", "server.max-contacts",
                "did you mean \"registrar.max-contacts\"?"
            ),
            ("[timers]\nT1 = 500", "2:1", "timers.T1", "did you mean \"timers.t1\"?"),
            ("[resolver]\nserver = []", "2:1", "resolver.server", "did you mean \"resolver.servers\"?"),
            (
                "[tcp]\nmax-connection = 1", "2:1", "tcp.max-connection",
                "did you mean \"tcp.max-connections\"?"
            ),
            (
                "[tcp]\nmax-transactions = 1", "2:1", "tcp.max-transactions",
                "did you mean \"server.max-transactions\"?"
            ),
            ("[udp]\nmax-header = 1", "1:2", "udp", "did you mean \"tcp\"?"),
            ("[metrics]\nservers = []", "1:2", "metrics", "the nearest known key is \"server\""),
            ("[[routes]]\nuser = \"+*\"", "1:3", "routes", "did you mean \"route\"?"),
            (
                "[[route]]\nto = [\"sip:192.0.2.1\"]\nusr = \"+*\"", "3:1", "route.usr",
                "did you mean \"route.user\"?"
            ),
            (
                "[[route]]\nto = [\"sip:192.0.2.1\"]\ndomains = [\"a.org\"]", "3:1", "route.domains",
                "did you mean \"route.domain\"?"
            ),
            (
                "[[route]]\nto = [\"sip:192.0.2.1\"]\nrecord-route = true", "3:1", "route.record-route",
                "did you mean \"server.record-route\"?"
            ),
            (
                "[[route]]\nto = [\"sip:192.0.2.1\"]\n[route.log]\nuser = 5", "3:8", "route.log",
                "did you mean \"route.to\"?"
            ),
            ("\"server.domains\" = []", "1:1", "\\\"server.domains\\\"", "did you mean \"server.domains\"?"),
        ])
    func unknownKey(text: String, place: String, key: String, hint: String) {
        #expect(refusals(text) == ["f.toml:\(place): unknown key \"\(key)\"; \(hint)"])
    }

    @Test(
        "a wrong type",
        arguments: [
            ("server.workers", "\"four\"", "expected an integer from 0 to 64, found a string"),
            ("server.workers", "4.0", "expected an integer from 0 to 64, found a floating-point number"),
            ("server.workers", "true", "expected an integer from 0 to 64, found a boolean"),
            ("server.workers", "1979-05-27", "expected an integer from 0 to 64, found a date or time"),
            ("server.workers", "[4]", "expected an integer from 0 to 64, found an array"),
            ("server.workers", "{ x = 4 }", "expected an integer from 0 to 64, found a table"),
            ("server.record-route", "1", "expected true or false, found an integer"),
            ("forking.recurse", "\"yes\"", "expected true or false, found a string"),
            ("forking.order", "true", "expected \"parallel\" or \"q-value\", found a boolean"),
            ("server.domains", "\"example.org\"", "expected an array of host names, found a string"),
            (
                "server.listen", "5060",
                "expected an array of udp:ADDRESS:PORT or tcp:ADDRESS:PORT, found an integer"
            ),
            ("server.mode", "true", "expected \"stateful\" or \"stateless\", found a boolean"),
            (
                "resolver.servers", "\"192.0.2.53\"",
                "expected an array of ADDRESS or ADDRESS:PORT, found a string"
            ),
            ("resolver.timeout", "\"2s\"", "expected an integer from 50 to 30000, found a string"),
            (
                "access.relay-from", "\"::1\"",
                "expected an array of networks such as \"192.0.2.0/24\", found a string"
            ),
            ("registrar.store", "true", "expected \"sqlite\" or \"memory\", found a boolean"),
            ("log.calls", "[]", "expected \"none\", \"failed\" or \"all\", found an array"),
        ])
    func wrongType(name: String, value: String, message: String) {
        let column = name.split(separator: ".")[1].count + 4
        #expect(refusals(file(name, value)) == ["f.toml:2:\(column): \(name): \(message)"])
    }

    @Test("a table that is no table")
    func noTable() {
        #expect(refusals("server = 5") == ["f.toml:1:10: server: expected a table, found an integer"])
        #expect(
            refusals("[[log]]\nlevel = \"info\"") == ["f.toml:1:1: log: expected a table, found an array"])
    }

    @Test("an integer one outside its range, on either side", arguments: integerKeys)
    func range(name: String) throws {
        let key = try #require(ConfigurationKey.all.first { $0.name == name })
        let bounds = key.expectation.split(separator: " ").compactMap { Int($0) }
        try #require(bounds.count == 2)
        for value in [bounds[0] - 1, bounds[1] + 1, Int.max, Int.min] {
            let column = key.leaf.count + 4
            #expect(
                refusals(file(name, "\(value)"))
                    == ["f.toml:2:\(column): \(name): expected \(key.expectation), found \(value)"])
        }
    }

    @Test(
        "a bad choice",
        arguments: [
            ("server.mode", "Stateless", "\"stateful\" or \"stateless\""),
            ("forking.order", "serial", "\"parallel\" or \"q-value\""),
            ("registrar.store", "SQLite", "\"sqlite\" or \"memory\""),
            ("log.level", "warn", "\"error\", \"warning\", \"notice\", \"info\" or \"debug\""),
            ("log.calls", "some\\n", "\"none\", \"failed\" or \"all\""),
        ])
    func choice(name: String, value: String, expectation: String) {
        let column = name.split(separator: ".")[1].count + 4
        #expect(
            refusals(file(name, "\"\(value)\""))
                == ["f.toml:2:\(column): \(name): expected \(expectation), found \"\(value)\""])
    }

    @Test(
        "a bad listener",
        arguments: [
            "tls:127.0.0.1:5061", "ws:127.0.0.1:5060", "tcp", "tcp:", "tcp127.0.0.1", "TCP:127.0.0.1",
            "tcp:127.0.0.1:0", "tcp:localhost:5060", "tcp:udp:127.0.0.1", "udp:localhost:5060",
            "127.0.0.1:5060", "udp:127.0.0.1:0",
            "udp:127.0.0.1:65536",
            "udp:127.0.0.1:", "udp:127.0.0.1:+5", "udp:::1:5060", "udp:[::1", "udp:[::1]5060", "udp:", "",
            "UDP:127.0.0.1",
        ])
    func listener(text: String) {
        #expect(
            refusals(file("server.listen", "[\"udp:127.0.0.1\", \"\(text)\"]"))
                == [
                    "f.toml:2:28: server.listen: expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT, found \"\(text)\""
                ])
    }

    @Test("listeners: none, too many, one twice, an element that is no string")
    func listeners() {
        #expect(
            refusals(file("server.listen", "[]")) == [
                "f.toml:2:10: server.listen: expected at least 1, found 0"
            ])
        let many = (1...17).map { "\"udp:127.0.0.\($0):5060\"" }.joined(separator: ", ")
        #expect(
            refusals(file("server.listen", "[\(many)]"))
                == ["f.toml:2:10: server.listen: expected at most 16, found 17"])
        #expect(
            refusals(file("server.listen", "[\"udp:[::1]\", \"udp:[::1]:5060\"]"))
                == ["f.toml:2:10: server.listen: \"udp:[::1]:5060\" stands there twice"])
        #expect(
            refusals(file("server.listen", "[\"tcp:[::1]\", \"udp:[::1]\", \"tcp:[::1]:5060\"]"))
                == ["f.toml:2:10: server.listen: \"tcp:[::1]:5060\" stands there twice"])
        #expect(
            refusals(file("server.listen", "[5060]")) == [
                "f.toml:2:11: server.listen: expected an array of udp:ADDRESS:PORT or tcp:ADDRESS:PORT, "
                    + "found an integer"
            ])
    }

    @Test("advertise: a wildcard, two for one listener")
    func advertise() {
        #expect(
            refusals(file("server.advertise", "[\"udp:0.0.0.0\"]")) == [
                "f.toml:2:13: server.advertise: expected an address that others can reach, found \"udp:0.0.0.0:5060\""
            ])
        #expect(
            refusals(file("server.advertise", "[\"udp:192.0.2.1\", \"udp:192.0.2.2\"]")) == [
                "f.toml:2:13: server.advertise: \"udp:192.0.2.2:5060\" is the second for its transport and address family"
            ])
        #expect(refusals(file("server.advertise", "[\"udp:192.0.2.1\", \"tcp:192.0.2.2\"]")) == [])
        #expect(
            refusals(file("server.advertise", "[\"udp:192.0.2.1\", \"tls:192.0.2.1\"]")) == [
                "f.toml:2:31: server.advertise: expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT, found \"tls:192.0.2.1\""
            ])
    }

    @Test(
        "a bad name server: no address, a wildcard, a bad port",
        arguments: [
            "", "ns.example.org", "localhost", "192.0.2", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536",
            "192.0.2.53:53:53", "2001:db8::53", "2001:db8::53:53", "[2001:db8::53", "[2001:db8::53]53", ":53",
            "udp:192.0.2.53", "192.0.2.53/32", "0.0.0.0", "0.0.0.0:53", "[::]", "[::]:5353",
        ])
    func nameServer(text: String) {
        #expect(
            refusals(file("resolver.servers", "[\"192.0.2.53\", \"\(text)\"]"))
                == ["f.toml:2:26: resolver.servers: expected ADDRESS or ADDRESS:PORT, found \"\(text)\""])
    }

    @Test("name servers: too many, an element that is no string")
    func nameServers() {
        func list(_ count: Int) -> String {
            "[" + (1...count).map { "\"192.0.2.\($0)\"" }.joined(separator: ", ") + "]"
        }
        #expect(refusals(file("resolver.servers", list(8))) == [])
        #expect(
            refusals(file("resolver.servers", list(9)))
                == ["f.toml:2:11: resolver.servers: expected at most 8, found 9"])
        #expect(
            refusals(file("resolver.servers", "[53]")) == [
                "f.toml:2:12: resolver.servers: expected an array of ADDRESS or ADDRESS:PORT, found an integer"
            ])
    }

    @Test(
        "a bad domain",
        arguments: [
            "", "a b", "-a.org", "a-.org", "a..org", "a.org.", ".org", "192.0.2.1", "[::1]", "a_b.org",
            "münchen.de",
            "sip:a.org", "a.org:5060", String(repeating: "a", count: 64) + ".org",
        ])
    func domain(text: String) {
        #expect(
            refusals(file("server.domains", "[\"\(text)\"]"))
                == ["f.toml:2:12: server.domains: expected a host name, found \"\(text)\""])
    }

    @Test("a domain longer than the shared memory holds")
    func longDomain() {
        let name = Array(repeating: "abcdefg", count: 16).joined(separator: ".")
        #expect(refusals(file("server.domains", "[\"\(name)\"]")) == [])
        #expect(
            refusals(file("server.domains", "[\"a\(name)\"]")) == [
                "f.toml:2:12: server.domains: expected a host name of at most 127 characters, found \"a\(name)\""
            ])
    }

    @Test(
        "a bad network",
        arguments: [
            "", "localhost", "10.0.0.0/33", "::/129", "10.0.0.1/8", "2001:db8::1/64", "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1", "10.0.0/8", "[::1]/128", "10.0.0.0/99999999999999999999",
        ])
    func network(text: String) {
        #expect(
            refusals(file("access.relay-from", "[\"\(text)\"]")) == [
                "f.toml:2:15: access.relay-from: expected a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", "
                    + "found \"\(text)\""
            ])
    }

    @Test(
        "keys that contradict each other: the later one of the file is blamed",
        arguments: [
            ("[timers]\nt1 = 500\nt2 = 400", "3:6: timers.t2: expected at least 500 (timers.t1), found 400"),
            ("[timers]\nt2 = 400\nt1 = 500", "3:6: timers.t1: expected at most 400 (timers.t2), found 500"),
            ("[timers]\nt2 = 400", "2:6: timers.t2: expected at least 500 (timers.t1), found 400"),
            ("[timers]\nt1 = 5000", "2:6: timers.t1: expected at most 4000 (timers.t2), found 5000"),
            (
                "[registrar]\ndefault-expires = 30",
                "2:19: registrar.default-expires: expected at least 60 (registrar.min-expires), found 30"
            ),
            (
                "[registrar]\nmax-expires = 600",
                "2:15: registrar.max-expires: expected at least 3600 (registrar.default-expires), found 600"
            ),
        ])
    func contradiction(text: String, message: String) {
        #expect(refusals(text) == ["f.toml:\(message)"])
    }

    @Test("all that is wrong is reported, in the order of the file")
    func everything() {
        let text = """
            [timers]
            t1 = "fast"
            [server]
            workers = 65
            domains = ["ok.org", 5, "-"]
            [timer]
            t1 = 5
            """
        #expect(
            refusals(text) == [
                "f.toml:2:6: timers.t1: expected an integer from 10 to 60000, found a string",
                "f.toml:4:11: server.workers: expected an integer from 0 to 64, found 65",
                "f.toml:5:22: server.domains: expected an array of host names, found an integer",
                "f.toml:5:25: server.domains: expected a host name, found \"-\"",
                "f.toml:6:2: unknown key \"timer\"; did you mean \"timers\"?",
            ])
    }

    @Test(
        "TOML that is none: one error, with its place",
        arguments: [
            ("[server\n", "1:8"), ("[server]\nworkers 4\n", "2:9"),
            ("[server]\nworkers = 4\nworkers = 5\n", "3:11"),
            ("x = \"\u{1}\"", "1:6"), ("\0\0\0", "1:1"), ("x = 99999999999999999999", "1:25"),
            (String(repeating: "x = [", count: 1000), "1:6"), (String(repeating: "[", count: 100_000), "1:3"),
        ])
    func syntax(text: String, place: String) {
        let found = refusals(text)
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("f.toml:\(place): ") == true, "\(found)")
    }

    @Test("control characters of a file do not reach the terminal")
    func escaping() {
        #expect(
            refusals("\"\\u001B[2J\\n\" = 1").first?.hasPrefix(
                "f.toml:1:1: unknown key \"\\\"\\u001B[2J\\n\\\"\"; ")
                == true)
    }

    @Test("a file that cannot be read")
    func unreadable() {
        let error = #expect(throws: ConfigurationError.self) {
            try Configuration.load(path: "/nonexistent/s.toml")
        }
        #expect(error?.description == "/nonexistent/s.toml: No such file or directory")
        let directory = #expect(throws: ConfigurationError.self) { try Configuration.load(path: "/tmp") }
        #expect(directory?.description == "/tmp: Is a directory")
    }

    /// Root reads everything: only the words can be tested here.
    @Test("a file that this user may not read: who must be able to")
    func forbidden() {
        let name = unsafe getpwuid(geteuid()).map { unsafe String(cString: $0.pointee.pw_name) } ?? "?"
        #expect(
            Configuration.reason(EACCES)
                == "Permission denied; the user \(name) must be able to read it")
    }
}
