import Configuration
import Platform
import Testing

@Suite("Networks and listeners")
struct NetworkTests {
    @Test(
        "what a network contains",
        arguments: [
            ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.128/25", "192.0.2.128", true), ("192.0.2.128/25", "192.0.2.127", false),
            ("192.0.2.1", "192.0.2.1", true), ("192.0.2.1", "192.0.2.0", false),
            ("0.0.0.0/0", "203.0.113.1", true),
            ("0.0.0.0/0", "::1", false), ("::/0", "127.0.0.1", false), ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::", true), ("2001:db8::/33", "2001:db8:8000::", false),
            ("::1", "::1", true), ("::1", "::2", false), ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::", false),
        ])
    func contains(network: String, address: String, expected: Bool) throws {
        let network = try #require(Network(specification: network))
        #expect(network.contains(try #require(SocketAddress(host: address, port: 5060))) == expected)
        #expect(Network(specification: network.text) == network)
    }

    @Test(
        "a listener's text parses again",
        arguments: [
            "udp:127.0.0.1", "udp:127.0.0.1:1", "udp:[::]", "udp:[2001:db8::1]:65535", "tcp:127.0.0.1",
            "tcp:[2001:db8::1]:1",
        ])
    func listener(text: String) throws {
        let listener = try #require(Listener(specification: text))
        #expect(Listener(specification: listener.text) == listener)
        #expect(listener.text.hasPrefix(text))
    }
}
