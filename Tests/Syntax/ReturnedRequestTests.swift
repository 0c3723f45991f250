import Testing

@testable import Syntax

@Suite struct ReturnedRequestTests {
    private func branch(_ text: String) -> String? {
        let bytes = wire(text)
        return ReturnedRequest.branch(bytes.span).map { part(bytes, $0) }
    }

    private func part(_ bytes: [UInt8], _ range: ByteRange) -> String { text(bytes, range) }

    private let ours =
        "INVITE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP us:5060;branch=z9hG4bKs1;rport\nVia: SIP/2.0/UDP x;branch=y\n"

    @Test func findsTheFirstVia() {
        #expect(branch(ours) == "z9hG4bKs1")
        #expect(branch(ours.replacing("Via:", with: "v :")) == "z9hG4bKs1")
        #expect(
            branch(ours.replacing("\nVia: SIP/2.0/UDP us", with: "\nX: y\n z;branch=no\nVIA: SIP/2.0/UDP us"))
                == "z9hG4bKs1")
        #expect(
            branch(ours.replacing(";branch=z9hG4bKs1", with: ";x=1;BRANCH=z9hG4bKs1, SIP/2.0/UDP z;branch=q"))
                == "z9hG4bKs1")
    }

    /// However short it is cut: nothing, or a beginning of it.
    @Test func anyCutIsSurvived() {
        let bytes = wire(ours)
        for count in 0...bytes.count {
            let cut = Array(bytes[..<count])
            guard let found = ReturnedRequest.branch(cut.span) else { continue }
            #expect("z9hG4bKs1".hasPrefix(part(cut, found)))
        }
        let end = bytes.firstRange(of: Array(";rport".utf8))!.lowerBound
        let whole = ReturnedRequest.branch(Array(bytes[..<end]).span)
        #expect(whole?.count == 9)
    }

    @Test(arguments: [
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP x;branch=y\n", "INVITE sip:a@b SIP/2.0\nX: ;branch=y\n\nVia: no\n",
        "", "INVITE", "INVITE x SIP/2.0\nVia: SIP/2.0/UDP x\nVia: SIP/2.0/UDP x;branch=y\n",
    ])
    func findsNoneElsewhere(text: String) { #expect(branch(text) == nil) }

    @Test func knowsTheMethod() {
        let known = ["CANCEL sip:a@b SIP/2.0", "CANCELS sip:a@b SIP/2.0", "CANCEL", ""].map {
            ReturnedRequest.isMethod(wire($0).span, "CANCEL")
        }
        #expect(known == [true, false, false, false])
    }
}
