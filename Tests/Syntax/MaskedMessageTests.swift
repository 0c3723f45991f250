import Platform
import Testing

@testable import Syntax

/// What the log may not know.
struct MaskedMessageTests {
    private func masked(_ text: String) -> String {
        let bytes = Array(text.utf8)
        return unsafe withUnsafeTemporaryAllocation(byteCount: bytes.count + 256, alignment: 1) { buffer in
            var writer = unsafe ByteWriter(buffer)
            MaskedMessage.write(bytes.span, to: &writer)
            return writer.overflowed
                ? "overflow" : unsafe String(decoding: buffer[..<writer.count], as: UTF8.self)
        }
    }

    @Test(
        arguments: [
            ("Authorization: Digest username=\"a\", response=\"1\"", "Authorization: ***"),
            ("PROXY-authorization:Digest x", "PROXY-authorization: ***"),
            ("Authorization : Basic eHg=", "Authorization: ***"),
            ("Authorization: Digest a,\r\n response=\"secret\"\r\n\t,x=y", "Authorization: ***"),
            (" Authorization: Digest x", " Authorization: ***"),
            ("Authorization: a\rsecret", "Authorization: ***"),
            ("Authorization:", "Authorization:"), ("Authorization:  ", "Authorization:  "),
            ("Authorization", "Authorization"), ("X-Authorization: x", "X-Authorization: x"),
            ("WWW-Authenticate: Digest realm=\"x\"", "WWW-Authenticate: Digest realm=\"x\""),
            ("Authentication-Info: nextnonce=\"x\"", "Authentication-Info: nextnonce=\"x\""),
            ("To: <sip:b@h>;x=\"Authorization: y\"", "To: <sip:b@h>;x=\"Authorization: y\""),
            (
                "Authorization: x\r\nTo: b\r\nAuthorization: y\r\nProxy-Authorization: z",
                "Authorization: ***\r\nTo: b\r\nAuthorization: ***\r\nProxy-Authorization: ***"
            ),
        ] as [(String, String)])
    func hidesCredentials(header: String, shown: String) {
        for (front, back) in [
            ("REGISTER sip:h SIP/2.0\r\n", "\r\nCSeq: 1 REGISTER\r\n\r\nIn the body\r\n"),
            ("\r\n\r\nREGISTER sip:h SIP/2.0\r\nVia: x\r\n", "\r\n\r\n"),
            ("SIP/2.0 200 OK\nVia: x\n", "\n\n"),
        ] {
            // A blank in front makes it part of the line before where there is one.
            if header.hasPrefix(" ") && front.contains("Via") { continue }
            #expect(masked(front + header + back) == front + shown.description + back, "\(header)")
        }
    }

    /// Behind whatever fault it stands, and however long the message is.
    @Test(arguments: [
        ("Authorization Digest secret", "Authorization: ***"),
        ("Authorization\u{0}: secret", "Authorization: ***"),
        ("X: y\rAuthorization: secret", "X: y\rAuthorization: ***"),
        ("X: y\n\nAuthorization: secret", "X: y\n\nAuthorization: ***"),
        ("X: y\r\n Authorization: secret", "X: y\r\n Authorization: ***"),
        (
            "X: y\r\n\r\nINVITE sip:a@h SIP/2.0\r\nAuthorization: secret",
            "X: y\r\n\r\nINVITE sip:a@h SIP/2.0\r\nAuthorization: ***"
        ),
    ])
    func hidesWhatIsFaulty(header: String, shown: String) {
        for filler in ["", String(repeating: "Z: z\r\n", count: 12_000)] {
            let front = "OPTIONS sip:h SIP/2.0\r\n\(filler)"
            let isRight = masked("\(front)\(header)\r\n\r\n") == "\(front)\(shown)\r\n\r\n"
            #expect(isRight, "\(header)")
        }
    }

    @Test func hidesWhatIsCutOff() {
        #expect(
            masked("REGISTER sip:h SIP/2.0\r\nAuthorization: Digest secre")
                == "REGISTER sip:h SIP/2.0\r\nAuthorization: ***")
        #expect(
            masked("REGISTER sip:h SIP/2.0\r\nAuthorization: x\r\n y\r")
                == "REGISTER sip:h SIP/2.0\r\nAuthorization: ***\r")
    }

    @Test func leavesAllElseAsItIs() {
        for text in [
            "", "\r\n", "\n\n\n", "x", "OPTIONS sip:h SIP/2.0\r\n\r\n\u{0}\u{1}Authorization: x\r\n",
        ] {
            #expect(masked(text) == text)
        }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let text = String(
                (0..<Int.random(in: 0...80, using: &random)).map { _ in
                    "ab: \r\n\t<".randomElement(using: &random)!
                })
            #expect(masked(text) == text)
        }
    }

    /// As long as a message can be, with as many lines as fit.
    @Test func holdsOutLongMessages() {
        let line = "Authorization:x\r\n"
        let count = 65_000 / line.utf8.count
        let bytes = Array(("A sip:h SIP/2.0\r\n" + String(repeating: line, count: count)).utf8)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 90_000, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var writer = unsafe ByteWriter(buffer)
        MaskedMessage.write(bytes.span, to: &writer)
        #expect(!writer.overflowed && writer.count == bytes.count + count * 3)
    }
}
