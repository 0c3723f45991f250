import Testing

@testable import Syntax

@Suite struct GlobTests {
    private func matches(_ pattern: String, _ text: String, ignoringCase: Bool = false) -> Bool {
        Glob.matches(Array(pattern.utf8).span, Array(text.utf8).span, ignoringCase: ignoringCase)
    }

    @Test(arguments: [
        ("*", ""), ("*", "anything"), ("**", ""), ("", ""), ("alice", "alice"), ("+49*", "+49"),
        ("+49*", "+4930123456"), ("*99", "99"), ("*99", "9999"), ("*99", "1299"), ("a*c", "ac"),
        ("a*c", "abcbc"),
        ("a?c", "abc"), ("???", "abc"), ("?*", "a"), ("*?", "abc"), ("*ab*ab*", "xabab"),
        ("a*b*c", "a1b2b3c"),
        ("*.example.org", "a.b.example.org"), ("*aab", "aaaab"), ("a**b", "ab"), ("*?*", "a"),
    ])
    func takes(pattern: String, text: String) {
        #expect(matches(pattern, text))
        #expect(matches(pattern, text, ignoringCase: true))
    }

    @Test(arguments: [
        ("", "a"), ("a", ""), ("?", ""), ("alice", "alice2"), ("alice", "alic"), ("alice", "Alice"),
        ("+49*", "49"), ("+49*", "+4"), ("*99", "990"), ("a*c", "a"), ("a*c", "abcb"), ("a?c", "ac"),
        ("???", "ab"), ("???", "abcd"), ("*ab*ab*", "xab"), ("*ab*ab*", "xaab"), ("*aab", "aaaa"),
        ("*?", ""), ("a*b*c", "acb"), ("*.example.org", "example.org"),
    ])
    func leaves(pattern: String, text: String) { #expect(!matches(pattern, text)) }

    /// RFC 3261 §19.1.4: an escaped character is the plain one, unless it is reserved.
    @Test(arguments: [
        ("alice", "%61lice", true), ("%61lice", "alice", true), ("%61*", "%61lice", true),
        ("a?b", "a%20b", true), ("a?b", "a%2Bb", true), ("a??b", "a%2Bb", false),
        ("+49*", "%2B49", false), ("%2B49*", "%2b4930", true), ("%2B49*", "+49", false),
        ("%2A21*", "*21", true), ("%2A21*", "%2A2130", true), ("%2A21*", "x21", false),
        ("*21", "%2a21", true),
        ("%3F", "?", false), ("%3F", "%3f", true), ("?", "?", true), ("?", "%3F", true),
        ("*%23", "*21#", true), ("j%C3%BCrgen", "j\u{FC}rgen", true), ("%", "%", true), ("a%4", "a%4", true),
    ])
    func resolvesEscapes(pattern: String, text: String, expected: Bool) {
        #expect(matches(pattern, text) == expected)
    }

    @Test func ignoresCaseWhereAsked() {
        #expect(matches("*.example.org", "PBX.Example.ORG", ignoringCase: true))
        #expect(matches("[2001:DB8::?]", "[2001:db8::1]", ignoringCase: true))
        #expect(!matches("*.example.org", "PBX.Example.ORG"))
        #expect(!matches("a[", "a{", ignoringCase: true))
        #expect(!matches("%41", "%61%61", ignoringCase: true))
    }

    /// Against the table that the definition gives, for all short patterns and texts.
    @Test func agreesWithItsDefinition() {
        func reference(_ pattern: [Character], _ text: [Character]) -> Bool {
            // row[j]: the pattern so far takes the first j characters.
            var row = [true] + [Bool](repeating: false, count: text.count)
            for symbol in pattern {
                var next = [symbol == "*" && row[0]] + [Bool](repeating: false, count: text.count)
                for j in text.indices {
                    next[j + 1] =
                        symbol == "*" ? row[j + 1] || next[j] : row[j] && (symbol == "?" || symbol == text[j])
                }
                row = next
            }
            return row[text.count]
        }
        func words(_ alphabet: String, upTo length: Int) -> [String] {
            var all = [""]
            var last = [""]
            for _ in 0..<length {
                last = last.flatMap { word in alphabet.map { word + String($0) } }
                all += last
            }
            return all
        }
        let texts = words("ab", upTo: 5).map { ($0, Array($0), Array($0.utf8)) }
        for pattern in words("ab*?", upTo: 5) {
            let characters = Array(pattern)
            let bytes = Array(pattern.utf8)
            for (text, wanted, textBytes) in texts
            where Glob.matches(bytes.span, textBytes.span, ignoringCase: false)
                != reference(characters, wanted)
            {
                Issue.record("\(pattern) and \(text)")
            }
        }
    }

    /// With a match that tries every way these would not end within the age of the universe.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            String(repeating: "a*", count: 64), String(repeating: "*a", count: 60) + "*b",
            "*" + String(repeating: "a", count: 126) + "b", String(repeating: "?*", count: 63) + "b",
            "*" + String(repeating: "%61", count: 42), String(repeating: "*?", count: 63) + "c",
        ])
    func staysCheap(pattern: String) {
        let text = String(repeating: "a", count: 60_000) + "x"
        #expect(!matches(pattern, text) || pattern.hasSuffix("*"))
        #expect(!matches(pattern, String(repeating: "%61", count: 20_000) + "x") || pattern.hasSuffix("*"))
    }
}
