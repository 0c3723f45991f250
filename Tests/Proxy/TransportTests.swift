import Platform
import SharedState
import Syntax
import Testing

@testable import Proxy

/// Which of our listeners a message leaves by, and what it says of us: RFC 3261 §18, RFC 5658.
@Suite struct TransportTests {
    private func address(_ text: String) -> SocketAddress { MixedProxy.endpoint("udp " + text).peer }

    // MARK: listeners

    @Test(arguments: [
        ("udp 192.0.2.9:1", 0, 0), ("tcp 192.0.2.9:1", 0, 1), ("tcp 192.0.2.9:1", 1, 1),
        ("udp [2001:db8::9]:1", 1, 2), ("tcp [2001:db8::9]:1", 0, 3), ("udp 192.0.2.9:1", 3, 0),
        ("tcp 192.0.2.9:1", 99, 1),
    ])
    func theListenerHasTransportAndFamily(to: String, preferred: Int, expected: Int) throws {
        let identity = try MixedProxy().identity
        let target = MixedProxy.endpoint(to)
        #expect(identity.listener(for: target.peer, target.transport, preferred: preferred) == expected)
    }

    /// Of several: where the request came in, else at the same address, and in any case where the peer hears it.
    @Test(arguments: [
        ("udp 192.0.2.9:1", 1, 1), ("udp 192.0.2.9:1", 4, 1), ("udp 192.0.2.9:1", 3, 0),
        ("tcp 192.0.2.9:1", 1, 4), ("tcp 192.0.2.9:1", 0, 3), ("udp 127.0.0.1:1", 0, 2),
        ("udp 192.0.2.9:1", 2, 0), ("tcp 127.0.0.1:1", 2, 3),
    ])
    func theListenerIsTheNearest(to: String, preferred: Int, expected: Int) throws {
        let identity = try MixedProxy([
            "udp 192.0.2.1:5060", "udp 192.0.2.2:5060", "udp 127.0.0.1:5060", "tcp 192.0.2.1:5060",
            "tcp 192.0.2.2:5070",
        ]).identity
        let target = MixedProxy.endpoint(to)
        #expect(identity.listener(for: target.peer, target.transport, preferred: preferred) == expected)
    }

    @Test func whatHasNoListenerIsNotSpoken() throws {
        let identity = try MixedProxy(["udp 192.0.2.1:5060", "tcp [2001:db8::1]:5060"]).identity
        let four = address("192.0.2.9:1")
        let six = address("[2001:db8::9]:1")
        #expect(identity.speaks(.udp, family: four.family) && identity.speaks(.tcp, family: six.family))
        #expect(!identity.speaks(.tcp, family: four.family) && !identity.speaks(.udp, family: six.family))
        #expect(!identity.speaks(.tls, family: four.family))
        #expect(identity.listener(for: four, .tcp, preferred: 0) == nil)
        #expect(identity.listener(for: six, .udp, preferred: 1) == nil)
    }

    // MARK: Via and Record-Route

    private func recordRoutes(_ proxy: MixedProxy, leaving outer: Int, arriving inner: Int) -> [String] {
        let id = Array("call@h".utf8)
        let bytes = Proxy.text {
            proxy.core.writeRecordRoutes(id.span, leaving: outer, arriving: inner, to: &$0)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasSuffix(">\r\n"))
        let mark = Proxy.text { $0.append(hexadecimal: RouteMark.of(id.span, keys: proxy.keys), digits: 16) }
        return text.replacing(String(decoding: mark, as: UTF8.self), with: "MARK").split(separator: "\r\n")
            .map(String.init)
    }

    /// One where both sides are alike, else the one that leaves in front.
    @Test func bothSidesAreRecorded() throws {
        let proxy = try MixedProxy()
        let lines = [
            "Record-Route: <sip:192.0.2.1:5060;lr;sf=MARK>",
            "Record-Route: <sip:192.0.2.1:5060;transport=tcp;lr;sf=MARK>",
            "Record-Route: <sip:[2001:db8::1]:5060;lr;sf=MARK>",
            "Record-Route: <sip:[2001:db8::1]:5060;transport=tcp;lr;sf=MARK>",
        ]
        for outer in 0..<4 {
            for inner in 0..<4 {
                let expected = outer == inner ? [lines[outer]] : [lines[outer], lines[inner]]
                #expect(recordRoutes(proxy, leaving: outer, arriving: inner) == expected)
            }
        }
    }

