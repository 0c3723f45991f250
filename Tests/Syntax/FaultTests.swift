import Testing

@testable import Syntax

/// A good request; each row breaks it in one place.
private let goodText = """
    OPTIONS sip:bob@biloxi.com SIP/2.0
    Via: SIP/2.0/UDP h.example.com;branch=z9hG4bK1
    From: <sip:alice@atlanta.com>;tag=1
    To: <sip:bob@biloxi.com>
    Call-ID: 1@h
    CSeq: 1 OPTIONS
    Max-Forwards: 70
    Content-Length: 0


    """

@Suite struct FaultTests {
    @Test func theUnbrokenMessageIsComplete() { #expect(Scanned(goodText).result == .complete) }

    @Test(arguments: [
        ("sip:bob@biloxi.com SIP/2.0", "<sip:bob@biloxi.com> SIP/2.0", Fault.badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com; lr SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com?Route=x SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "* SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@ SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com:65536 SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob%4@biloxi.com SIP/2.0", .badRequestURI),
        ("sip:bob@biloxi.com SIP/2.0", " sip:bob@biloxi.com SIP/2.0", .badStartLine),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com  SIP/2.0", .badStartLine),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com SIP/2.0 ", .badStartLine),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com SIP/7.0", .unsupportedVersion),
        ("sip:bob@biloxi.com SIP/2.0", "sip:bob@biloxi.com SIP/2.00", .unsupportedVersion),
        ("Via: SIP/2.0/UDP h.example.com;branch=z9hG4bK1\n", "", .missingVia),
        ("From: <sip:alice@atlanta.com>;tag=1\n", "", .missingFrom),
        ("To: <sip:bob@biloxi.com>\n", "", .missingTo),
        ("Call-ID: 1@h\n", "", .missingCallID),
        ("CSeq: 1 OPTIONS\n", "", .missingCSeq),
        ("Call-ID: 1@h\n", "Call-ID: 1@h\nCall-ID: 1@h\n", .duplicateCallID),
        ("CSeq: 1 OPTIONS\n", "CSeq: 1 OPTIONS\nCSeq: 1 OPTIONS\n", .duplicateCSeq),
        ("To: <sip:bob@biloxi.com>\n", "To: <sip:bob@biloxi.com>\nt: <sip:bob@biloxi.com>\n", .duplicateTo),
        ("Call-ID", "f: <sip:x@y>\nCall-ID", .duplicateFrom),
        ("Call-ID", "Max-Forwards: 70\nCall-ID", .duplicateMaxForwards),
        ("Call-ID", "l: 0\nCall-ID", .duplicateContentLength),
        ("Call-ID: 1@h", "Call-ID:", .badCallID),
        ("Call-ID: 1@h", "Call-ID: 1 2", .badCallID),
        ("CSeq: 1 OPTIONS", "CSeq: OPTIONS", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 1", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: -1 OPTIONS", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 2147483648 OPTIONS", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 36893488147419103232 OPTIONS", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 1 OPTIONS x", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 1OPTIONS", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq:", .badCSeq),
        ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", .methodMismatch),
        ("CSeq: 1 OPTIONS", "CSeq: 1 Options", .methodMismatch),
        ("Max-Forwards: 70", "Max-Forwards: 256", .badMaxForwards),
        ("Max-Forwards: 70", "Max-Forwards: -1", .badMaxForwards),
        ("Max-Forwards: 70", "Max-Forwards: 99999999999999999999999999", .badMaxForwards),
        ("Max-Forwards: 70", "Max-Forwards:", .badMaxForwards),
        ("Content-Length: 0", "Content-Length: five", .badContentLength),
        ("Content-Length: 0", "Content-Length: -999", .badContentLength),
        ("Content-Length: 0", "Content-Length: 4294967296", .badContentLength),
        ("Content-Length: 0", "Content-Length: 184467440737095516160", .badContentLength),
        ("Content-Length: 0", "Content-Length: 1", .bodyTooShort),
        ("Content-Length: 0", "Content-Length: 2147483647", .bodyTooShort),
        ("From: <sip:alice@atlanta.com>", "From: \"Alice <sip:alice@atlanta.com>", .badFrom),
        ("From: <sip:alice@atlanta.com>;tag=1", "From:", .badFrom),
        ("From: <sip:alice@atlanta.com>;tag=1", "From: <sip:alice@atlanta.com>;tag=", .badFrom),
        ("From: <sip:alice@atlanta.com>;tag=1", "From: <sip:alice@atlanta.com", .badFrom),
        ("From: <sip:alice@atlanta.com>;tag=1", "From: <sip:alice@atlanta.com>, <sip:x@y>", .badFrom),
        ("To: <sip:bob@biloxi.com>", "To: Watson, Thomas <sip:bob@biloxi.com>", .badTo),
        ("To: <sip:bob@biloxi.com>", "To: < sip:bob@biloxi.com >", .badTo),
        ("To: <sip:bob@biloxi.com>", "To: bob", .badTo),
        ("To: <sip:bob@biloxi.com>", "To: <>", .badTo),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.15;;,;,,", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0 h.example.com", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP h:0", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP h:99999;branch=z9hG4bK1", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP [1.2;branch=z9hG4bK1", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP h;branch=", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP h x;branch=1", .badVia),
        ("SIP/2.0/UDP h.example.com;branch=z9hG4bK1", "SIP/2.0/UDP h,,SIP/2.0/UDP i", .badVia),
        ("Call-ID", "nonsense\nCall-ID", .headerWithoutColon),
        ("Call-ID", ": x\nCall-ID", .headerWithoutColon),
        ("Content-Length: 0\n\n", "Content-Length: 0\n", .headerNotTerminated),
    ])
    func namesTheFault(place: String, instead: String, fault: Fault) {
        let scanned = Scanned(goodText.replacing(place, with: instead, maxReplacements: 1))
        #expect(scanned.result == .faulty(fault))
    }

    @Test(arguments: [
        ("Call-ID", "X y z: a\nCall-ID"), ("Call-ID", "Contact: ;;;<\nCall-ID"),
        ("Call-ID", "Date: never\nCall-ID"),
        ("Call-ID", "Subject:\nCall-ID"), ("Call-ID", "Expires: 99999999999999999999\nCall-ID"),
        ("SIP/2.0", "sip/2.0"), ("70", "0068"), ("Max-Forwards: 70\n", ""), (";branch=z9hG4bK1", ""),
        ("sip:bob@biloxi.com SIP", "nobodyKnows:this SIP"),
        ("sip:bob@biloxi.com SIP", "tel:+1-201-555-0123 SIP"),
        ("To: <sip:bob@biloxi.com>", "To: sip:bob@biloxi.com"),
        ("<sip:alice@atlanta.com>;tag=1", "isbn:2983792873"),
        ("Via: SIP/2.0/UDP", "Via: SIP / 2.0 /\n UNKNOWN"), ("CSeq: 1", "CSeq: 2147483647"),
        ("To: <sip:bob", "To: \"\\\"<\\\\\" <sip:bob"), ("To: <sip:bob", "To: caller<sip:bob"),
    ])
    func passesWhatAProxyNeedNotMind(place: String, instead: String) {
        let scanned = Scanned(goodText.replacing(place, with: instead, maxReplacements: 1))
        #expect(scanned.result == .complete)
    }

    @Test func keepsWhatCouldBeRead() {
        let scanned = Scanned(
            goodText.replacing("sip:bob@biloxi.com SIP", with: "<x> SIP").replacing("70", with: "700"))
        #expect(scanned.result == .faulty(.badRequestURI))
        #expect(scanned[scanned.index.callID] == "1@h")
        #expect(scanned[scanned.index.topVia.host] == "h.example.com")
        #expect(scanned.index.cseqNumber == 1)
        #expect(scanned.index.maxForwards == -1)
    }

    @Test(arguments: [("\r\n", "\n"), ("Call-ID: 1@h\r\n", "Call-ID: 1@h\n"), ("Call-ID: 1", "Call-ID: 1\r")])
    func lineEndsAreBothCharacters(place: String, instead: String) {
        let text = string(wire(goodText)).replacing(place, with: instead)
        let scanned = Scanned(Array(text.utf8))
        #expect(scanned.result == .faulty(.bareLineEnd))
        #expect(scanned.index.has(.cseq) && scanned.index.cseqNumber == 1)
    }

    @Test(arguments: [
        ("SIP/2.0 200 OK", ScanResult.complete), ("SIP/2.0 100 ", .complete), ("SIP/2.0 100", .complete),
        ("SIP/2.0 699 x", .complete),
        ("SIP/2.0 4294967301 better not break the receiver", .faulty(.badStatusCode)),
        ("SIP/2.0 700 x", .faulty(.badStatusCode)), ("SIP/2.0 099 x", .faulty(.badStatusCode)),
        ("SIP/2.0 20 OK now", .faulty(.badStatusCode)), ("SIP/2.0 -200 OK", .faulty(.badStatusCode)),
        ("SIP/2.0 200OK", .faulty(.badStatusCode)), ("SIP/3.0 200 OK", .faulty(.unsupportedVersion)),
        ("SIP/2.0\t200 OK", .faulty(.badStartLine)),
    ])
    func readsStatusLines(line: String, result: ScanResult) {
        #expect(
            Scanned(goodText.replacing("OPTIONS sip:bob@biloxi.com SIP/2.0", with: line)).result == result)
    }

    /// Max-Forwards means nothing in a response.
    @Test(arguments: [
        "Max-Forwards: x", "Max-Forwards: 256", "Max-Forwards:", "Max-Forwards: 1\nMax-Forwards: 2",
    ])
    func passesAResponseWithAnyMaxForwards(lines: String) {
        let response = goodText.replacing("OPTIONS sip:bob@biloxi.com SIP/2.0", with: "SIP/2.0 200 OK")
        let scanned = Scanned(response.replacing("Max-Forwards: 70", with: lines))
        #expect(scanned.result == .complete)
        #expect(scanned.index.maxForwards == -1)
    }

    @Test(arguments: Fault.allCases)
    func everyFaultHasWords(fault: Fault) {
        #expect(fault.reason.utf8CodeUnitCount > 5)
        #expect([400, 505, 513].contains(fault.status))
    }
}
