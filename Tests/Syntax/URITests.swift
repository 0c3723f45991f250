import Testing

@testable import Syntax

/// A URI parsed from a text, with its bytes.
private struct Parsed {
    let bytes: [UInt8]
    let uri: SIPURI

    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let uri = SIPURI.parse(bytes.span) else { return nil }
        self.bytes = bytes
        self.uri = uri
    }

    subscript(range: ByteRange) -> String { text(bytes, range) }

    // The macros of Swift Testing take no expressions with spans.
    var transport: Via.Transport? { uri.transport(bytes.span) }

    func parameter(_ name: StaticString) -> String? {
        let value = uri.parameter(named: name, bytes.span)
        let isPresent = uri.hasParameter(name, bytes.span)
        #expect(isPresent == (value != nil))
        return value.map { self[$0] }
    }

    var addressOfRecord: String { string(written { uri.writeAddressOfRecord(bytes.span, to: &$0) }) }
}

private func areEqual(_ left: String, _ right: String) -> Bool {
    let a = Parsed(left)!
    let b = Parsed(right)!
    return SIPURI.equal(a.uri, a.bytes.span, b.uri, b.bytes.span)
}

@Suite struct URITests {
    @Test func hasAllComponents() {
        let parsed = Parsed(
            "sips:alice:se%40cret@Atlanta.example.com:5061;transport=tcp;lr?subject=a%20b&to=x")!
        #expect(parsed.uri.scheme == .sips)
        #expect(parsed[parsed.uri.user] == "alice")
        #expect(parsed[parsed.uri.password] == "se%40cret")
        #expect(parsed[parsed.uri.host] == "Atlanta.example.com")
        #expect(parsed.uri.port == 5061)
        #expect(parsed[parsed.uri.parameters] == "transport=tcp;lr")
        #expect(parsed[parsed.uri.headers] == "subject=a%20b&to=x")
        #expect(parsed.transport == .tcp)
        #expect(parsed.parameter("lr") == "")
        #expect(parsed.parameter("maddr") == nil)
        #expect(parsed.parameter("transport") == "tcp")
    }

    /// RFC 4475 §3.1.1.2, §3.1.1.9, RFC 3261 §19.1.3 and what the field sends.
    @Test(arguments: [
        ("sip:atlanta.com", "", "atlanta.com", 0),
        (
            "SIP:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
            "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", "example.com", 0
        ),
        ("sip:user;par=u%40example.net@example.com", "user;par=u%40example.net", "example.com", 0),
        ("sip:sips%3Auser%40example.com@example.net", "sips%3Auser%40example.com", "example.net", 0),
        ("sip:[2001:db8::9:1]", "", "[2001:db8::9:1]", 0),
        ("sip:bob@[2001:db8::9:1]:5070;lr", "bob", "[2001:db8::9:1]", 5070),
        ("sip:+1-212-555-1212:1234@gateway.com;user=phone", "+1-212-555-1212", "gateway.com", 0),
        ("sip:*21#@192.0.2.1", "*21#", "192.0.2.1", 0), ("tel:+1-201;ext=5", "+1-201", "", 0),
        ("sip:null-%00-null@example.com", "null-%00-null", "example.com", 0),
    ])
    func reads(text: String, user: String, host: String, port: UInt16) {
        let parsed = Parsed(text)
        #expect(parsed.map { $0[$0.uri.user] } == user)
        #expect(parsed.map { $0[$0.uri.host] } == host)
        #expect(parsed?.uri.port == port)
    }

