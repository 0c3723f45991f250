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
            uncommented.count { $0.contains(" = ") } == ConfigurationKey.all.count - 1, "all but mode")
        var expected = Configuration.defaults
        expected.domains = ["localhost"]
        #expect(try accepted(uncommented.joined(separator: "\n")) == expected)
    }

    @Test("sipfork.toml(5) has every key with its default", arguments: ConfigurationKey.all.map(\.name))
    func manual(name: String) throws {
        let key = try #require(ConfigurationKey.all.first { $0.name == name })
        #expect(try manualKeys()[name] == key.defaultText)
    }

    @Test("sipfork.toml(5) has no other key")
    func noMore() throws {
        #expect(Set(try manualKeys().keys) == Set(ConfigurationKey.all.map(\.name)))
    }

    /// Name and default of each `.It Ic key No = Ar default` under a `.Ss [name] table` of the page.
    private func manualKeys() throws -> [String: String] {
        var keys: [String: String] = [:]
        var table = ""
        for line in try text(of: "man/sipfork.toml.5").split(separator: "\n") {
            if line.hasPrefix(".Ss ["), line.hasSuffix("] table") {
                table = String(line.dropFirst(5).dropLast(7))
            } else if line.hasPrefix(".It Ic "), let equals = line.range(of: " No = ") {
                let value = line[equals.upperBound...].replacingOccurrences(of: "\\(dq", with: "\"")
                let key = line[line.index(line.startIndex, offsetBy: 7)..<equals.lowerBound]
                keys["\(table).\(key)"] = value
            }
        }
        return keys
    }
}
