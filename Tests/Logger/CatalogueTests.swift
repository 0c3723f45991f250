import Foundation
import SharedState
import Systemd
import Testing

@testable import Logger

@Suite("The message catalogue, which journalctl -x shows")
struct CatalogueTests {
    /// The entries of packaging/sipfork.catalog: header and text of each identifier.
    private func entries() throws -> [String: String] {
        let path = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../packaging/sipfork.catalog").standardized
        let pieces = try String(contentsOf: path, encoding: .utf8).components(separatedBy: "\n-- ")
            .dropFirst()
        let pairs = pieces.map { (String($0.prefix(32)), String($0.dropFirst(33))) }
        return try Dictionary(pairs) { _, _ in throw CocoaError(.fileReadCorruptFile) }
    }

    private var identifiers: [String: String] {
        var found = ["\(MessageID.logDropped)": "log-dropped"]
        for event in LogEvent.allCases {
            if let identifier = event.messageID { found["\(identifier)"] = event.name }
        }
        return found
    }

    @Test("it has an entry for each MESSAGE_ID, and no other")
    func complete() throws {
        let described = Set(try entries().keys)
        let used = Set(identifiers.keys)
        #expect(used.subtracting(described).map { identifiers[$0]! } == [], "not in the catalogue")
        #expect(described.subtracting(used) == [], "in the catalogue, and nowhere in the code")
    }

    @Test("each entry tells what happened, what it means for calls, what to do, and where to read on")
    func parts() throws {
        for (identifier, text) in try entries() {
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let name = identifiers[identifier] ?? identifier
            #expect(lines[0].hasPrefix("Subject: ") && lines[1] == "Defined-By: sipfork", "\(name)")
            #expect(lines[2].hasPrefix("Documentation: man:sipfork") && lines[3].isEmpty, "\(name)")
            #expect(text.contains("\n\nWhat it means for calls: "), "\(name)")
            #expect(
                text.contains("\n\nNothing is to be done") || text.contains("\n\nWhat to do: "), "\(name)")
            #expect(lines.allSatisfy { $0.utf8.count <= 80 }, "\(name)")
        }
    }

    /// What a caller chose, such as a Call-ID, may have what a shell would carry out.
    @Test("no line with a command, which an operator pastes, has a field in it")
    func commands() throws {
        let command =
            /^ {4}|\b(journalctl|sipforkctl|sipforkd|systemctl|coredumpctl|ss|ip|host|df|ls) +[-a-z\/]/
        var found = 0
        for (identifier, text) in try entries() {
            for line in text.split(separator: "\n") where line.contains(command) {
                found += 1
                #expect(!line.contains("@"), "\(identifiers[identifier] ?? identifier): \(line)")
            }
        }
        #expect(found > 20, "the test knows commands")
    }

    /// One that is not there is shown as its own name.
    @Test("the fields that it shows are fields of our entries")
    func fields() throws {
        var known: Set = ["SIPFORK_EVENT", "SIPFORK_PROCESS"]
        for index in 0..<LogField.all.count {
            known.insert("\(LogField.all[index].journalName)".dropLast().description)
        }
        for (identifier, text) in try entries() {
            let pieces = text.components(separatedBy: "@")
            #expect(pieces.count % 2 == 1, "\(identifier): each @ has its other")
            for index in stride(from: 1, to: pieces.count, by: 2) {
                #expect(known.contains(pieces[index]), "\(identifier): \(pieces[index])")
            }
        }
    }
}
