import Testing

@testable import Syntax

/// The INVITE of RFC 3261 §24.2, F1.
let inviteText = """
    INVITE sip:bob@biloxi.com SIP/2.0
    Via: SIP/2.0/UDP pc33.atlanta.com;branch=z9hG4bKnashds8
    Max-Forwards: 70
    To: Bob <sip:bob@biloxi.com>
    From: Alice <sip:alice@atlanta.com>;tag=1928301774
    Call-ID: a84b4c76e66710
    CSeq: 314159 INVITE
    Contact: <sip:alice@pc33.atlanta.com>
    Content-Type: application/sdp
    Content-Length: 4

    v=0

    """

@Suite struct ScannerTests {
    @Test func readsARequest() {
        let scanned = Scanned(inviteText)
        let index = scanned.index
        #expect(scanned.result == .complete)
        #expect(index.isRequest && index.method == .invite && index.status == 0)
        #expect(scanned[index.methodRange] == "INVITE")
        #expect(scanned[index.requestURI] == "sip:bob@biloxi.com")
        #expect(scanned[index.callID] == "a84b4c76e66710")
        #expect(scanned[index.fromTag] == "1928301774")
        #expect(index.toTag.isEmpty)
        #expect(index.cseqNumber == 314159 && index.cseqMethod == .invite)
        #expect(scanned[index.cseqMethodRange] == "INVITE")
        #expect(index.maxForwards == 70 && index.contentLength == 4)
        #expect(scanned[index.topVia.branch] == "z9hG4bKnashds8")
        #expect(index.topVia.transport == .udp && index.topVia.hasMagicCookie)
        #expect(scanned[index.body] == "v=0\r")
        #expect(Int(index.end) == scanned.bytes.count - 1)
        #expect(scanned[index.first(.contact).value] == "<sip:alice@pc33.atlanta.com>")
        #expect(index.first(.route).count == 0)
    }

    @Test func readsAResponse() {
        let scanned = Scanned(
            """
            SIP/2.0 180 Ringing
            Via: SIP/2.0/UDP server10.biloxi.com;branch=z9hG4bK4b43c2ff8.1;received=192.0.2.3
            Via: SIP/2.0/UDP bigbox3.site3.atlanta.com;branch=z9hG4bK77ef4c2312983.1;received=192.0.2.2
            To: Bob <sip:bob@biloxi.com>;tag=a6c85cf
            From: Alice <sip:alice@atlanta.com>;tag=1928301774
            Call-ID: a84b4c76e66710
            CSeq: 314159 INVITE
            Content-Length: 0


            """)
        #expect(scanned.result == .complete)
        #expect(!scanned.index.isRequest && scanned.index.status == 180)
        #expect(scanned[scanned.index.reason] == "Ringing")
        #expect(scanned[scanned.index.toTag] == "a6c85cf")
        #expect(scanned.index.first(.via).count == 2)
        #expect(scanned.index.cseqMethod == .invite)
        let message = Message(scanned.bytes.span, scanned.index)
        let second = message.secondVia()
        #expect(second.map { scanned[$0.received] } == "192.0.2.2")
    }

    /// The second Via value, in the line of the first or the next.
    @Test(
        arguments: [
            (["SIP/2.0/UDP a"], nil),
            (["SIP/2.0/UDP a, SIP / 2.0 / TCP\t[::1] : 5060;x", "SIP/2.0/UDP c"], "[::1]"),
            (
                [
                    "SIP/2.0/UDP a;branch=z9hG4bK1", "SIP/2.0/UDP b:5070;rport=1,SIP/2.0/UDP d",
                    "SIP/2.0/UDP c",
                ], "b"
            ),
            (["SIP/2.0/UDP a", "", "SIP/2.0/UDP c"], nil),
            (["SIP/2.0/UDP a", "nonsense", "SIP/2.0/UDP c"], nil),
        ] as [([String], String?)])
    func findsTheSecondVia(values: [String], host: String?) {
        let lines = values.map { "Via: \($0)\n" }.joined()
        let scanned = Scanned(
            "SIP/2.0 200 OK\nTo: <sip:a>\n\(lines)From: <sip:a>\nCall-ID: 1\nCSeq: 1 BYE\n\n")
        #expect(scanned.result == .complete)
        let message = Message(scanned.bytes.span, scanned.index)
        #expect(message.secondViaHost().map { scanned[$0] } == host)
        let second = message.secondVia()
        #expect(second.map { scanned[$0.host] } == host)
    }

    @Test func fitsItsSlot() {
        #expect(MemoryLayout<MessageIndex>.size <= 400)
        #expect(MemoryLayout<ByteRange>.size == 4)
    }

