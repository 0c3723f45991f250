import Platform
import Testing

@testable import Syntax

@Suite struct ForwardedResponseTests {
    private func response(_ vias: String) -> String {
        """
        SIP/2.0 200 OK
        \(vias)From: <sip:a@b>;tag=1
        To: <sip:b@b>;tag=2
        Call-ID: 1
        CSeq: 1 INVITE
        Content-Length: 3

        abc
        """
    }

    @Test(arguments: [
        ("Via: SIP/2.0/UDP us;branch=z\nVia: SIP/2.0/UDP a\n", "Via: SIP/2.0/UDP a\n"),
        ("v: SIP/2.0/UDP us;branch=z , SIP/2.0/UDP a\n", "v: SIP/2.0/UDP a\n"),
        (
            "v:  SIP / 2.0 / UDP us\n ;branch=z ,\n  SIP/2.0/UDP a,SIP/2.0/UDP b\nv: SIP/2.0/UDP c\n",
            "v:  SIP/2.0/UDP a,SIP/2.0/UDP b\nv: SIP/2.0/UDP c\n"
        ),
        ("Via: SIP/2.0/UDP us\n", ""),
    ])
    func cutsTheTopVia(before: String, after: String) {
        let scanned = Scanned("\n" + response(before) + "rest")
        #expect(scanned.result == .complete)
        let message = Message(scanned.bytes.span, scanned.index)
        let bytes = written { ForwardedResponse.write(Message(scanned.bytes.span, scanned.index), to: &$0) }
        #expect(string(bytes) == string(wire(response(after))))
        let (from, to) = ForwardedResponse.cut(message)
        let pieces =
            scanned.bytes[Int(scanned.index.start)..<from] + scanned.bytes[to..<Int(scanned.index.end)]
        #expect(Array(pieces) == bytes)
    }

    /// RFC 3261 §20.14: written where it is missing, last of the header, and nowhere else.
    @Test(arguments: ["abc", "", "a\n\nb\n"])
    func aStreamNeedsAContentLength(body: String) {
        let vias = "Via: SIP/2.0/UDP us;branch=z\nVia: SIP/2.0/TCP a\n"
        let bare = Scanned(response(vias).replacing("Content-Length: 3\n\nabc", with: "\n\(body)"))
        #expect(bare.result == .complete)
        func forwarded(_ scanned: Scanned, _ isForStream: Bool) -> String {
            string(
                written {
                    let message = Message(scanned.bytes.span, scanned.index)
                    ForwardedResponse.write(message, isForStream: isForStream, to: &$0)
                }
            ).replacing("\r\n", with: "\n")
        }
        let length = "Content-Length: \(wire(body).count)\n"
        #expect(forwarded(bare, true).hasSuffix("CSeq: 1 INVITE\n\(length)\n\(body)"))
        #expect(forwarded(bare, true).replacing(length, with: "") == forwarded(bare, false))
        for line in ["Content-Length: 3", "l : 3"] {
            let scanned = Scanned(response(vias).replacing("Content-Length: 3", with: line))
            #expect(forwarded(scanned, true) == forwarded(scanned, false))
            #expect(forwarded(scanned, true).contains("\n\(line)\n\nabc"))
        }
    }
}

@Suite struct LocalResponseTests {
    private func answer(
        _ scanned: Scanned, _ status: UInt16, reason: StaticString? = nil, tag: String? = nil,
        peer: SocketAddress,
        extra: String? = nil
    ) -> String {
        let tagBytes = Array((tag ?? "").utf8)
        let extraBytes = Array((extra ?? "").utf8)
        let bytes = written { writer in
            LocalResponse.write(
                request: Message(scanned.bytes.span, scanned.index), status: status, reason: reason,
                toTag: tag == nil ? nil : tagBytes.span, peer: peer,
                extra: extra == nil ? nil : extraBytes.span,
                to: &writer)
        }
        return string(bytes).replacing("\r\n", with: "\n")
    }

    private let request = """
        INVITE sip:bob@b SIP/2.0
        v: SIP/2.0/UDP 10.1.1.1:4540
          ;rport;branch=z9hG4bKa , SIP/2.0/UDP c
        Record-Route: <sip:p;lr>
        Timestamp: 54
        Via: SIP/2.0/TCP d
        f: <sip:a@b>
         ;tag=1
        t: sip:b@b
        i: 1@x
        CSEQ: 0007
          INVITE


        """