    /// Two listeners of one kind are one way for both sides, whichever it is.
    @Test func listenersOfOneKindAreRecordedOnce() throws {
        let proxy = try MixedProxy(["tcp 192.0.2.1:5060", "tcp 192.0.2.2:5070"])
        #expect(
            recordRoutes(proxy, leaving: 1, arriving: 0) == [
                "Record-Route: <sip:192.0.2.2:5070;transport=tcp;lr;sf=MARK>"
            ])
    }

    @Test(arguments: [
        (0, "Via: SIP/2.0/UDP 192.0.2.1:5060;branch="), (1, "Via: SIP/2.0/TCP 192.0.2.1:5060;branch="),
        (3, "Via: SIP/2.0/TCP [2001:db8::1]:5060;branch="),
    ])
    func theViaHasTheTransport(listener: Int, begin: String) throws {
        let proxy = try MixedProxy()
        let branch = Branch(.none, fork: 0, attempt: 0, keys: proxy.keys)
        let bytes = Proxy.text { proxy.core.writeVia(listener, branch, to: &$0) }
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix(begin) && text.utf8.count == begin.utf8.count + Branch.length + 2)
    }

    /// RFC 5658 §3: of the Routes that lead to us, both that we have written go, and no more than that.
    @Test(arguments: [
        (["tcp", "udp"], "forward to 198.51.100.7 = 198.51.100.7:5060, 2 dropped"),
        (["udp", "tcp"], "forward to 198.51.100.7 = 198.51.100.7:5060, 2 dropped"),
        (["tcp", "tcp"], "forward to 192.0.2.1 = 192.0.2.1:5060, 1 dropped"),
        (["udp", "udp"], "forward to 192.0.2.1 = 192.0.2.1:5060, 1 dropped"),
        (["tcp", "udp", "tcp"], "forward to 192.0.2.1 = 192.0.2.1:5060, 2 dropped"),
        (["tcp unmarked", "udp"], "forward to 198.51.100.7 = 198.51.100.7:5060, 2 dropped"),
        (["tcp", "udp unmarked"], "forward to 192.0.2.1 = 192.0.2.1:5060, 1 dropped"),
    ])
    func bothOfOurRoutesGo(routes: [String], expected: String) {
        let values = routes.map { route in
            let transport = route.hasPrefix("tcp") ? ";transport=tcp" : ""
            return "<sip:192.0.2.1:5060\(transport);lr\(route.hasSuffix("unmarked") ? "" : ";sf=1")>"
        }
        #expect(routing("sip:bob@198.51.100.7", method: "BYE", routes: values) == expected)
        #expect(
            routing("sip:bob@198.51.100.7", method: "BYE", routes: [values.joined(separator: ", ")])
                == expected)
    }

    // MARK: responses

    /// Where a response goes with these Vias below ours, which came on the listener 0.
    private func endpoint(_ via: String, in proxy: MixedProxy, cameOn listener: UInt16 = 0) -> String {
        let lines = [
            "SIP/2.0 200 OK", "Via: SIP/2.0/UDP us;branch=z9hG4bK1", "Via: \(via);branch=z9hG4bK2",
            "From: <sip:a@h>;tag=1", "To: <sip:b@h>;tag=2", "Call-ID: c", "CSeq: 1 INVITE", "", "",
        ]
        let bytes = Array(lines.joined(separator: "\r\n").utf8)
        var index = MessageIndex()
        guard Scanner.scan(bytes.span, into: &index) == .complete else { return "not scanned" }
        let message = Message(bytes.span, index)
        var cameOn = Endpoint()
        cameOn.listener = listener
        guard let next = message.secondVia(),
            let endpoint = proxy.core.endpoint(of: next, message, cameOn: cameOn)
        else { return "nowhere" }
        #expect(endpoint.connection.isNone)
        let place = MixedProxy.text(endpoint.transport, endpoint.peer)
        return "\(place) by \(endpoint.listener), else \(endpoint.fallbackPort)"
    }

    /// RFC 3261 §18.2.2, RFC 3581 §4.
    @Test(arguments: [
        ("SIP/2.0/UDP 192.0.2.9", "udp 192.0.2.9:5060 by 0, else 5060"),
        ("SIP/2.0/UDP 192.0.2.9:5070", "udp 192.0.2.9:5070 by 0, else 5070"),
        ("SIP/2.0/UDP pc.example.net:5070;received=192.0.2.9", "udp 192.0.2.9:5070 by 0, else 5070"),
        ("SIP/2.0/UDP 10.0.0.1:5070;rport=40000;received=192.0.2.9", "udp 192.0.2.9:40000 by 0, else 5070"),
        ("SIP/2.0/TCP 192.0.2.9", "tcp 192.0.2.9:5060 by 1, else 5060"),
        ("SIP/2.0/tcp h:5071;rport=40000;received=192.0.2.9", "tcp 192.0.2.9:40000 by 1, else 5071"),
        ("SIP/2.0/TCP [2001:db8::9]:5070", "tcp [2001:db8::9]:5070 by 3, else 5070"),
        ("SIP/2.0/UDP h;received=2001:db8::9", "udp [2001:db8::9]:5060 by 2, else 5060"),
        ("SIP/2.0/TLS 192.0.2.9", "nowhere"), ("SIP/2.0/WS 192.0.2.9", "nowhere"),
        ("SIP/2.0/UDP pc.example.net", "nowhere"), ("SIP/2.0/UDP 255.255.255.255", "nowhere"),
        ("SIP/2.0/TCP h;received=224.0.0.1", "nowhere"),
    ])
    func responsesGoByTheViaBelow(via: String, expected: String) throws {
        #expect(endpoint(via, in: try MixedProxy()) == expected)
    }

    @Test func responsesNeedAListener() throws {
        let proxy = try MixedProxy(["udp 192.0.2.1:5060", "udp 192.0.2.2:5060"])
        #expect(endpoint("SIP/2.0/TCP 192.0.2.9", in: proxy) == "nowhere")
        #expect(endpoint("SIP/2.0/UDP [2001:db8::9]", in: proxy) == "nowhere")
        #expect(
            endpoint("SIP/2.0/UDP 192.0.2.9", in: proxy, cameOn: 1) == "udp 192.0.2.9:5060 by 1, else 5060")
    }

    // MARK: the connection in our Via

    private func connection(_ via: String, _ branch: Branch, _ keys: Keys) -> ConnectionReference {
        let lines = [
            "SIP/2.0 200 OK", via, "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK2", "From: <sip:a@h>;tag=1",
            "To: <sip:b@h>;tag=2", "Call-ID: c", "CSeq: 1 INVITE", "", "",
        ]
        let bytes = Array(lines.joined(separator: "\r\n").utf8)
        var index = MessageIndex()
        _ = Scanner.scan(bytes.span, into: &index)
        return FlowMark.connection(Message(bytes.span, index), branch, keys: keys)
    }

    @Test func theFlowMarkIsReadAgain() throws {
        let proxy = try MixedProxy()
        let flow = ConnectionReference(index: 6, generation: 0xFEED)
        let branch = Branch(.none, fork: 0, attempt: 0, loopMark: 5, keys: proxy.keys)
        let written = Proxy.text { proxy.core.writeVia(0, branch, flow: flow, to: &$0) }
        let via = String(decoding: written.dropLast(2), as: UTF8.self)
        #expect(via.contains(";flow=0000feed00000007"))
        #expect(connection(via, branch, proxy.keys) == flow)
        // What others have put behind it does no harm.
        #expect(connection(via + ";x=y;received=192.0.2.1", branch, proxy.keys) == flow)
    }

    /// Whoever could make one up would have our answers sent to others' connections.
    @Test func aMadeUpFlowMarkIsNone() throws {
        let proxy = try MixedProxy()
        let flow = ConnectionReference(index: 6, generation: 0xFEED)
        let branch = Branch(.none, fork: 0, attempt: 0, loopMark: 5, keys: proxy.keys)
        let written = Proxy.text { proxy.core.writeVia(0, branch, flow: flow, to: &$0) }
        let via = String(decoding: written.dropLast(2), as: UTF8.self)
        #expect(connection(via, branch, proxy.keys) == flow)
        let other = Branch(.none, fork: 0, attempt: 0, loopMark: 6, keys: proxy.keys)
        #expect(connection(via, other, proxy.keys).isNone)
        #expect(connection(via, branch, Proxy.keys(99)).isNone)
        let mark = try #require(via.firstRange(of: ";flow=")).upperBound
        for place in 0..<32 {
            var changed = Array(via.utf8)
            let index = via.utf8.distance(from: via.utf8.startIndex, to: mark) + place
            changed[index] = changed[index] == 0x30 ? 0x31 : 0x30
            #expect(connection(String(decoding: changed, as: UTF8.self), branch, proxy.keys).isNone)
        }
        for length in 0..<32 {
            let cut = via.utf8.count - 32 + length
            #expect(connection(String(via.prefix(cut)), branch, proxy.keys).isNone)
        }
        #expect(connection(via.replacing(";flow=", with: ";flaw="), branch, proxy.keys).isNone)
        #expect(connection(String(via[..<mark].dropLast(6)), branch, proxy.keys).isNone)
    }

    // MARK: candidates of a target

    private func candidates(
        of uri: String, _ found: [String], flags: ForkTarget.Flags = [], in proxy: MixedProxy
    ) throws -> [String] {
        let bytes = Array(uri.utf8)
        let hop = SIPURI.parse(bytes.span).flatMap { NextHop($0, bytes.span) }
        var target = ForkTarget(try #require(hop))
        target.flags.formUnion(flags)
        var answer = DNSAnswer()
        answer.status = .found
        for text in found {
            let endpoint = MixedProxy.endpoint(text)
            answer.candidates[answer.count].address = endpoint.peer
            answer.candidates[answer.count].transport = endpoint.transport
            answer.count += 1
        }
        return proxy.core.candidates(answer, for: target, seed: 1, now: 0).texts
    }

    /// RFC 3263 §4.1: a transport that the URI names is not for records to choose.
    @Test func anAddressIsSpokenToAsTheURISays() throws {
        let proxy = try MixedProxy()
        let found = ["udp 192.0.2.9:0", "udp [2001:db8::9]:0"]
        #expect(
            try candidates(of: "sip:gw:5070;transport=tcp", found, in: proxy) == [
                "tcp 192.0.2.9:5070", "tcp [2001:db8::9]:5070",
            ])
        #expect(
            try candidates(of: "sip:gw:5070", found, in: proxy) == [
                "udp 192.0.2.9:5070", "udp [2001:db8::9]:5070",
            ])
        // SRV records say it themselves.
        #expect(
            try candidates(of: "sip:gw;transport=tcp", ["tcp 192.0.2.9:5071"], in: proxy) == [
                "tcp 192.0.2.9:5071"
            ])
    }

    /// A family that only one of the transports has.
    @Test func anAddressIsLeftOutByItsOwnTransport() throws {
        let found = ["udp 192.0.2.9:0", "udp [2001:db8::9]:0"]
        let mixed = try MixedProxy(["udp 192.0.2.1:5060", "tcp [2001:db8::1]:5060"])
        #expect(
            try candidates(of: "sip:gw:5070;transport=tcp", found, in: mixed) == ["tcp [2001:db8::9]:5070"])
        #expect(
            try candidates(of: "sip:gw:5070;transport=udp", found, in: mixed) == ["udp 192.0.2.9:5070"])
    }

    /// Who may not use a route does not reach its next hop by a name for it.
    @Test func strangersGetNoHopOfARoute() throws {
        var route = RouteDraft()
        route.hops = [
            RouteDraft.Hop(uri: "sip:192.0.2.9", address: SocketAddress(host: "192.0.2.9", port: 5060)!)
        ]
        let proxy = try MixedProxy(routes: [route])
        let found = ["udp 192.0.2.9:0", "udp 192.0.2.10:0"]
        #expect(
            try candidates(of: "sip:gw:5060", found, flags: .avoidsHops, in: proxy) == ["udp 192.0.2.10:5060"]
        )
        #expect(try candidates(of: "sip:gw:5060", found, in: proxy).count == 2)
    }
}
