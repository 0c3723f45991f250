import Platform
import Testing

@testable import Syntax

private let ownVia = "Via: SIP/2.0/UDP us;branch=z9hG4bKown\r\n"
private let ownRecordRoute = "Record-Route: <sip:us;lr>\r\n"

/// The forwarded form of a request; `\r` left out to compare with a text.
private func forwarded(
    _ request: String, uri: String? = nil, recordRoute: Bool = false, drop: Int = 0, dropLast: Bool = false,
    append: String? = nil, breadth: Int? = nil, peer: SocketAddress? = nil, isForStream: Bool = false
) -> String {
    let scanned = Scanned(request)
    #expect(scanned.result == .complete)
    let via = Array(ownVia.utf8)
    let route = Array(ownRecordRoute.utf8)
    let uriBytes = uri.map { Array($0.utf8) } ?? []
    let appended = append.map { Array($0.utf8) } ?? []
    var edits = ForwardedRequest.Edits()
    edits.maxForwards = 69
    edits.maxBreadth = breadth
    edits.routesToDrop = drop
    edits.dropsLastRoute = dropLast
    edits.received = peer
    edits.isForStream = isForStream
    var fields: HopFields?
    let bytes = written { writer in
        fields = ForwardedRequest.write(
            message: Message(scanned.bytes.span, scanned.index), requestURI: uri == nil ? nil : uriBytes.span,
            via: via.span, recordRoute: recordRoute ? route.span : nil,
            appendRoute: append == nil ? nil : appended.span, edits, to: &writer)
    }
    let sent = Scanned(bytes)
    #expect(sent.result == .complete)
    if let fields {
        expectSameHopRequests(sent, fields)
    } else {
        #expect(request.contains("Route:") || append != nil)
    }
    return string(bytes).replacing("\r\n", with: "\n")
}

/// CANCEL and ACK are the same with what is known of a request as with what a scan finds.
private func expectSameHopRequests(_ sent: Scanned, _ fields: HopFields) {
    #expect(fields.lies(in: sent.bytes.count))
    let message = Message(sent.bytes.span, sent.index)
    let known = written { CancelRequest.write(forwarded: sent.bytes.span, fields, to: &$0) }
    #expect(string(known) == string(written { CancelRequest.write(forwarded: message, to: &$0) }))
    let response = Scanned("SIP/2.0 486 Busy\nVia: SIP/2.0/UDP us\nTo: <sip:b@b>\n ;tag=9\n\n")
    let answer = Message(response.bytes.span, response.index)
    let acknowledged = written {
        AckRequest.write(forwarded: sent.bytes.span, fields, response: answer, to: &$0)
    }
    #expect(
        string(acknowledged)
            == string(written { AckRequest.write(forwarded: message, response: answer, to: &$0) }))
}

@Suite struct ForwardedRequestTests {
    private let request = """
        INVITE sip:bob@b SIP/2.0
        X-First: 1
        v: SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKa , SIP/2.0/UDP c
        Via: SIP/2.0/TCP d
        Route: <sip:r1;lr>, <sip:r2;lr>,
          <sip:r3;lr>
        MaX-fOrWaRdS:   0070
        From: <sip:a@b>;tag=1
        Unknown-Header:  odd ,, text
          folded
        Route: "x, y" <sip:r4;lr>
        To: <sip:b@b>
        Call-ID: 1
        CSeq: 1 INVITE
        Content-Length: 3

        abc
        """

