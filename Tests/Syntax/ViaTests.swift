import Testing

@testable import Syntax

@Suite struct ViaTests {
    private func parse(_ value: String) -> (Via, [UInt8])? {
        let bytes = Array(value.utf8)
        return Via.parse(bytes.span, bytes.span.wholeRange).map { ($0, bytes) }
    }

    @Test func readsAllParts() throws {
        let (via, bytes) = try #require(
            parse(
                "SIP/2.0/UDP pc33.example.com:5070;rport;branch=z9hG4bK776;received=192.0.2.1 , SIP/2.0/TCP x"
            ))
        #expect(
            text(bytes, via.whole)
                == "SIP/2.0/UDP pc33.example.com:5070;rport;branch=z9hG4bK776;received=192.0.2.1")
        #expect(text(bytes, via.sentBy) == "pc33.example.com:5070")
        #expect(text(bytes, via.host) == "pc33.example.com" && via.port == 5070)
        #expect(text(bytes, via.branch) == "z9hG4bK776" && via.hasMagicCookie)
        #expect(text(bytes, via.received) == "192.0.2.1")
        #expect(via.hasRport && via.rport.isEmpty && via.rportValue == 0)
        #expect(!via.isLastInLine)
        let second = Via.parse(bytes.span, ByteRange(Int(via.rest), bytes.count))
        #expect(second?.transport == .tcp && second?.isLastInLine == true)
        #expect(second.map { text(bytes, $0.whole) } == "SIP/2.0/TCP x")
    }

    /// RFC 4475 §3.1.1.1, §3.1.1.2, §3.1.1.10, §3.2.1.
    @Test(arguments: [
        (
            "SIP  / 2.0\r\n  /UDP\r\n    192.0.2.2;branch=390skdjuw", Via.Transport.udp, "192.0.2.2",
            "390skdjuw", false
        ),
        (
            "SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ", .tcp,
            "spindle.example.com",
            "z9hG4bK9ikj8", true
        ),
        (
            "SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~", .tcp, "host1.example.com",
            "z9hG4bK-.!%66*_+`'~", true
        ),
        (
            "SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en", .other, "t4.example.com",
            "z9hG4bKasd0f3en", true
        ),
        ("SIP/2.0/tls a;branch=z9hG4bK", .tls, "a", "z9hG4bK", false),
        ("SIP/2.0/SCTP a", .sctp, "a", "", false), ("SIP/2.0/WS a.invalid", .ws, "a.invalid", "", false),
        ("SIP/2.0/WSS [2001:db8::1]:443;x", .wss, "[2001:db8::1]", "", false),
        ("sip/2.0/udp a:1;BRANCH=Z9HG4BKx", .udp, "a", "Z9HG4BKx", true),
        ("SIP/7.0/UDP a;branch=1;branch=2", .udp, "a", "1", false),
    ])
    func reads(value: String, transport: Via.Transport, host: String, branch: String, cookie: Bool) throws {
        let (via, bytes) = try #require(parse(value))
        #expect(via.transport == transport)
        #expect(text(bytes, via.host) == host)
        #expect(text(bytes, via.branch) == branch)
        #expect(via.hasMagicCookie == cookie)
        #expect(via.isLastInLine)
    }

    @Test(arguments: [
        ("SIP/2.0/UDP a;rport=5", UInt16(5)), ("SIP/2.0/UDP a;rport=65536", 0), ("SIP/2.0/UDP a;rport=x", 0),
        ("SIP/2.0/UDP a;rport", 0),
    ])
    func readsRport(value: String, port: UInt16) throws {
        let (via, _) = try #require(parse(value))
        #expect(via.hasRport && via.rportValue == port)
    }

    @Test(arguments: [
        "", "SIP", "SIP/2.0", "SIP/2.0/", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/UDP;x", "SIP/2.0/UDP a;",
        "SIP/2.0/UDP a;;",
        "SIP/2.0/UDP a b", "SIP/2.0/UDP a:", "SIP/2.0/UDP a:0", "SIP/2.0/UDP a:70000", "SIP/2.0/UDP [::1",
        "SIP/2.0/U,P a",
        "SIP/2.0/UDP a;x=\"", "SIP/2.0/UDP a,,SIP/2.0/UDP b", "/2.0/UDP a", "SIP//UDP a", "SIP/2.0/UDP <a>",
        "SIP/2.0/UDP a;=1",
    ])
    func refuses(value: String) { #expect(parse(value) == nil) }

    @Test func knowsDefaultPorts() throws {
        #expect(try #require(parse("SIP/2.0/UDP a")).0.portOrDefault == 5060)
        #expect(try #require(parse("SIP/2.0/TLS a")).0.portOrDefault == 5061)
        #expect(try #require(parse("SIP/2.0/TLS a:7")).0.portOrDefault == 7)
    }
}
