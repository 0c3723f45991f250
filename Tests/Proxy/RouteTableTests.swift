import Platform
import SharedMemory
import SharedState
import Syntax
import Testing

@testable import Proxy

@Suite struct RouteTableTests {
    private static func table(_ routes: [RouteDraft]) throws -> RouteTable {
        let memory = try Arena(name: "test", size: RouteRegion.bytes).memory
        let region = RouteRegion(memory: memory, at: 0)
        try #require(region.publish(routes))
        return RouteTable(region)
    }

    /// A route to hops on 192.0.2.1, 192.0.2.2, …
    private static func route(
        user: String = "*", domain: String = "*", methods: [String] = [], sources: [String] = [],
        hops: Int = 1, roundRobin: Bool = false, deadTime: Int = 30
    ) -> RouteDraft {
        var route = RouteDraft()
        route.user = user
        route.domain = domain
        route.methods = methods
        route.sources = sources.map { text in
            let parts = text.split(separator: "/")
            return (SocketAddress(host: String(parts[0]), port: 0)!, Int(parts[1])!)
        }
        route.hops = (1...hops).map {
            RouteDraft.Hop(
                uri: "sip:192.0.2.\($0)", address: SocketAddress(host: "192.0.2.\($0)", port: 5060)!)
        }
        route.isRoundRobin = roundRobin
        route.deadTime = deadTime
        return route
    }

    private func match(
        _ table: RouteTable, user: String = "bob", host: String = "example.org", method: String = "INVITE",
        source: String = "198.51.100.7", mustBeNamed: Bool = false
    ) -> RouteMatch? {
        let user = Array(user.utf8)
        let host = Array(host.utf8)
        let token = Array(method.utf8)
        return table.match(
            user: user.span, host: host.span, method: Method(token.span, token.span.wholeRange),
            methodToken: token.span, source: SocketAddress(host: source, port: 40000)!,
            mustBeNamed: mustBeNamed)
    }

