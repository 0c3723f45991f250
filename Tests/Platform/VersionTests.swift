import Foundation
import Platform
import Testing

struct VersionTests {
    /// The changelog is the truth: the package has its version from there.
    @Test func isThatOfTheChangelog() throws {
        let changelog = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appending(path: "../../packaging/debian/changelog").standardized
        let first = try String(contentsOf: changelog, encoding: .utf8).prefix { $0 != "\n" }
        #expect(first.hasPrefix("sipfork (\(Version.text)) "), "\(first)")
    }
}
