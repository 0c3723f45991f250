import Platform
import SharedMemory
import Testing

@testable import SharedState

@Suite struct RouteRegionTests {
    /// A route that fills all that there is room for, with texts that name it.
    private static func largest(_ number: Int) -> RouteDraft {
        func text(_ name: String, _ count: Int) -> String {
            let head = "\(name)\(number)-"
            return head + String(repeating: "x", count: count - head.utf8.count)
        }
        var route = RouteDraft()
        route.user = text("user", RouteRegion.maximumPattern)
        route.domain = text("domain", RouteRegion.maximumPattern)
        route.methods = (0..<RouteRegion.maximumMethods).map { text("M\($0).", RouteRegion.maximumMethod) }
        route.sources = (0..<RouteRegion.maximumSources).map {
            (SocketAddress(ipv4: UInt32(number << 8 | $0), port: 0), $0)
        }
        route.hops = (0..<RouteRegion.maximumHops).map {
            (hop: Int) -> RouteDraft.Hop in
            let address = SocketAddress(ipv4: UInt32(number << 8 | hop), port: UInt16(5060 + hop))
            let uri = text("sip:\(hop).", RouteRegion.maximumURI)
            return .init(uri: uri, address: address, transport: .tls, isReachable: hop % 2 == 0)
        }
        route.isRoundRobin = number % 2 == 0
        route.deadTime = 1000 + number
        return route
    }

    private func string(_ region: RouteRegion, _ text: RouteText) -> String {
        String(decoding: region.bytes(text).array, as: UTF8.self)
    }

    @Test func holdsTheLargestConfiguration() throws {
        let state = try TestArena().state
        let region = state.routes
        #expect(region.count == 0)
        let drafts = (0..<RouteRegion.maximumRoutes).map(Self.largest)
        #expect(region.publish(drafts))
        // What workers write lies elsewhere.
        for route in 0..<drafts.count {
            for hop in 0..<RouteRegion.maximumHops { region.setDeadUntil(.max, route, hop) }
            _ = region.takeTurn(route)
        }
        let attached = SharedState(attaching: state.memory).routes
        try #require(attached.count == drafts.count)
        for (number, draft) in drafts.enumerated() {
            let entry = attached.entry(number)
            #expect(string(attached, entry.user) == draft.user)
            #expect(string(attached, entry.domain) == draft.domain)
            let methods = draft.methods.map { "\(Character(Unicode.Scalar(UInt8($0.utf8.count))))\($0)" }
            #expect(string(attached, entry.methods) == methods.joined())
            #expect(entry.isRoundRobin == draft.isRoundRobin && entry.deadTime == UInt32(draft.deadTime))
            try #require(entry.sourceCount == draft.sources.count && entry.hopCount == draft.hops.count)
            for index in draft.sources.indices {
                let source = attached.source(number, index)
                #expect(source.network == draft.sources[index].network)
                #expect(source.prefix == draft.sources[index].prefix)
            }
            for index in draft.hops.indices {
                let hop = attached.hop(number, index)
                #expect(hop.address == draft.hops[index].address && hop.transport == .tls)
                #expect(hop.isReachable == draft.hops[index].isReachable)
                #expect(string(attached, hop.uri) == draft.hops[index].uri)
                #expect(attached.deadUntil(number, index) == .max)
            }
            #expect(attached.takeTurn(number) == 1)
        }
    }

    /// A reload: who has attached keeps what it has, whoever attaches now gets the new one, all alive.
    @Test func theNextConfigurationLiesBesideThePresentOne() throws {
        let state = try TestArena().state
        var snapshot = ConfigurationSnapshot()
        for number in 1...4 {
            let before = (state.configuration, state.routes)
            snapshot.t1 = UInt32(number)
            #expect(state.publish(snapshot, (0..<number).map(Self.largest)))
            #expect(state.configuration.snapshot.t1 == number && state.routes.count == number)
            #expect(state.routes.generation == number)
            #expect(before.0.snapshot.t1 == number - 1)
            #expect(before.1.count == number - 1)
            #expect(state.routes.deadUntil(0, 0) == 0 && state.routes.takeTurn(0) == 0)
            state.routes.setDeadUntil(.max, 0, 0)
        }
        #expect(!state.publish(snapshot, (0...RouteRegion.maximumRoutes).map(Self.largest)))
        #expect(state.configuration.snapshot.t1 == 4 && state.routes.count == 4)
    }

    @Test func refusesMoreThanItHolds() throws {
        let region = try TestArena().state.routes
        #expect(!region.publish((0...RouteRegion.maximumRoutes).map(Self.largest)))
        var route = Self.largest(0)
        route.hops.append(route.hops[0])
        #expect(!region.publish([route]))
        route = Self.largest(0)
        route.sources.append(route.sources[0])
        #expect(!region.publish([route]))
        route = Self.largest(0)
        route.methods[0] += "x"
        #expect(!region.publish([route]))
        route = Self.largest(0)
        route.user = String(repeating: "x", count: 1_000_000)
        #expect(!region.publish([route]))
        #expect(region.count == 0)
    }

    @Test func hasTheSizesThatItsLayoutSays() {
        #expect(MemoryLayout<RouteEntry>.size <= 64)
        #expect(MemoryLayout<HopEntry>.size <= 64)
        #expect(MemoryLayout<SocketAddress>.size == 28)
    }

    /// A turn for each, whoever asks; a time of death for each hop, 0 at the beginning.
    @Test func countsTurnsAndKeepsDeaths() throws {
        let region = try TestArena().state.routes
        #expect((0..<4).map { _ in region.takeTurn(3) } == [0, 1, 2, 3])
        #expect(region.takeTurn(4) == 0)
        #expect(region.deadUntil(3, 15) == 0)
        region.setDeadUntil(77, 3, 15)
        #expect(region.deadUntil(3, 15) == 77)
        #expect(region.deadUntil(3, 14) == 0 && region.deadUntil(4, 0) == 0)
    }
}
