import Testing

@testable import sipforkctl

struct JSONTests {
    @Test(
        arguments: [
            (JSON.null, "null"), (.bool(true), "true"), (.number(-5), "-5"),
            (.number(.max), "9223372036854775807"),
            (.thousandths(1000), "1"), (.thousandths(700), "0.7"), (.thousandths(5), "0.005"),
            (.thousandths(0), "0"),
            (.thousandths(1250), "1.25"), (.array([]), "[]"),
            (.array([.number(1), .string("a")]), "[1,\"a\"]"),
            (["b": .number(1), "a": ["c": .null]], "{\"b\":1,\"a\":{\"c\":null}}"), (.object([]), "{}"),
            (.optional(nil as Int?), "null"), (.optional("x" as String?), "\"x\""),
        ] as [(JSON, String)])
    func writes(_ value: JSON, _ text: String) {
        #expect(value.text == text)
    }

    @Test(arguments: [
        ("\"quoted\\\"", "\"\\\"quoted\\\\\\\"\""), ("a\nb", "\"a\\nb\""), ("\0\u{1F}", "\"\\u0000\\u001f\""),
        ("\u{7F}\u{9B}", "\"\\u007f\\u009b\""), ("é 世 😀 /", "\"é 世 😀 /\""),
        ("e\u{301}\r\n", "\"e\u{301}\\u000d\\n\""),
    ])
    func escapes(_ string: String, _ text: String) {
        #expect(JSON.string(string).text == text)
    }
}

struct LayoutTests {
    @Test(arguments: [(0, "00:00:00"), (3661, "01:01:01"), (86399, "23:59:59"), (273_906, "3d 04:05:06")])
    func writesUptimes(_ seconds: Int, _ text: String) {
        #expect(Layout.uptime(seconds) == text)
    }

    @Test(arguments: [
        (-3, "0s"), (59, "59s"), (60, "1:00"), (3599, "59:59"), (7152, "1:59:12"), (90_000, "1d 01:00:00"),
    ])
    func writesDurations(_ seconds: Int, _ text: String) {
        #expect(Layout.duration(seconds) == text)
    }

    @Test func writesAges() {
        #expect(
            [0, 249, 31_999, 60_000].map { Layout.age(milliseconds: $0) } == [
                "0.0s", "0.2s", "31.9s", "1:00",
            ])
    }

    @Test func alignsTables() {
        let text = Layout.table(
            ["NAME", "COUNT", "WHAT"], [["a", "5", "x"], ["longer", "1234567", ""]], right: [1])
        #expect(text == "NAME      COUNT  WHAT\na             5  x\nlonger  1234567\n")
        #expect(Layout.table(["A"], []) == "A\n")
    }

    @Test func masksControlCharacters() {
        #expect(Layout.printable("a\u{1B}[2J\u{9B}é") == "a?[2J?é")
    }

    @Test(
        arguments: [
            (["status"], ["status"]), (["--json", "status"], ["status", "--json"]),
            (
                ["--socket", "s", "--json", "registrations", "a@b"],
                ["registrations", "a@b", "--socket", "s", "--json"]
            ),
            (["--socket=s", "status", "--json"], ["status", "--json", "--socket=s"]),
            (["--help"], ["--help"]),
            (["--json"], ["--json"]), (["--json", "--help"], ["--json", "--help"]),
            (["--socket"], ["--socket"]), ([], []),
        ] as [([String], [String])])
    func movesOptionsBehindTheCommand(_ arguments: [String], _ moved: [String]) {
        #expect(ArgumentOrder.optionsLast(arguments) == moved)
    }
}
