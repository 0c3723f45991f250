import ArgumentParser
import Foundation
import Platform
import SharedState
import Testing

@testable import sipforkctl

/// What an operator reads must be what the programs do: commands, counters, JSON keys, events.
@Suite("The manual pages name what the programs know, and nothing else")
struct ManualTests {
    @Test("sipforkctl(8) lists the commands, in their order")
    func commands() throws {
        let page = try lines("man/sipforkctl.8")
        let listed = page.filter { $0.hasPrefix(".It Cm ") }.map { String($0.split(separator: " ")[2]) }
        let known = Sipforkctl.configuration.subcommands.map { "\($0)".lowercased() }
        #expect(listed == known)
        let synopsis = page.prefix { $0 != ".Sh DESCRIPTION" }.filter { $0.hasPrefix(".Cm ") }
        #expect(synopsis.map { String($0.dropFirst(4)) } == known)
    }

    @Test("sipforkctl(8) explains every option, and no other")
    func options() throws {
        let page = try lines("man/sipforkctl.8")
        let explained = Set(
            page.filter { $0.hasPrefix(".It Fl -") }.map { "--" + $0.dropFirst(8).prefix { $0 != " " } })
        let help = Sipforkctl.configuration.subcommands.map { $0.helpMessage() } + [Sipforkctl.helpMessage()]
        let known = Set(
            help.flatMap { $0.split { $0 == " " || $0 == "\n" || $0 == "," || $0 == "[" || $0 == "]" } }
                .filter { $0.hasPrefix("--") }.map(String.init))
        #expect(explained == known)
    }

    @Test("sipforkctl(8) lists the counters, in their order")
    func counters() throws {
        let page = try lines("man/sipforkctl.8")
        #expect(names(in: page, section: ".Ss Counters") == Counter.allCases.map(\.name))
    }

    @Test("sipforkctl(8) explains counters and metrics in the words of metrics")
    func help() throws {
        let page = try lines("man/sipforkctl.8")
        let counters = items(in: page, section: ".Ss Counters")
        #expect(counters == Counter.allCases.map { [$0.name, $0.help] })
        let others = MetricsView(StatusView()).families.filter { family in
            !Counter.allCases.contains { family.name == "sipfork_\($0.name)" }
        }
        #expect(items(in: page, section: ".Ss Metrics") == others.map { [$0.name, $0.help] })
    }

    @Test("sipforkctl(8) shows the screen of status as it is")
    func screen() throws {
        StatusViewTests.setUTC()
        let page = try String(
            contentsOf: repository.appending(path: "man/sipforkctl.8"), encoding: .utf8)
        let screen = StatusViewTests.example.text.replacingOccurrences(
            of: "sipfork \(Version.text),", with: "sipfork 0.1.0,")
        #expect(page.contains(".Bd -literal\n# sipforkctl status\n\(screen).Ed\n"), "\(screen)")
    }

    @Test("sipforkctl(8) shows a call as ladder draws it")
    func ladder() throws {
        let page = try String(
            contentsOf: repository.appending(path: "man/sipforkctl.8"), encoding: .utf8)
        #expect(page.contains(".Bd -literal\n\(LadderTests.example.text).Ed\n"))
    }

    @Test("sipforkd(8) lists the values of SIPFORK_EVENT")
    func events() throws {
        let page = try lines("man/sipforkd.8")
        let listed = names(in: page, section: ".Ss Values of SIPFORK_EVENT")
        // The logger's own; it is in no ring.
        #expect(Set(listed) == Set(LogEvent.allCases.filter { $0 != .none }.map(\.name) + ["log-dropped"]))
        #expect(listed.count == Set(listed).count)
    }

