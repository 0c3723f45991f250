import Platform
import SharedState
import Testing

@testable import Proxy

@Suite struct IdentityTests {
    private static func isOurs(_ host: String, _ port: UInt16) -> Bool {
        Proxy.identity.isOurs(host: Array(host.utf8).span, port: port)
    }

    @Test(
        arguments: [
            ("example.org", 0, true), ("EXAMPLE.ORG", 0, true), ("example.org", 5060, true),
            ("example.org", 5070, true),
            ("example.org", 5061, false), ("example.or", 0, false), ("example.orgg", 0, false),
            ("", 0, false),
            ("192.0.2.1", 0, true), ("192.0.2.1", 5060, true), ("192.0.2.1", 5070, false),
            ("192.0.2.2", 0, false),
            ("203.0.113.5", 5070, true), ("203.0.113.5", 0, false), ("[2001:db8::1]", 0, true),
            ("2001:db8::1", 0, true),
            ("[2001:db8::2]", 0, false),
        ] as [(String, UInt16, Bool)])
    func ours(host: String, port: UInt16, expected: Bool) { #expect(Self.isOurs(host, port) == expected) }

    @Test(arguments: [
        ("10.1.2.3", true), ("11.0.0.1", false), ("127.0.0.1", false), ("2001:db8:1:2::3", true),
        ("2001:db8:2::1", false), ("::ffff:10.1.2.3", false),
    ])
    func relay(source: String, expected: Bool) {
        #expect(Proxy.identity.mayRelay(SocketAddress(host: source, port: 4711)!) == expected)
    }

    /// A reload has removed the first listener: its number is nobody's, its name is known to calls that have it.
    @Test func aListenerThatIsGone() {
        let gone = SocketAddress(host: "192.0.2.1", port: 5060)!
        let identity = Proxy.identity { snapshot in
            snapshot.formerly[0] = gone
            snapshot.listeners[0] = SocketAddress()
            snapshot.advertised[0] = SocketAddress()
        }
        let (host, peer) = (Array("192.0.2.1".utf8), SocketAddress(host: "198.51.100.7", port: 5060)!)
        #expect(!identity.isListening(0) && identity.isListening(1) && identity.first == 1)
        let found = [
            identity.isOurs(host: host.span, port: 5060), identity.isListener(host: host.span, port: 0),
            identity.wasListener(host: host.span, port: 0),
            identity.wasListener(host: host.span, port: 5070),
        ]
        #expect(found == [false, false, true, false])
        #expect(identity.listener(for: peer, .udp, preferred: 0) == 1)
        #expect(identity.ownAddress(preferred: 0).port == 5070)
        #expect(!identity.isOwn(Endpoint(.udp, gone, listener: 0)))
        #expect(identity.speaks(.udp) && !identity.speaks(.tcp))
    }

    /// Out by the listener it came in on, where that speaks the address's family.
    @Test func listeners() {
        let identity = Proxy.identity
        let four = SocketAddress(host: "198.51.100.7", port: 5060)!
        let six = SocketAddress(host: "2001:db8::9", port: 5060)!
        #expect(identity.listener(for: four, .udp, preferred: 1) == 1)
        #expect(identity.listener(for: four, .udp, preferred: 2) == 0)
        #expect(identity.listener(for: six, .udp, preferred: 0) == 2)
        #expect(identity.listener(for: four, .udp, preferred: 9) == 0)
        #expect(identity.listener(for: SocketAddress(), .udp, preferred: 0) == nil)
    }
}