    @Test(arguments: [
        ("v", HeaderID.via), ("F", .from), ("t", .to), ("I", .callID), ("m", .contact), ("l", .contentLength),
        ("c", .contentType), ("K", .supported), ("s", .other), ("e", .other), ("o", .other), ("r", .other),
        ("b", .other), ("d", .other), ("u", .other), ("a", .other), ("x", .other), ("y", .other),
        ("n", .other),
        ("j", .other), ("q", .other), ("Content-Lengths", .other), ("Content-Tyqe", .other), ("", .other),
        ("Proxy-Auxxorization", .other), ("Proxy-Auxxenticate", .other), ("viaa", .other), ("Fro", .other),
    ])
    func knowsCompactNamesAndStrangers(name: String, id: HeaderID) {
        let bytes = Array(name.utf8)
        #expect(HeaderID(bytes.span, bytes.span.wholeRange) == id)
    }

    @Test(arguments: HeaderID.allCases)
    func knowsEveryNameInAnyCase(id: HeaderID) {
        let name = id.name.description
        for form in [name, name.lowercased(), name.uppercased()] {
            let bytes = Array(form.utf8)
            #expect(HeaderID(bytes.span, bytes.span.wholeRange) == id)
        }
    }

    @Test(arguments: Method.allCases)
    func methodsAreCaseSensitive(method: Method) {
        let token = Array(method.text.description.utf8)
        #expect(Method(token.span, token.span.wholeRange) == method)
        let lower = Array(method.text.description.lowercased().utf8)
        #expect(Method(lower.span, lower.span.wholeRange) == .unknown)
        let longer = token + Array("X".utf8)
        #expect(Method(longer.span, longer.span.wholeRange) == .unknown)
    }

    @Test func readsCompactNamesFoldsAndSpaceBeforeColons() {
        let scanned = Scanned(
            """
            OPTIONS sip:a@b SIP/2.0
            v : SIP/2.0/TCP\t[2001:db8::1]:5070
              ;branch=z9hG4bK1
            f: <sip:x@y>
             ; tag = 7
            t\t:\tsip:a@b
            i:1@y
            CSEQ: 1
            \tOPTIONS
            l: 0


            """)
        #expect(scanned.result == .complete)
        #expect(scanned[scanned.index.topVia.host] == "[2001:db8::1]")
        #expect(scanned.index.topVia.port == 5070 && scanned.index.topVia.transport == .tcp)
        #expect(scanned[scanned.index.topVia.branch] == "z9hG4bK1")
        #expect(scanned[scanned.index.fromTag] == "7")
        #expect(scanned.index.cseqMethod == .options)
        #expect(scanned.index.maxForwards == -1)
    }

    @Test func skipsEmptyLinesAndIgnoresWhatFollowsTheBody() {
        let scanned = Scanned(wire("\n\n" + inviteText + "trailing"))
        #expect(scanned.result == .complete)
        #expect(scanned.index.start == 4)
        #expect(scanned[scanned.index.body] == "v=0\r")
        #expect(scanned[scanned.index.whole].hasSuffix("v=0\r"))
    }

    @Test func takesTheRestOfTheDatagramWithoutContentLength() {
        let scanned = Scanned(inviteText.replacing("Content-Length: 4\n", with: ""))
        #expect(scanned.result == .complete)
        #expect(scanned.index.contentLength == -1)
        #expect(scanned[scanned.index.body] == "v=0\r\n")
    }

    @Test(arguments: [
        "", "\r\n\r\n", "\r\n", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "hello\r\n\r\n",
        "INVITE sip:bob@biloxi.com SIP/2.0", "INVITE sip:bob@biloxi.com\r\n\r\n",
        "(INVITE) sip:a@b SIP/2.0\r\n\r\n",
        "\u{1}\u{1}\0\u{8}!\u{12}\u{A4}B\r\n", " INVITE sip:a@b SIP/2.0\r\n\r\n", "SIP/2.0", "SIP/2.0 200 OK",
    ])
    func dropsWhatIsNotSIP(text: String) {
        #expect(Scanned(Array(text.utf8)).result == .notSIP)
    }

    @Test func walksOverLinesAndValues() {
        let scanned = Scanned(
            """
            INVITE sip:bob@biloxi.com SIP/2.0
            Route: <sip:a;lr>, "x, \\" y" <sip:b,c;lr>;p="1,2" ,
             <sip:d>
            Via: SIP/2.0/UDP h
            X-Unknown: ;;,,;
            From: <sip:x@y>
            To: <sip:x@y>
            Route:
            Route: ,, <sip:e>,,
            Call-ID: 1
            CSeq: 1 INVITE


            """)
        #expect(scanned.result == .complete)
        #expect(scanned.index.first(.route).count == 3)
        #expect(
            scanned.values(.route) == [
                "<sip:a;lr>", #""x, \" y" <sip:b,c;lr>;p="1,2""#, "<sip:d>", "<sip:e>",
            ])
        var names: [String] = []
        var lines = Message(scanned.bytes.span, scanned.index).lines
        while let line = lines.next() {
            names.append(scanned[line.name])
            #expect(scanned.bytes[Int(line.field.lineEnd) - 1] == 0x0A)
        }
        #expect(names == ["Route", "Via", "X-Unknown", "From", "To", "Route", "Route", "Call-ID", "CSeq"])
    }
}