    @Test func editsNothingElse() {
        #expect(
            forwarded(request) == """
                INVITE sip:bob@b SIP/2.0
                X-First: 1
                Via: SIP/2.0/UDP us;branch=z9hG4bKown
                v: SIP/2.0/UDP 10.1.1.1:4540;rport;branch=z9hG4bKa , SIP/2.0/UDP c
                Via: SIP/2.0/TCP d
                Route: <sip:r1;lr>, <sip:r2;lr>,
                  <sip:r3;lr>
                MaX-fOrWaRdS:   69
                From: <sip:a@b>;tag=1
                Unknown-Header:  odd ,, text
                  folded
                Route: "x, y" <sip:r4;lr>
                To: <sip:b@b>
                Call-ID: 1
                CSeq: 1 INVITE
                Content-Length: 3

                abc
                """)
    }

    @Test func doesAllEditsAtOnce() {
        #expect(
            forwarded(
                request, uri: "sip:bob@192.0.2.4", recordRoute: true, drop: 2, append: "<sip:last>",
                peer: SocketAddress("192.0.2.1", 9988)) == """
                    INVITE sip:bob@192.0.2.4 SIP/2.0
                    X-First: 1
                    Via: SIP/2.0/UDP us;branch=z9hG4bKown
                    v: SIP/2.0/UDP 10.1.1.1:4540;rport=9988;branch=z9hG4bKa;received=192.0.2.1 , SIP/2.0/UDP c
                    Via: SIP/2.0/TCP d
                    Record-Route: <sip:us;lr>
                    Route: <sip:r3;lr>
                    MaX-fOrWaRdS:   69
                    From: <sip:a@b>;tag=1
                    Unknown-Header:  odd ,, text
                      folded
                    Route: "x, y" <sip:r4;lr>
                    Route: <sip:last>
                    To: <sip:b@b>
                    Call-ID: 1
                    CSeq: 1 INVITE
                    Content-Length: 3

                    abc
                    """)
    }

    /// Wherever they stand: before the first edit, behind the last, folded, in compact form.
    @Test(arguments: [
        ["f:<sip:a@b>", "t:  <sip:b@b>", "i :1", "CSeq: 7 INVITE", "v: SIP/2.0/UDP h;branch=z9hG4bK1"],
        [
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: A\n <sip:a@b>", "Max-Forwards: 9", "Call-ID:\n\t1",
            "CSeq: 7\n INVITE", "Content-Length: 0", "To: <sip:b@b>\n ;x=y ",
        ],
        [
            "CSeq: 4711 INVITE", "To: <sip:b@b>", "Max-Breadth: 5", "Via: SIP/2.0/UDP h;rport, SIP/2.0/UDP g",
            "From: <sip:a@b>;tag=1", "Record-Route: <sip:r;lr>", "Call-ID: 1", "Max-Forwards: 70",
        ],
    ])
    func knowsWhatAHopRepeats(lines: [String]) {
        let request = "INVITE sip:b@b SIP/2.0\n" + lines.joined(separator: "\n") + "\n\n"
        let peer = SocketAddress("192.0.2.1", 5060)
        for uri in [nil, "sip:b@192.0.2.9:5070;transport=udp"] {
            for isForStream in [false, true] {
                _ = forwarded(
                    request, uri: uri, recordRoute: true, breadth: 15, peer: peer, isForStream: isForStream)
            }
        }
    }

    /// RFC 5393 §5.3.3.1: one value in any case, and the header's own line where there is one.
    @Test func writesMaxBreadth() {
        let added = forwarded(request, breadth: 30)
        #expect(added.contains("MaX-fOrWaRdS:   69\nMax-Breadth: 30\nFrom:"))
        let replaced = forwarded(
            request.replacing("Call-ID: 1", with: "max-breadth :  7\nCall-ID: 1"), breadth: 3)
        #expect(replaced.contains("max-breadth :  3\nCall-ID: 1"))
        #expect(!replaced.contains("Max-Breadth"))
        let alone = forwarded(request.replacing("MaX-fOrWaRdS:   0070\n", with: ""), breadth: 30)
        #expect(alone.contains("branch=z9hG4bKown\nMax-Forwards: 69\nMax-Breadth: 30\nv:"))
    }

    /// §16.4: the last Route value has become the Request-URI.
    @Test(arguments: [
        ("Route: <sip:a;lr>, <sip:b;lr>\n", 0, "Route: <sip:a;lr>\n"),
        ("Route: <sip:a;lr>, <sip:b;lr>\n", 1, ""),
        ("Route: <sip:a;lr>\nX: y\nRoute: <sip:b;lr>\n", 0, "Route: <sip:a;lr>\nX: y\n"),
        ("Route: <sip:a;lr>,<sip:b;lr> ,\n\t<sip:c;lr> , \n", 1, "Route: <sip:b;lr> \n"),
        ("Route: <sip:a;lr>, <sip:b;lr>\nRoute: <sip:c;lr>\n", 1, "Route: <sip:b;lr>\n"),
        ("Route: <sip:a;lr>\n", 0, ""),
        ("Route: <sip:a;lr>\n", 1, ""),
        ("Route: \"x, y\" <sip:a;lr>;p=\",\",<sip:b;lr>;q\n", 0, "Route: \"x, y\" <sip:a;lr>;p=\",\"\n"),
    ])
    func dropsTheLastRoute(routes: String, leading: Int, left: String) {
        let text = """
            BYE sip:us;lr SIP/2.0
            Via: SIP/2.0/UDP h;branch=z9hG4bK1
            From: <sip:a@b>;tag=1
            To: <sip:b@b>;tag=2
            Call-ID: 1
            CSeq: 1 BYE
            Max-Forwards: 70
            \(routes)Content-Length: 0


            """
        let result = forwarded(text, drop: leading, dropLast: true)
        #expect(result.contains("Max-Forwards: 69\n\(left)Content-Length: 0\n"))
    }

    @Test(arguments: [
        (1, ["<sip:r2;lr>", "<sip:r3;lr>", "\"x, y\" <sip:r4;lr>"]),
        (2, ["<sip:r3;lr>", "\"x, y\" <sip:r4;lr>"]),
        (3, ["\"x, y\" <sip:r4;lr>"]), (4, []), (99, []),
    ])
    func dropsLeadingRoutes(count: Int, rest: [String]) {
        let text = forwarded(request, drop: count)
        #expect(Scanned(text).values(.route) == rest)
        let appended = forwarded(request, drop: count, append: "<sip:z>")
        #expect(Scanned(appended).values(.route) == rest + ["<sip:z>"])
    }

    @Test func addsWhatIsMissing() {
        let bare = """
            OPTIONS sip:bob@b SIP/2.0
            Via: SIP/2.0/UDP h
            From: <sip:a@b>;tag=1
            To: <sip:b@b>
            Call-ID: 1
            CSeq: 1 OPTIONS


            """
        #expect(
            forwarded(bare, recordRoute: true, append: "<sip:z>") == """
                OPTIONS sip:bob@b SIP/2.0
                Via: SIP/2.0/UDP us;branch=z9hG4bKown
                Max-Forwards: 69
                Via: SIP/2.0/UDP h
                Record-Route: <sip:us;lr>
                Route: <sip:z>
                From: <sip:a@b>;tag=1
                To: <sip:b@b>
                Call-ID: 1
                CSeq: 1 OPTIONS


                """)
        let recorded = bare.replacing("Call-ID", with: "Record-Route: <sip:p1;lr>\nCall-ID")
        #expect(
            Scanned(forwarded(recorded, recordRoute: true)).values(.recordRoute) == [
                "<sip:us;lr>", "<sip:p1;lr>",
            ])
    }

    @Test func leavesOutWhatFollowsTheBodyAndEmptyLinesBefore() {
        let text = forwarded("\n\n" + request + "INVITE sip:x SIP/2.0\n\n")
        #expect(text.hasPrefix("INVITE sip:bob@b") && text.hasSuffix("\n\nabc"))
    }

    /// RFC 3261 §18.2.1, RFC 3581 §4.
    @Test(arguments: [
        ("10.1.1.1:4540", "10.1.1.1:4540"), ("10.1.1.2:4540", "10.1.1.2:4540;received=10.1.1.1"),
        ("host", "host;received=10.1.1.1"), ("10.1.1.1;rport", "10.1.1.1;rport=9;received=10.1.1.1"),
        ("10.1.1.1;rport=7;x", "10.1.1.1;rport=9;x;received=10.1.1.1"),
        ("h;rport = 7 ;received = 1.2.3.4;x", "h;rport = 9 ;received = 10.1.1.1;x"),
        ("h;received=1.2.3.4;rport;x", "h;received=10.1.1.1;rport=9;x"),
        ("10.1.1.1;received=1.2.3.4", "10.1.1.1;received=10.1.1.1"),
        ("h;branch=z ", "h;branch=z;received=10.1.1.1 "),
    ])
    func stampsThePreviousVia(before: String, after: String) {
        let text = request.replacing("10.1.1.1:4540;rport;branch=z9hG4bKa", with: before)
        let result = forwarded(text, peer: SocketAddress("10.1.1.1", 9))
        #expect(
            result.contains("v: SIP/2.0/UDP \(after) , SIP")
                || result.contains("v: SIP/2.0/UDP \(after), SIP"))
    }

    @Test func stampsIPv6() {
        let text = request.replacing("10.1.1.1:4540;rport;branch=z9hG4bKa", with: "[2001:DB8:0::1];branch=z")
        #expect(
            forwarded(text, peer: SocketAddress("2001:db8::1", 9)).contains("UDP [2001:DB8:0::1];branch=z ,"))
        #expect(
            forwarded(text, peer: SocketAddress("2001:db8::2", 9)).contains(
                ";branch=z;received=2001:db8::2 ,"))
    }

    /// RFC 3261 §20.14: a datagram may do without, a stream may not.
    @Test(arguments: ["abc", "", "a\n\nb\n"])
    func aStreamNeedsAContentLength(body: String) {
        let bare = request.replacing("Content-Length: 3\n\nabc", with: "\n\(body)")
        #expect(
            forwarded(bare) == forwarded(bare, isForStream: true).replacing(contentLength(body), with: ""))
        let result = forwarded(
            bare, uri: "sip:x", recordRoute: true, drop: 1, append: "<sip:z>", isForStream: true)
        #expect(result.hasSuffix("CSeq: 1 INVITE\n\(contentLength(body))\n\(body)"))
    }

    private func contentLength(_ body: String) -> String { "Content-Length: \(wire(body).count)\n" }

    @Test(arguments: ["Content-Length: 3", "l: 3", "CONTENT-LENGTH  :\n   0003"])
    func aContentLengthStaysAsItIs(line: String) {
        let text = request.replacing("Content-Length: 3", with: line)
        #expect(forwarded(text, isForStream: true) == forwarded(text))
        #expect(forwarded(text, isForStream: true).contains("\n\(line)\n\nabc"))
    }
}
