import Platform
import SharedState
import Testing

@testable import sipforkctl

/// `register` and `unregister`: what the tool makes of its arguments.
struct CommandTests {
    private func state(domains: [String] = []) throws -> SharedState {
        let state = try ReadingTests.arena()
        var snapshot = ConfigurationSnapshot()
        for domain in domains { _ = snapshot.addDomain(domain) }
        snapshot.advertised[0] = SocketAddress(ipv4: 0x7F00_0001, port: 5070)
        precondition(state.publish(snapshot, []))
        return state
    }

    @Test(
        arguments: [
            ("alice", "sip:alice@example.org"), ("alice@example.net", "sip:alice@example.net"),
            ("sip:alice@example.net:5070", "sip:alice@example.net:5070"), ("SIPS:alice@h", "SIPS:alice@h"),
            ("+12", "sip:+12@example.org"), ("a b", nil), ("", nil), ("alice@", nil), ("@h", nil),
            ("sip:example.org", nil), ("tel:+12", nil), ("a>b", nil),
        ] as [(String, String?)])
    func addressesOfRecord(text: String, uri: String?) throws {
        #expect(AddressOfRecord.uri(text, try state(domains: ["example.org", "example.net"])) == uri)
    }

    @Test func withoutDomainsTheListeningAddressCounts() throws {
        #expect(AddressOfRecord.uri("alice", try state()) == "sip:alice@127.0.0.1:5070")
    }

    @Test(arguments: [
        ["register", "alice", "sip:a@h"],
        ["register", "alice", "sip:a@h", "--expires", "60", "--q", "0.5", "--path", "<sip:p;lr>", "--json"],
        ["unregister", "alice"], ["unregister", "alice", "sip:a@h", "--socket", "/x"],
    ])
    func arguments(_ arguments: [String]) {
        #expect(throws: Never.self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }

    @Test(arguments: [
        ["register"], ["register", "alice"], ["register", "alice", "sip:a@h", "--expires", "0"],
        ["register", "alice", "sip:a@h", "--expires", "-1"],
        ["register", "alice", "sip:a@h", "--expires", "soon"],
        ["register", "alice", "sip:a@h", "--expires", "4294967296"],
        ["register", "alice", "sip:a@h", "more"],
        ["unregister"], ["unregister", "alice", ""], ["unregister", "alice", "sip:a@h", "--expires", "60"],
    ])
    func refusedArguments(_ arguments: [String]) {
        #expect(throws: (any Error).self) { _ = try Sipforkctl.parseAsRoot(arguments) }
    }
}