    @Test(arguments: [
        "", "sip", "sip:", ":x", "1sip:a", "sip:@host", "sip:a@", "sip:a@b:", "sip:a@b:0", "sip:a@b:65536",
        "sip:a@b:5060x", "sip:a b@c", "sip:a@b\r\n", "sip:a@b;x y", "sip:a%@b", "sip:a%4@b", "sip:a%zz@b",
        "sip:a@b%4",
        "<sip:a@b>", "sip:a@b>", "sip:\"a\"@b", "sip:a@[::1", "sip:a@[]", "sip:a@[::g]", "sip:a@b/c",
        "sip:a@@b", "tel:",
        "tel:;x", "sip:a@b\0", "other:", "other:a b", "sip:a@999999999999999999999:1:2",
    ])
    func refuses(text: String) { #expect(Parsed(text) == nil) }

    @Test func refusesRangesOutside() {
        let bytes = Array("sip:a".utf8)
        for range in [ByteRange(offset: 0, count: 6), ByteRange(offset: 65535, count: 65535)] {
            let uri = SIPURI.parse(bytes.span, range)
            #expect(uri == nil)
        }
    }

    /// RFC 3261 §19.1.4, both lists.
    @Test(arguments: [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x"
        ),
        ("sip:a@b;%6C%72", "sip:a@b;lr"), ("sip:%00@h", "sip:%00@h"), ("SIP:a@b", "sip:a@b"),
        ("sip:a%23@b", "sip:a#@b"), ("tel:+1;EXT=5", "tel:+1;ext=5"),
        ("sip:a@[2001:DB8::1]", "sip:a@[2001:db8::1]"),
        // RFC 5954 §4: addresses, not their texts.
        ("sip:a@[2001:db8::1]", "sip:a@[2001:0DB8:0:0::0001]"),
        ("sip:[::1]:5070", "sip:[0:0:0:0:0:0:0:1]:5070"),
        ("sip:[::ffff:1.2.3.4]", "sip:[::FFFF:102:304]"),
        ("urn:service:sos", "urn:service:sos"), ("sip:a%3B@b", "sip:a%3b@b"),
    ])
    func equalURIs(left: String, right: String) {
        #expect(areEqual(left, right))
        #expect(areEqual(right, left))
    }

    @Test(arguments: [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"), ("sip:a@b", "sip:b"), ("sip:a:x@b", "sip:a@b"), ("sip:a:@b", "sip:a@b"),
        ("sip:a@b;user=phone", "sip:a@b"), ("sip:a@b;ttl=1", "sip:a@b"), ("sip:a@b;method=INVITE", "sip:a@b"),
        ("sip:a@b;maddr=1.2.3.4", "sip:a@b"), ("sip:a@b;lr", "sip:a@b;lr=on"), ("sip:a%40@b", "sip:a%41@b"),
        ("sip:a;x@b", "sip:a%3Bx@b"), ("sip:%00@h", "sip:%00%00@h"), ("sip:a@b?x=1&y=2", "sip:a@b?x=1&y=3"),
        ("sip:a@b?x=1", "sip:a@b?x=1&y=2"), ("sip:v%25%34%31@h", "sip:vA@h"), ("urn:a", "urn:b"),
        ("tel:1", "sip:1"), ("sip:[::1]", "sip:[::2]"), ("sip:[::1]:5070", "sip:[::1:5070]"),
        ("sip:a@[::ffff:1.2.3.4]", "sip:a@1.2.3.4"), ("sip:[1::]", "sip:[::1]"), ("sip:[1:2]", "sip:[1:3]"),
    ])
    func unequalURIs(left: String, right: String) {
        #expect(!areEqual(left, right))
        #expect(!areEqual(right, left))
    }

    @Test func comparesHostileURIsInBoundedTime() {
        let long = "sip:a@b" + String(repeating: ";a", count: 30_000)
        let clock = ContinuousClock()
        #expect(clock.measure { _ = areEqual(long, long + ";b") } < .seconds(1))
    }

    @Test(arguments: [
        ("SIP:%61lice:pw@AtLanTa.com:5060;lr?x=1", "alice@atlanta.com"), ("sip:Atlanta.COM", "atlanta.com"),
        ("sip:Bob@h", "Bob@h"), ("sip:a%40b@h", "a%40b@h"), ("sip:a;x=1@h", "a;x=1@h"),
        ("sip:%00@h", "%00@h"),
        ("sip:v%25%34%31@h", "v%2541@h"), ("sip:a#b@h", "a%23b@h"), ("sip:a%23b@h", "a%23b@h"),
        ("sip:a%3bb@h", "a%3Bb@h"), ("sips:a@[2001:DB8::1]:1", "a@[2001:db8::1]"), ("tel:+1-2;x", "+12"),
        ("sip:%C3%BC@h", "%C3%BC@h"), ("sip:ü@h", "%C3%BC@h"),
        ("sip:a@[2001:0DB8:0:0::0010]", "a@[2001:db8::10]"), ("sip:[::1.2.3.4]", "[::102:304]"),
        ("sip:a@[2001:db8::0:1:0:0]", "a@[2001:db8::1:0:0]"), ("sip:a@[A:B]", "a@[a:b]"),
    ])
    func writesTheAddressOfRecord(text: String, expected: String) {
        #expect(Parsed(text)?.addressOfRecord == expected)
        // What was written gives the same again.
        if expected.contains("@") { #expect(Parsed("sip:" + expected)?.addressOfRecord == expected) }
    }
}