    /// The numbers of the hops in the order in which they are tried.
    private func order(_ table: RouteTable, now: UInt64 = 1000) throws -> [Int] {
        let hops = table.hops(of: try #require(match(table)), now: now)
        return (0..<hops.count).map { hops[$0].index }
    }

    // MARK: which route

    @Test func takesNothingWithoutRoutes() throws {
        let table = try Self.table([])
        #expect(table.isEmpty)
        #expect(match(table) == nil)
    }

    @Test func takesTheFirstThatMatches() throws {
        let table = try Self.table([
            Self.route(user: "+49*", deadTime: 1), Self.route(user: "+*", deadTime: 2),
            Self.route(domain: "*.example.net", deadTime: 3), Self.route(user: "+4930*", deadTime: 4),
        ])
        #expect(!table.isEmpty)
        #expect(match(table, user: "+4930")?.route == 0)
        #expect(match(table, user: "+43")?.route == 1)
        #expect(match(table, user: "bob", host: "PBX.Example.NET")?.route == 2)
        #expect(table.markDead(1, 0, now: 0) == 2)
        #expect(match(table, user: "bob") == nil)
        #expect(match(table, user: "") == nil)
    }

    @Test func comparesUserWithAndDomainWithoutCase() throws {
        let table = try Self.table([Self.route(user: "b?b", domain: "example.org")])
        #expect(match(table, user: "b%6fb", host: "EXAMPLE.org") != nil)
        #expect(match(table, user: "Bob") == nil)
        #expect(match(table, host: "example.org.") == nil)
    }

    @Test func anEmptyPatternIsForNoUser() throws {
        let table = try Self.table([Self.route(user: "", deadTime: 1), Self.route()])
        #expect(match(table, user: "")?.route == 0)
        #expect(match(table, user: "a")?.route == 1)
    }

    @Test func comparesMethodsByTheirToken() throws {
        let table = try Self.table([Self.route(methods: ["INVITE", "FOO"])])
        for method in ["INVITE", "FOO"] {
            #expect(match(table, method: method) != nil, "\(method)")
        }
        for method in ["MESSAGE", "invite", "INVITEE", "INVIT", "FO", "FOOO", "BAR", "TE"] {
            #expect(match(table, method: method) == nil, "\(method)")
        }
        #expect(match(try Self.table([Self.route()]), method: "BAR") != nil)
    }

    /// REGISTER, and what is for the proxy itself, only where the method is named; the next route may do so.
    @Test func swallowsNoRegistrations() throws {
        let table = try Self.table([Self.route(), Self.route(methods: ["REGISTER", "OPTIONS"])])
        #expect(match(table, method: "REGISTER")?.route == 1)
        #expect(match(table, method: "OPTIONS")?.route == 0)
        #expect(match(table, method: "OPTIONS", mustBeNamed: true)?.route == 1)
        #expect(match(table, method: "MESSAGE", mustBeNamed: true) == nil)
        #expect(match(try Self.table([Self.route()]), method: "REGISTER") == nil)
    }

    @Test func comparesSources() throws {
        let table = try Self.table([
            Self.route(sources: ["10.0.0.0/8", "2001:db8::/32"]), Self.route(sources: ["192.0.2.7/32"]),
        ])
        #expect(match(table, source: "10.255.0.1")?.route == 0)
        #expect(match(table, source: "2001:db8:1::1")?.route == 0)
        #expect(match(table, source: "192.0.2.7")?.route == 1)
        #expect(match(table, source: "192.0.2.8") == nil)
        #expect(match(table, source: "::ffff:10.0.0.1") == nil)
        #expect(match(table, source: "10.0.0.1")?.hasSource == true)
        #expect(match(try Self.table([Self.route()]))?.hasSource == false)
    }

    /// All keys of a route must be right, not one of them.
    @Test func wantsAllKeys() throws {
        let table = try Self.table([
            Self.route(user: "+*", domain: "a.org", methods: ["INVITE"], sources: ["10.0.0.0/8"])
        ])
        #expect(match(table, user: "+1", host: "a.org", source: "10.0.0.1") != nil)
        #expect(match(table, user: "1", host: "a.org", source: "10.0.0.1") == nil)
        #expect(match(table, user: "+1", host: "b.org", source: "10.0.0.1") == nil)
        #expect(match(table, user: "+1", host: "a.org", method: "INFO", source: "10.0.0.1") == nil)
        #expect(match(table, user: "+1", host: "a.org", source: "11.0.0.1") == nil)
    }

    @Test(.timeLimit(.minutes(1))) func aLongUserIsNoBurden() throws {
        let table = try Self.table(
            (0..<63).map { Self.route(user: "*" + String(repeating: "0", count: $0) + "1") }
                + [Self.route(user: "*00001*")])
        #expect(match(table, user: String(repeating: "0", count: 60_000)) == nil)
    }

    // MARK: which hop

    @Test func tellsTheHop() throws {
        var route = Self.route(hops: 1)
        route.hops.append(
            .init(uri: "sip:gw.example.org;transport=tcp", address: SocketAddress(), transport: .tcp))
        let table = try Self.table([Self.route(user: "nobody"), route])
        let hops = table.hops(of: try #require(match(table)), now: 1000)
        let first = hops[0]
        #expect(first.route == 1 && first.index == 0)
        #expect(first.address.text == "192.0.2.1:5060")
        let second = hops[1]
        #expect(second.address.isNone)
        let uri = second.uri
        #expect(
            String(decoding: uri.indices.map { uri[$0] }, as: UTF8.self) == "sip:gw.example.org;transport=tcp"
        )
    }

    /// What cannot be reached has no turn, and is no alternative to a hop that failed.
    @Test func leavesOutWhatCannotBeReached() throws {
        var route = Self.route(hops: 4, roundRobin: true)
        for hop in [0, 2] { route.hops[hop].isReachable = false }
        let table = try Self.table([route])
        #expect(try order(table) == [1, 3])
        #expect(try order(table) == [3, 1])
        table.markDead(0, 1, now: 1000)
        #expect(try order(table) == [3])
        table.markDead(0, 3, now: 1000)
        #expect(try order(table).sorted() == [1, 3])
        for hop in [1, 3] { route.hops[hop].isReachable = false }
        let none = try Self.table([route])
        #expect(try order(none) == [])
    }

    /// The journal is told once, however many requests meet the dead hop.
    @Test func deathAndLifeAreNewsOnce() throws {
        let table = try Self.table([Self.route(hops: 2, deadTime: 5), Self.route(deadTime: 0)])
        #expect(table.markDead(0, 1, now: 1000) == 5)
        #expect(table.markDead(0, 1, now: 2000) == nil)
        #expect(table.markDead(1, 0, now: 2000) == nil)
        #expect(!table.markAlive(0, 0))
        #expect(table.markAlive(0, 1))
        #expect(!table.markAlive(0, 1))
        #expect(table.markDead(0, 1, now: 3000) == 5)
    }

    @Test func aHopIsOneNumber() throws {
        let memory = try Arena(name: "test", size: RouteRegion.bytes).memory
        let table = RouteTable(RouteRegion(memory: memory, at: 0))
        for (route, hop) in [(0, 0), (0, 15), (1, 0), (63, 15)] {
            let number = table.number(route, hop)
            #expect(number != 0)
            #expect(table.place(number)! == (route, hop))
            // A reload may have put another hop there.
            let other = RouteTable(RouteRegion(memory: memory, at: 0, generation: 1))
            #expect(other.place(number) == nil && other.place(other.number(route, hop))! == (route, hop))
        }
    }

    @Test func failsOverInTheOrderOfTheFile() throws {
        let table = try Self.table([Self.route(hops: 3)])
        for _ in 0..<3 { #expect(try order(table) == [0, 1, 2]) }
    }

    @Test(arguments: [1, 2, 3, 16]) func startsAtEachInItsTurn(count: Int) throws {
        let table = try Self.table([Self.route(hops: count, roundRobin: true)])
        for turn in 0..<(2 * count + 1) {
            #expect(try order(table) == (0..<count).map { ($0 + turn) % count })
        }
    }

    /// Routes have turns of their own, and a match that is not used takes none.
    @Test func countsTurnsByRoute() throws {
        let table = try Self.table([
            Self.route(hops: 2, roundRobin: true), Self.route(domain: "other", hops: 2, roundRobin: true),
        ])
        #expect(try order(table) == [0, 1])
        _ = match(table)
        #expect(try order(table) == [1, 0])
    }

    @Test func skipsADeadHopForItsTime() throws {
        let table = try Self.table([Self.route(hops: 3, deadTime: 5)])
        table.markDead(0, 0, now: 1000)
        #expect(try order(table, now: 1000) == [1, 2])
        #expect(try order(table, now: 5999) == [1, 2])
        #expect(try order(table, now: 6000) == [0, 1, 2])
        table.markDead(0, 1, now: 6000)
        #expect(table.isDead(0, 1, now: 10_999) && !table.isDead(0, 1, now: 11_000))
        #expect(!table.isDead(0, 0, now: 6000))
    }

    @Test func triesAllWhereAllAreDead() throws {
        let table = try Self.table([Self.route(hops: 2)])
        table.markDead(0, 0, now: 1000)
        #expect(try order(table, now: 1000) == [1])
        table.markDead(0, 1, now: 2000)
        #expect(try order(table, now: 3000) == [0, 1])
        table.markAlive(0, 1)
        #expect(try order(table, now: 3000) == [1])
    }

    /// The others share what the dead one would get.
    @Test func sharesTheTurnsOfADeadHop() throws {
        let table = try Self.table([Self.route(hops: 3, roundRobin: true)])
        table.markDead(0, 0, now: 0)
        let firsts = try (0..<6).map { _ in try order(table)[0] }
        #expect(firsts == [1, 2, 1, 2, 1, 2])
    }

    @Test func withoutDeadTimeNothingIsSkipped() throws {
        let table = try Self.table([Self.route(hops: 2, deadTime: 0)])
        table.markDead(0, 0, now: 1000)
        #expect(!table.isDead(0, 0, now: 1000))
        #expect(try order(table, now: 1000) == [0, 1])
    }
}