    @Test func copiesWhatBelongsThere() {
        #expect(
            answer(
                Scanned(request), 404, tag: "t1", peer: SocketAddress("192.0.2.1", 9988),
                extra: "Retry-After: 5\r\n")
                    == """
                    SIP/2.0 404 Not Found
                    Via: SIP/2.0/UDP 10.1.1.1:4540   ;rport=9988;branch=z9hG4bKa;received=192.0.2.1 , SIP/2.0/UDP c
                    Via: SIP/2.0/TCP d
                    From: <sip:a@b>  ;tag=1
                    To: sip:b@b;tag=t1
                    Call-ID: 1@x
                    CSeq: 0007   INVITE
                    Retry-After: 5
                    Content-Length: 0


                    """)
    }

    @Test func a100CarriesTheTimestampAndNoTag() {
        let text = answer(Scanned(request), 100, peer: SocketAddress("10.1.1.1", 4540))
        #expect(text.hasPrefix("SIP/2.0 100 Trying\n"))
        #expect(text.contains("\nTo: sip:b@b\n") && text.contains("\nTimestamp: 54\n"))
        #expect(Scanned(text).result == .complete)
    }

    @Test func keepsATagThatIsThere() {
        let scanned = Scanned(request.replacing("sip:b@b\n", with: "sip:b@b;tag=theirs\n"))
        #expect(
            answer(scanned, 200, tag: "ours", peer: SocketAddress()).contains("\nTo: sip:b@b;tag=theirs\n"))
    }

    @Test func answersFaultyRequestsWithWhatTheyHave() {
        let scanned = Scanned(
            "OPTIONS sip:a SIP/2.0\nVia: SIP/2.0/UDP h;branch=1\nTo: \"x <sip:b>\nFrom: a\rb\nCSeq: x\n\n")
        #expect(scanned.result == .faulty(.badTo))
        let text = answer(
            scanned, 400, reason: Fault.badTo.reason, tag: "t", peer: SocketAddress("1.2.3.4", 5))
        #expect(
            text == """
                SIP/2.0 400 Bad To
                Via: SIP/2.0/UDP h;branch=1;received=1.2.3.4
                From: a b
                To: "x <sip:b>;tag=t
                CSeq: x
                Content-Length: 0


                """)
    }

    @Test func knowsReasonPhrases() {
        for (status, phrase) in [
            (UInt16(200), "OK"), (487, "Request Terminated"), (503, "Service Unavailable"),
            (499, "Request Failure"), (299, "Success"), (699, "Global Failure"),
        ] {
            #expect(ReasonPhrase.text(status).description == phrase)
        }
    }
}

@Suite struct HopRequestTests {
    private let sent = Scanned(
        """
        INVITE sip:bob@192.0.2.4 SIP/2.0
        Via: SIP/2.0/UDP us;branch=z9hG4bKown, SIP/2.0/UDP x
        Via: SIP/2.0/UDP y
        Route: <sip:r1;lr>,
          <sip:r2>
        Max-Forwards: 5
        Contact: <sip:a@c>
        From: Alice <sip:a@b>;tag=1
        To: <sip:b@b>
        Call-ID: 1
        r: x
        Route: <sip:r3>
        CSeq: 42 INVITE
        Content-Length: 3

        abc
        """)

    private func expected(_ method: String, _ to: String) -> String {
        """
        \(method) sip:bob@192.0.2.4 SIP/2.0
        Via: SIP/2.0/UDP us;branch=z9hG4bKown
        Max-Forwards: 70
        Route: <sip:r1;lr>,
          <sip:r2>
        Route: <sip:r3>
        From: Alice <sip:a@b>;tag=1
        To: \(to)
        Call-ID: 1
        CSeq: 42 \(method)
        Content-Length: 0


        """
    }

    @Test func cancelsAfterSection9() {
        let bytes = written { CancelRequest.write(forwarded: Message(sent.bytes.span, sent.index), to: &$0) }
        #expect(string(bytes) == string(wire(expected("CANCEL", "<sip:b@b>"))))
        #expect(Scanned(bytes).result == .complete)
    }

    @Test func acknowledgesAfterSection17() {
        let response = Scanned(
            """
            SIP/2.0 486 Busy Here
            Via: SIP/2.0/UDP us
            To: <sip:b@b>
              ;tag=9
            From: <sip:a@b>
            Call-ID: 1
            CSeq: 42 INVITE


            """
        )
        let bytes = written { writer in
            AckRequest.write(
                forwarded: Message(sent.bytes.span, sent.index),
                response: Message(response.bytes.span, response.index), to: &writer)
        }
        #expect(string(bytes) == string(wire(expected("ACK", "<sip:b@b>   ;tag=9"))))
    }
}
