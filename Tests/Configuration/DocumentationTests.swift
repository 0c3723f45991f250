import Configuration
import Foundation
import Testing

@Suite("The shipped file and the manual page agree with the table of keys")
struct DocumentationTests {
    @Test("packaging/sipfork.toml is accepted without a warning, and is for this machine only")
    func shipped() throws {
        let configuration = try accepted(try text(of: "packaging/sipfork.toml"))
        var expected = Configuration.defaults
        expected.domains = ["localhost"]
        #expect(configuration == expected)
    }

    @Test("the defaults that packaging/sipfork.toml shows are the defaults")
    func shippedDefaults() throws {
        let lines = try text(of: "packaging/sipfork.toml").split(separator: "\n")
        let uncommented = lines.map { line in
            line.hasPrefix("#") && !line.hasPrefix("# ") && line.contains(" = ") ? line.dropFirst() : line
        }
        #expect(
            uncommented.count { $0.contains(" = ") && !$0.hasPrefix("# ") }
                == ConfigurationKey.all.count { $0.section != ConfigurationKey.routeSection },
            "all but the keys of a route")
        var expected = Configuration.defaults
        expected.domains = ["localhost"]
        #expect(try accepted(uncommented.joined(separator: "\n")) == expected)
    }

    /// Its lines begin with "# ", for a route has no default.
    @Test("the route that packaging/sipfork.toml shows is accepted, and has every key")
    func shippedRoute() throws {
        let lines = try text(of: "packaging/sipfork.toml").split(separator: "\n")
        let route = lines.drop { $0 != "# [[route]]" }.prefix { $0.hasPrefix("# ") }.map { $0.dropFirst(2) }
        #expect(try accepted(route.joined(separator: "\n")).routes.count == 1)
        let keys = route.compactMap { $0.contains(" = ") ? "route." + $0.prefix { $0 != " " } : nil }
        #expect(keys == ConfigurationKey.all.filter { $0.section == "route" }.map(\.name))
    }

    @Test("the examples of sipfork.toml(5) are accepted")
    func manualExamples() throws {
        let page = try text(of: "man/sipfork.toml.5")
        let examples = page.components(separatedBy: ".Bd -literal -offset indent\n").dropFirst()
        #expect(examples.count >= 3)
        for example in examples {
            let end = try #require(example.range(of: "\n.Ed"))
            _ = try accepted(String(example[..<end.lowerBound]))
        }
    }

    @Test("sipfork.toml(5) has every key with its default", arguments: ConfigurationKey.all.map(\.name))
    func manual(name: String) throws {
        let key = try #require(ConfigurationKey.all.first { $0.name == name })
        #expect(try manualKeys()[name] == key.defaultText)
    }

    @Test("sipfork.toml(5) says which keys wait for the next start")
    func waiting() throws {
        let page = try text(of: "man/sipfork.toml.5")
        let start = try #require(page.range(of: "These wait for a stop and start:\n.Bl -bullet -compact\n"))
        let list = page[start.upperBound...].split(separator: "\n").prefix { $0 != ".El" }
        let names = list.filter { $0.hasPrefix(".Ic ") }.map { String($0.dropFirst(4)) }
        #expect(names == ConfigurationKey.all.filter(\.waitsForStart).map(\.name))
    }

    @Test("sipfork.toml(5) has no other key")
    func noMore() throws {
        #expect(Set(try manualKeys().keys) == Set(ConfigurationKey.all.map(\.name)))
    }

    /// Name and default of each `.It Ic key No = default` under a `.Ss [name] table` of the page; of
    /// `.It Ic key`, which must be given, name and nothing.
    private func manualKeys() throws -> [String: String] {
        var keys: [String: String] = [:]
        var table = ""
        for line in try text(of: "man/sipfork.toml.5").split(separator: "\n") {
            if line.hasPrefix(".Ss ["), line.hasSuffix("] table") {
                table = line.dropFirst(5).dropLast(7).trimmingCharacters(in: ["[", "]"])
            } else if line.hasPrefix(".It Ic ") {
                let equals = line.range(of: " No = ")
                let key = line.dropFirst(7).prefix { $0 != " " }
                keys["\(table).\(key)"] =
                    equals.map {
                        line[$0.upperBound...].replacingOccurrences(of: "\\(dq", with: "\"")
                    } ?? ""
            }
        }
        return keys
    }
}
