import Platform
import Testing

@testable import Configuration

@Suite("What a reload changes")
struct ChangesTests {
    private static let other = everyKeyChanged + "\n[[route]]\nto = [\"sip:192.0.2.1\"]\n"

    private func parsed(_ text: String) throws -> Configuration {
        try Configuration.parse(text: text, file: "test").0
    }

    @Test func everyKeyIsCompared() throws {
        let configuration = try parsed(Self.other)
        let names = configuration.changes(from: .defaults).map(\.changedName)
        var expected: [String] = []
        for key in ConfigurationKey.all where !expected.contains(key.changedName) {
            expected.append(key.changedName)
        }
        #expect(names == expected)
        #expect(configuration.changes(from: configuration).isEmpty)
    }

    @Test func aRouteThatChangesIsTheRoutes() throws {
        let (one, other) = try (
            parsed("[[route]]\nto = [\"sip:192.0.2.1\"]"), parsed("[[route]]\nto = [\"sip:192.0.2.2\"]")
        )
        #expect(one.changes(from: other).map(\.changedName) == ["route"])
    }

    /// What the shared memory was laid out for stays; all else is taken.
    @Test func whatWaitsForTheNextStartStays() throws {
        let applied = try parsed(Self.other).applied(to: .defaults)
        let waiting = ConfigurationKey.all.filter(\.waitsForStart).map(\.name)
        #expect(
            waiting == [
                "server.mode", "server.workers", "server.max-transactions", "server.max-bindings",
                "registrar.store",
            ])
        let changed = applied.changes(from: .defaults).map(\.changedName)
        #expect(!changed.contains { waiting.contains($0) })
        #expect(try parsed(Self.other).changes(from: applied).map(\.name) == waiting)
    }
}
