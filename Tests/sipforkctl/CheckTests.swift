import Foundation
import Testing

@testable import sipforkctl

/// `check`: the judgement is the configuration's own; here is what is made of it.
struct CheckTests {
    private func check(_ text: String) throws -> CheckView {
        let file = FileManager.default.temporaryDirectory.appending(path: "sipfork-\(UUID().uuidString).toml")
        try text.write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        return CheckView(file: file.path)
    }

    @Test func saysThatAFileIsGood() throws {
        let view = try check("[server]\ndomains = [\"example.org\"]\n")
        #expect(view.isGood && view.text == "\(view.file) is good\n" && view.json == .array([]))
    }

    @Test func warnsOfAGoodOne() throws {
        let view = try check("[timers]\nc = 1000\n")
        #expect(view.isGood && view.text.hasSuffix(" is good\n") && view.diagnostics.count == 1)
        #expect(view.json.text.contains(#""line":2,"column":5,"message":"#), "\(view.json.text)")
        #expect(view.json.text.contains(#""severity":"warning""#))
        #expect(view.lines.first?.hasPrefix("warning: \(view.file):2:5: ") == true, "\(view.lines)")
    }

    @Test func listsWhatIsWrong() throws {
        let view = try check("[server]\nworker = 2\nmode = \"x\"\n")
        #expect(!view.isGood && view.text == "" && view.diagnostics.count == 2)
        #expect(view.lines[0].hasPrefix("\(view.file):2:1: "))
        #expect(view.json.text.hasPrefix(#"[{"file":"\#(view.file)","line":2,"column":1,"message":""#))
        #expect(view.json.text.hasSuffix(#""severity":"error"}]"#))
    }

    @Test func aFileThatIsNotThere() {
        let view = CheckView(file: "/nonexistent/sipfork.toml")
        #expect(
            !view.isGood
                && view.diagnostics.map(\.description) == [
                    "/nonexistent/sipfork.toml: No such file or directory"
                ])
    }

    @Test(arguments: [["check"], ["check", "/x"], ["check", "--json", "/x"]])
    func arguments(_ arguments: [String]) {
        #expect(throws: Never.self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }

    @Test(arguments: [
        ["check", "/x", "/y"], ["check", "--socket", "/x"], ["metrics", "--json"], ["metrics", "x"],
    ])
    func refusedArguments(_ arguments: [String]) {
        #expect(throws: (any Error).self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }
}
