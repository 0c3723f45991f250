import Testing

@testable import Syntax

@Suite struct NameAddressTests {
    @Test(arguments: [
        (
            "\"Bob, \\\"x\\\"\" <sip:bob@example.org;lr>;tag=1;q=0.5", "\"Bob, \\\"x\\\"\"",
            "sip:bob@example.org;lr", "tag=1;q=0.5", "1"
        ),
        ("sip:bob@example.org;tag=1", "", "sip:bob@example.org", "tag=1", "1"),
        ("<sip:bob@example.org>", "", "sip:bob@example.org", "", ""),
        ("A. Bell <sip:a@b> ; TAG = x ; y", "A. Bell", "sip:a@b", "TAG = x ; y", "x"),
        (
            "\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n", "",
            "sip:vivekg@chair-dnrc.example.com",
            "tag    = 1918181833n", "1918181833n"
        ),
        ("caller<sip:c@d>;tag=323", "caller", "sip:c@d", "tag=323", "323"),
        ("Jürgen <sip:c@d>", "Jürgen", "sip:c@d", "", ""),
        ("<sip:a@b?x=y>, <sip:c@d>", "", "sip:a@b?x=y", "", ""),
        ("<sip:a@b>;expires=5, <sip:c@d>", "", "sip:a@b", "expires=5", ""),
        ("<http://www.example.com>;tag=3234233", "", "http://www.example.com", "tag=3234233", "3234233"),
    ])
    func reads(value: String, name: String, uri: String, parameters: String, tag: String) {
        let bytes = Array(value.utf8)
        let address = NameAddress.parse(bytes.span, bytes.span.wholeRange)
        #expect(address.map { text(bytes, $0.displayName) } == name)
        #expect(address.map { text(bytes, $0.uri) } == uri)
        #expect(address.map { text(bytes, $0.parameters) } == parameters)
        #expect(address.map { text(bytes, $0.tag) } == tag)
    }

    @Test(arguments: [
        "", " ", "\"open <sip:a@b>", "\"x\"", "\"x\" sip:a@b", "Bob", "Bob, x <sip:a@b>", "<sip:a@b",
        "sip:a@b>", "<a@b>",
        "< sip:a@b>", "<sip:a@b >", "sip:a@b?x=y", "<sip:a@b>;", "<sip:a@b>;;x", "<sip:a@b> x",
        "<sip:a@b>;x=\"",
        "sip:a b@c", "<sip:>", "\"", "\"\\", "x@y <sip:a@b>",
    ])
    func refuses(value: String) {
        let bytes = Array(value.utf8)
        let address = NameAddress.parse(bytes.span, bytes.span.wholeRange)
        #expect(address == nil)
    }

    @Test func findsParameters() {
        let bytes = Array("<sip:a@b>;a;b=\"x;y\\\"\" ;Expires = 60;q=0.7;rinstance=ab==".utf8)
        let address = NameAddress.parse(bytes.span, bytes.span.wholeRange)!
        func value(_ name: StaticString) -> String? {
            address.parameter(named: name, bytes.span).map { text(bytes, $0.unquoted(bytes.span)) }
        }
        #expect(value("a") == "")
        #expect(value("b") == #"x;y\""#)
        #expect(value("expires") == "60")
        #expect(value("rinstance") == "ab==")
        #expect(value("c") == nil)
        let q = address.parameter(named: "q", bytes.span)!
        let thousandths = qThousandths(bytes.span, q.value)
        #expect(thousandths == 700)
    }

    @Test(arguments: [
        ("0", 0), ("1", 1000), ("0.5", 500), ("0.", 0), ("1.000", 1000), ("0.123", 123), ("0.07", 70),
        ("1.001", nil),
        ("2", nil), ("", nil), ("0.1234", nil), (".5", nil), ("0,5", nil), ("-1", nil), ("0.a", nil),
        ("00", nil),
    ])
    func readsQValues(value: String, expected: Int?) {
        let bytes = Array(value.utf8)
        let found = qThousandths(bytes.span, bytes.span.wholeRange)
        #expect(found == expected)
    }

    @Test(arguments: [
        ("0", UInt64(0)), ("007", 7), ("18446744073709551615", .max), ("18446744073709551616", nil),
        ("", nil), ("-1", nil),
        ("1 ", nil), ("99999999999999999999999999999", nil),
    ])
    func readsDecimals(value: String, expected: UInt64?) {
        let bytes = Array(value.utf8)
        let found = parseDecimal(bytes.span, bytes.span.wholeRange)
        #expect(found == expected)
    }
}
