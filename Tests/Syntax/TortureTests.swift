import Foundation
import Platform
import Testing

@testable import Syntax

/// The messages of RFC 4475, bit-exact from its appendix A. They are seeds of the fuzz corpus, too.
@Suite struct TortureTests {
    private func message(_ name: String) throws -> Scanned {
        let corpus = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Fuzz/corpus/scanner/rfc4475-" + name)
        return Scanned([UInt8](try Data(contentsOf: corpus)))
    }

    @Test(arguments: [
        // §3.1.1: valid
        ("wsinv", ScanResult.complete), ("intmeth", .complete), ("esc01", .complete), ("escnull", .complete),
        ("esc02", .complete), ("lwsdisp", .complete), ("longreq", .complete), ("dblreq", .complete),
        ("semiuri", .complete), ("transports", .complete), ("mpart01", .complete), ("unreason", .complete),
        ("noreason", .complete),
        // §3.1.2: invalid; where the RFC leaves a choice, we refuse what would have to be repaired on the way
        ("badinv01", .faulty(.badVia)), ("clerr", .faulty(.bodyTooShort)),
        ("ncl", .faulty(.badContentLength)),
        ("scalar02", .faulty(.badCSeq)), ("scalarlg", .faulty(.badCSeq)), ("quotbal", .faulty(.badTo)),
        ("ltgtruri", .faulty(.badRequestURI)), ("lwsruri", .faulty(.badRequestURI)),
        ("lwsstart", .faulty(.badStartLine)), ("trws", .faulty(.badStartLine)),
        ("escruri", .faulty(.badRequestURI)),
        ("baddate", .complete), ("regbadct", .complete), ("badaspec", .faulty(.badTo)),
        ("baddn", .faulty(.badFrom)),
        ("badvers", .faulty(.unsupportedVersion)), ("mismatch01", .faulty(.methodMismatch)),
        ("mismatch02", .faulty(.methodMismatch)), ("bigcode", .faulty(.badStatusCode)),
        // §3.2 to §3.4: not the scanner's business, unless fields are missing or doubled
        ("badbranch", .complete), ("insuf", .faulty(.missingFrom)), ("unkscm", .complete),
        ("novelsc", .complete),
        ("unksm2", .complete), ("bext01", .complete), ("invut", .complete), ("regaut01", .complete),
        ("multi01", .faulty(.duplicateCSeq)), ("mcl01", .faulty(.duplicateContentLength)),
        ("bcast", .complete),
        ("zeromf", .complete), ("cparam01", .complete), ("cparam02", .complete), ("regescrt", .complete),
        ("sdp01", .complete), ("inv2543", .complete),
        // In the archive, but in no section: a start line without version.
        ("test", .notSIP),
    ])
    func isJudged(name: String, result: ScanResult) throws {
        #expect(try message(name).result == result)
    }

    @Test func theTortuousInviteIsUnderstood() throws {
        let scanned = try message("wsinv")
        #expect(scanned[scanned.index.toTag] == "1918181833n" && scanned[scanned.index.fromTag] == "98asjd8")
        #expect(
            scanned.index.maxForwards == 68 && scanned.index.cseqNumber == 9
                && scanned.index.contentLength == 150)
        #expect(scanned[scanned.index.topVia.host] == "192.0.2.2" && !scanned.index.topVia.hasMagicCookie)
        #expect(scanned.values(.via).count == 3 && scanned.index.first(.via).count == 2)
        #expect(
            scanned.values(.route) == ["<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"])
        let contact = try #require(scanned.values(.contact).first)
        let bytes = Array(contact.utf8)
        let parsed = NameAddress.parse(bytes.span, bytes.span.wholeRange)
        let address = try #require(parsed)
        #expect(text(bytes, address.displayName) == #""Quoted string \"\"""#)
        #expect(text(bytes, address.uri) == "sip:jdrosen@example.com")
        let message = Message(scanned.bytes.span, scanned.index)
        let second = message.secondVia()
        #expect(second?.transport == .tcp && second?.hasMagicCookie == true)
    }

    @Test func strangeCharactersAreKept() throws {
        let scanned = try message("intmeth")
        #expect(scanned.index.method == .unknown)
        #expect(scanned[scanned.index.methodRange] == "!interesting-Method0123456789_*+`.%indeed'~")
        #expect(scanned[scanned.index.callID] == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{")
        #expect(scanned[scanned.index.fromTag] == "_token~1'+`*%!-.")
        #expect(scanned.index.cseqNumber == 139_122_385 && scanned.index.maxForwards == 255)
    }

    @Test func otherFieldsAreFound() throws {
        #expect(try message("esc02").values(.contact).count == 2)
        let escaped = try message("escnull").values(.contact)
        #expect(escaped == ["<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"])
        let double = try message("dblreq")
        #expect(double.index.body.isEmpty && double.index.method == .register)
        #expect(
            try message("bext01").values(.proxyRequire) == [
                "noProxiesSupportThis", "norDoAnyProxiesSupportThis",
            ])
        #expect(try message("inv2543").index.fromTag.isEmpty)
        let broadcast = try message("bcast")
        let second = Message(broadcast.bytes.span, broadcast.index).secondVia()
        #expect(second.map { broadcast[$0.host] } == "255.255.255.255")
    }
}
