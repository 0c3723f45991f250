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
