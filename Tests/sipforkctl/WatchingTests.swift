import Testing

@testable import sipforkctl

struct WatchingTests {
    @Test(
        arguments: [
            (["status"], nil), (["status", "--watch"], 2), (["status", "--watch", "5"], 5),
            (["status", "--watch=1"], 1), (["status", "--watch", "--json"], 2),
        ] as [([String], Int?)])
    func seconds(_ arguments: [String], _ seconds: Int?) throws {
        let command = try #require(try Sipforkctl.parseAsRoot(arguments) as? Sipforkctl.Status)
        #expect(command.watching.seconds == seconds)
    }

    @Test(arguments: [
        ["status", "--watch", "0"], ["status", "--watch=-1"], ["status", "--watch", "soon"],
        ["status", "--watch=soon"], ["status", "--watch=1.5"],
        ["status", "--watch=86401"], ["registrations", "--watch"],
    ])
    func refused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }

    @Test func drawsOverWhatWasThere() {
        #expect(Terminal.drawing("a\nb\n", rows: nil) == "\u{1B}[Ha\u{1B}[K\nb\u{1B}[K\n\u{1B}[J")
        // The last row is the cursor's.
        #expect(Terminal.drawing("a\nb\nc\n", rows: 3) == "\u{1B}[Ha\u{1B}[K\nb\u{1B}[K\n\u{1B}[J")
    }
}