    @Test("sipfork(7) names a part of packaging/test for every row of its table, and every part in some row")
    func parts() throws {
        let table = try lines("man/sipfork.7").filter { $0.hasPrefix("     tests: ") }
        let named = Set(table.flatMap { $0.split(separator: " ").dropFirst().map(String.init) })
        let files = try FileManager.default.contentsOfDirectory(
            atPath: repository.appending(path: "Tests/Acceptance").path)
        let parts = try files.filter { $0.hasSuffix(".py") }.filter {
            try lines("Tests/Acceptance/\($0)").contains { $0.hasPrefix("@test(") }
        }
        #expect(named == Set(parts.map { String($0.dropLast(3)) }))
    }

    @Test("sipforkctl(8) names every key of the JSON", arguments: ManualTests.views)
    func keys(view: JSON) throws {
        let page = try lines("man/sipforkctl.8").filter { $0.contains(".Li ") || $0.contains(" Li ") }
        let words = Set(page.flatMap { $0.split { !$0.isLetter && $0 != "_" }.map(String.init) })
        for key in ManualTests.keys(of: view) { #expect(words.contains(key), "\(key)") }
    }

    /// One of each, with everything that a view can hold.
    private static let views: [JSON] = [
        StatusViewTests.status.json,
        CheckView(file: "/nonexistent").json,
        WorkersView(workers: [
            .init(
                index: 0, pid: 1, restarts: 0, isReady: true, transactions: 0, records: 0, stored: 0,
                mailWaiting: 0,
                idle: 0)
        ]).json,
        RegistrationsView(registrations: [
            .init(
                addressOfRecord: "sip:a@b",
                contacts: [.init(uri: "sip:a@c", expires: 1, q: 1000, path: nil, userAgent: nil)])
        ]).json,
        TransactionsView(transactions: [
            .init(
                callID: "c", method: "INVITE", state: "proceeding", requestURI: "sip:a@b", worker: 0, pid: 1,
                age: 1,
                status: 180,
                forks: [
                    .init(
                        index: 0, worker: 0, pid: 1, state: "proceeding", target: "sip:a@c",
                        nextHop: "udp:192.0.2.1:5060",
                        status: 180, cancel: "trying")
                ])
        ]).json,
        TraceView(filter: "x", since: 1, calls: 1).json,
        LadderView(callID: "x", [LadderEntry()]).json,
    ]

    /// Keys of an object and of all within it. Counters have a test of their own.
    private static func keys(of value: JSON) -> Set<String> {
        switch value {
        case .object(let members):
            members.reduce(into: []) { found, member in
                found.insert(member.key)
                found.formUnion(keys(of: member.value))
            }
        case .array(let values): values.reduce(into: []) { $0.formUnion(keys(of: $1)) }
        default: []
        }
    }

    private var repository: URL {
        URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    }

    private func lines(_ path: String) throws -> [Substring] {
        try String(contentsOf: repository.appending(path: path), encoding: .utf8).split(
            separator: "\n")
    }

    /// Name and text of each `.It Li` in a section; macros within the text are words of it.
    private func items(in page: [Substring], section: String) -> [[String]] {
        var items: [[String]] = []
        for line in page.drop(while: { $0 != section }).dropFirst().prefix(while: { $0 != ".El" }) {
            if line.hasPrefix(".It Li ") {
                items.append([String(line.dropFirst(7)), ""])
            } else if !items.isEmpty {
                let words = line.hasPrefix(".Ic ") ? line.dropFirst(4) : line
                let text = words.replacingOccurrences(of: " ,", with: ",")
                items[items.count - 1][1] += (items.last![1].isEmpty ? "" : " ") + text
            }
        }
        return items
    }

    /// The names of `.It Li name , name` in a section.
    private func names(in page: [Substring], section: String) -> [String] {
        page.drop { $0 != section }.dropFirst().prefix { !$0.hasPrefix(".Ss") && !$0.hasPrefix(".Sh") }
            .filter { $0.hasPrefix(".It Li ") }
            .flatMap { $0.dropFirst(7).split(separator: " , ").map(String.init) }
    }
}
