import Platform
import SharedMemory
import SharedState
import Syntax

@testable import Proxy

/// Who the proxy of these tests is: example.org and büro.example on 192.0.2.1:5060 and :5070,
/// [2001:db8::1]:5060 behind a wildcard.
enum Proxy {
    static var identity: Identity { identity { _ in } }

    static func identity(_ adjust: (inout ConfigurationSnapshot) -> Void) -> Identity {
        let bytes = ConfigurationView.bytes
        let memory = unsafe Memory(
            unsafe: UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64), size: bytes)
        var snapshot = ConfigurationSnapshot()
        let addresses: [(listener: String, advertised: String, port: UInt16)] = [
            ("192.0.2.1", "192.0.2.1", 5060), ("0.0.0.0", "203.0.113.5", 5070), ("::", "2001:db8::1", 5060),
        ]
        for (index, address) in addresses.enumerated() {
            snapshot.listeners[index] = SocketAddress(host: address.listener, port: address.port)!
            snapshot.advertised[index] = SocketAddress(host: address.advertised, port: address.port)!
        }
        snapshot.listenerCount = 3
        _ = snapshot.addDomain("example.org")
        _ = snapshot.addDomain("xn--bro-hoa.example")
        snapshot.networks[0] = SocketAddress(host: "10.0.0.0", port: 0)!
        snapshot.networkPrefixes[0] = 8
        snapshot.networks[1] = SocketAddress(host: "2001:db8:1::", port: 0)!
        snapshot.networkPrefixes[1] = 48
        snapshot.networkCount = 2
        adjust(&snapshot)
        let view = ConfigurationView(memory: memory, at: 0)
        view.publish(snapshot)
        return Identity(view)
    }

    /// Keys that are the same in every run.
    static func keys(_ seed: UInt64 = 1) -> Keys {
        let memory = unsafe Memory(
            unsafe: UnsafeMutableRawPointer.allocate(byteCount: Keys.bytes, alignment: 8), size: Keys.bytes)
        for word in 0..<(Keys.bytes / 8) { memory.store(seed &+ UInt64(word), at: word * 8) }
        return Keys(memory: memory)
    }

    /// What `write` writes.
    static func text(_ write: (inout ByteWriter) -> Void) -> [UInt8] {
        unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            var writer = unsafe ByteWriter(buffer)
            write(&writer)
            return unsafe [UInt8](UnsafeRawBufferPointer(rebasing: buffer[0..<writer.count]))
        }
    }
}

/// A request, and how it is routed, as text that a test can compare.
func routing(
    _ uri: String, method: String = "INVITE", routes: [String] = [], maxForwards: Int = 70,
    extra: [String] = []
) -> String {
    let lines =
        [
            "\(method) \(uri) SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1", "From: <sip:a@h>;tag=1",
            "To: <sip:b@h>",
            "Call-ID: c", "CSeq: 1 \(method)", "Max-Forwards: \(maxForwards)",
        ] + routes.map { "Route: \($0)" } + extra + ["", ""]
    let bytes = Array(lines.joined(separator: "\r\n").utf8)
    var index = MessageIndex()
    guard Scanner.scan(bytes.span, into: &index) == .complete else { return "not scanned" }
    let routing = RequestRouting(Message(bytes.span, index), Proxy.identity)
    var text: String
    switch routing.decision {
    case .refuse(let refusal): return "\(refusal.status)"
    case .ours: text = "ours"
    case .lookUp: text = "look up"
    case .forward:
        text = "forward to \(string(bytes, routing.nextHop.host))"
        if let hop = NextHop(routing.nextHop, bytes.span), !hop.isName {
            text += " = \(hop.address.text)"
        }
    }
    if routing.routesToDrop > 0 { text += ", \(routing.routesToDrop) dropped" }
    if routing.dropsLastRoute { text += ", last dropped" }
    if routing.stripsMaddr { text += ", without maddr" }
    if !routing.phoneContext.isEmpty { text += ", in \(string(bytes, routing.phoneContext))" }
    if routing.isStrictNextHop { text += ", strict" }
    if routing.replacesURI { text += ", as \(string(bytes, routing.requestURI))" }
    return text
}

private func string(_ bytes: [UInt8], _ range: ByteRange) -> String {
    String(decoding: bytes[range.start..<range.end], as: UTF8.self)
}
