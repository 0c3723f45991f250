import Configuration
import Foundation

/// The repository that these tests were built from.
let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

func text(of path: String) throws -> String {
    try String(contentsOf: repository.appending(path: path), encoding: .utf8)
}

/// The parsed text, which must be accepted without a warning.
func accepted(_ text: String) throws -> Configuration {
    let (configuration, warnings) = try Configuration.parse(text: text, file: "f.toml")
    guard warnings.isEmpty else { throw Unexpected(warnings.map(\.description)) }
    return configuration
}

/// What the parser says against the text; empty where it accepts it.
func refusals(_ text: String) -> [String] {
    do {
        _ = try Configuration.parse(text: text, file: "f.toml")
        return []
    } catch {
        return error.diagnostics.map(\.description)
    }
}

func warnings(_ text: String) throws -> [String] {
    try Configuration.parse(text: text, file: "f.toml").warnings.map(\.description)
}

/// `timers.c = 5` as a file of its own: the table, then the key in line 2. A route has what it must have behind
/// that.
func file(_ name: String, _ value: String) -> String {
    let parts = name.split(separator: ".", maxSplits: 1)
    if parts[0] == "route" {
        let to = parts[1] == "to" ? "" : "to = [\"sip:192.0.2.20\"]\n"
        return "[[route]]\n\(parts[1]) = \(value)\n\(to)"
    }
    return "[\(parts[0])]\n\(parts[1]) = \(value)\n"
}

struct Unexpected: Error {
    let lines: [String]
    init(_ lines: [String]) { self.lines = lines }
}

/// A file in which every key but those of routes has another value than its default.
let everyKeyChanged = """
    [server]
    domains = ["Example.ORG", "a-1.example.net"]
    listen = ["udp:0.0.0.0:5070", "udp:[2001:DB8::1]", "tcp:0.0.0.0:5070", "tcp:[2001:DB8::1]"]
    mode = "stateless"
    workers = 3
    record-route = false
    max-transactions = 64
    max-bindings = 100
    max-delay = 250
    gather = 0
    advertise = ["udp:203.0.113.5:5060", "tcp:203.0.113.5:5080"]
    [timers]
    t1 = 50
    t2 = 400
    t4 = 501
    c = 180001
    [forking]
    order = "q-value"
    max-breadth = 7
    max-passes = 3
    recurse = true
    [registrar]
    enabled = false
    min-expires = 10
    default-expires = 20
    max-expires = 30
    max-contacts = 3
    store = "memory"
    [access]
    relay-from = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]
    [tcp]
    max-connections = 10
    max-connections-per-peer = 2
    idle-timeout = 60
    message-timeout = 5
    connect-timeout = 250
    max-message = 20000
    max-header = 4000
    max-queue = 70000
    [resolver]
    servers = ["192.0.2.53", "127.0.0.1:5353", "[2001:db8::53]:54", "[2001:db8::54]"]
    timeout = 300
    candidate-timeout = 600
    dead-time = 0
    [log]
    level = "debug"
    calls = "all"
    """
