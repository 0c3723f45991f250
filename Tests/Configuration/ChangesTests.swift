import Platform
import Testing

@testable import Configuration

@Suite("What a reload changes")
struct ChangesTests {
    /// A file in which every key has another value than its default.
    private static let other = """
        [server]
        domains = ["example.org"]
        listen = ["udp:127.0.0.2:5062"]
        mode = "stateless"
        workers = 3
        record-route = false
        max-transactions = 100
        max-bindings = 100
        advertise = ["udp:203.0.113.5:5060"]
        [timers]
        t1 = 600
        t2 = 4100
        t4 = 5100
        c = 190000
        [forking]
        order = "q-value"
        max-breadth = 10
        max-passes = 2
        recurse = true
        [registrar]
        enabled = false
        min-expires = 61
        default-expires = 3601
        max-expires = 7201
        max-contacts = 11
        store = "memory"
        [access]
        relay-from = ["10.0.0.0/8"]
        [tcp]
        max-connections = 100
        max-connections-per-peer = 10
        idle-timeout = 100
        message-timeout = 31
        connect-timeout = 4001
        max-message = 65000
        max-header = 16000
        max-queue = 262000
        [resolver]
        servers = ["192.0.2.53"]
        timeout = 2001
        candidate-timeout = 4001
        dead-time = 31
        [log]
        level = "debug"
        calls = "all"
        [[route]]
        to = ["sip:192.0.2.1"]
        """

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
