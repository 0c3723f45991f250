import Glibc
import Platform
import Proxy
import SharedState
import Syntax
import Testing

@testable import Worker

/// What strangers must not reach, by whatever detour.
@Suite struct TrustTests {
    static let stranger = SocketAddress(ipv4: 0xCB00_7109, port: 5060)

    /// A stranger may not use the route. He registers a contact that the route matches, in a domain of ours;
    /// the request for it comes back from ourselves, whom `relay-from` lets pass.
    @Test func aStrangerReachesNoGatewayThroughABinding() throws {
        let (caller, gateway) = (Phone(), Phone())
        var route = RouteDraft()
        route.user = "+*"
        route.hops = [RouteDraft.Hop(uri: "sip:gw", address: gateway.address)]
        let world = try World(workers: 1, routes: [route])
        world.register("mallory@example.org", ["sip:+49900@example.org"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:+49900@example.org", from: caller, branch: "d", callID: "d"),
            from: TrustTests.stranger, to: 0)
        worker.run(turns: 1)
        #expect(gateway.isSilent)
        world.deliver(
            request("INVITE", "sip:mallory@example.org", from: caller, branch: "i", callID: "i"),
            from: TrustTests.stranger, to: 0)
        worker.run(turns: 1)
        let again = try #require(world.hearOurselves())
        #expect(again.hasPrefix("INVITE sip:+49900@example.org "))
        world.deliver(again, from: world.listenerAddress, to: 0)
        worker.run(turns: 1)
        #expect(gateway.isSilent)
    }

    /// Who was called has a genuine branch of ours. Above a Via of somebody who may relay it makes him nobody
    /// else: the way back is believed only to ourselves.
    @Test(arguments: [true, false]) func aBranchOfOursOpensNoRelay(isStranger: Bool) throws {
        let (caller, callee, victim) = (Phone(), Phone(), Phone())
        let world = try World(workers: 1)
        world.register("bob@example.org", ["sip:bob@\(callee.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        let ours = try #require(callee.hear()?.split(separator: "\r\n").first { $0.hasPrefix("Via: ") })
        let invite = request(
            "INVITE", "sip:x@\(victim.address.text)", from: caller, branch: "r", callID: "r")
        world.deliver(
            invite.replacing("Via: ", with: "\(ours)\r\nVia: ", maxReplacements: 1),
            from: isStranger ? TrustTests.stranger : world.listenerAddress, to: 0)
        worker.run(turns: 1)
        #expect(victim.isSilent == isStranger)
    }

    /// A contact that is a route's next hop is none for a stranger, also where the route has it by name.
    @Test(arguments: [true, false]) func aStrangerReachesNoNamedGateway(isNamed: Bool) throws {
        let (caller, gateway) = (Phone(), Phone())
        var route = RouteDraft()
        route.user = "+*"
        route.hops = [
            isNamed
                ? RouteDraft.Hop(uri: "sip:gw.example.net", address: SocketAddress())
                : RouteDraft.Hop(uri: "sip:\(gateway.address.text)", address: gateway.address)
        ]
        let world = try World(workers: 1, routes: [route])
        world.know("gw.example.net", [(.udp, gateway.address)])
        world.know("other.example.com", [(.udp, gateway.address)])
        var worker = try world.worker(0)
        for (number, contact) in ["sip:+1@\(gateway.address.text)", "sip:+1@other.example.com"].enumerated() {
            world.register("m\(number)@example.org", [contact])
            for source in [TrustTests.stranger, caller.address] {
                world.deliver(
                    request(
                        "INVITE", "sip:m\(number)@example.org", from: caller,
                        branch: "\(number)-\(source.port)", callID: "\(number)-\(source.port)"),
                    from: source, to: 0)
                worker.run(turns: 1)
                #expect((gateway.hear() == nil) == (source == TrustTests.stranger))
            }
        }
    }

    /// The tag of a stateless answer is a hash of what its sender chose, under the key of the checks in our
    /// branches: whoever words it as a branch is gets that branch's check, and can answer others' requests.
    @Test func noAnswerTellsTheCheckOfABranch() throws {
        let world = try World(workers: 1)
        let (caller, callee, attacker) = (Phone(), Phone(), Phone())
        world.register("bob@example.org", ["sip:bob@\(callee.address.text)"])
        var worker = try world.worker(0)
        world.deliver(
            request("INVITE", "sip:bob@example.org", from: caller, branch: "i"), from: caller.address, to: 0)
        worker.run(turns: 1)
        #expect(callee.hear() != nil)
        while let trying = caller.hear() { #expect(trying.hasPrefix("SIP/2.0 1")) }
        // Transaction: worker 0, generation 1, cell 1; fork 0, attempt 0; loop mark 1.
        let transaction = TransactionReference(worker: 0, cell: 1, generation: 1)
        let callID = String(
            decoding: [1, 0, 0, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 8), as: UTF8.self)
        world.deliver(
            request("INVITE", "sip:x@example.org", from: attacker, branch: "x", callID: callID),
            from: attacker.address, to: 0)
        worker.run(turns: 1)
        let told = try #require(attacker.hear())
        let check = told.split(separator: ";tag=sf")[1].prefix(16)
        let branch = "z9hG4bKs00000001000000010000\(check)0000000000000001"
        let genuine = Branch(Array(branch.utf8).span)?.isGenuine(keys: world.keys)
        #expect(genuine == false)
        if genuine == true {
            #expect(Branch(Array(branch.utf8).span)?.transaction == transaction)
            let forged = """
                SIP/2.0 603 Decline\r
                Via: SIP/2.0/UDP x;branch=\(branch)\r
                Via: SIP/2.0/UDP \(attacker.address.text);branch=z9hG4bKy\r
                From: <sip:a@b>;tag=1\r
                To: <sip:a@b>;tag=2\r
                Call-ID: z\r
                CSeq: 1 INVITE\r
                Content-Length: 0\r
                \r

                """
            world.deliver(forged, from: attacker.address, to: 0)
            worker.run(turns: 1)
            #expect(caller.isSilent, "a stranger has ended the call")
        }
    }
}
