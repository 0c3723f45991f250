import Glibc
import Platform
import SharedState

@testable import Worker

/// SplitMix64: the same draws for the same seed, everywhere.
struct Dice {
    private var state: UInt64

    init(_ seed: UInt64, _ stream: Int) {
        state = seed &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(stream) &* 0xD1B5_4A32_D192_ED03
        _ = next()
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
    mutating func chance(_ percent: Int) -> Bool { below(100) < percent }
    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }
    mutating func place<Element>(in list: [Element]) -> Int? { list.isEmpty ? nil : below(list.count) }

    /// Mostly one of the newest.
    mutating func recent<Element>(_ list: [Element]) -> Element? {
        if list.isEmpty { return nil }
        return chance(70) ? list[list.count - 1 - below(min(4, list.count))] : list[below(list.count)]
    }
}

/// Sockets that all worlds of a fuzzing run share, so that addresses are the same in each.
final class FuzzSockets {
    static let start: UInt64 = 1_000_000

    let phones = (0..<5).map { _ in Phone() }
    private let listener = World.socket()

    deinit { close(listener.number) }

    var fixture: WorldFixture {
        WorldFixture(listener: listener.number, address: listener.address, now: FuzzSockets.start)
    }

    /// What the server has sent to its own listener and nobody has read.
    func hearOurselves() -> String? { FuzzSockets.hear(listener.number) }

    func hear(_ phone: Int) -> String? { FuzzSockets.hear(phones[phone].number) }

    /// What a world has left behind.
    func drain() {
        while hearOurselves() != nil {}
        for phone in phones.indices { while hear(phone) != nil {} }
    }

    private static func hear(_ number: Int32) -> String? {
        var buffer = InlineArray<8192, UInt8>(repeating: 0)
        var span = buffer.mutableSpan
        let count = unsafe span.withUnsafeMutableBytes {
            unsafe recv(number, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT))
        }
        return count < 0 ? nil : String(decoding: (0..<count).map { buffer[$0] }, as: UTF8.self)
    }
}

/// A message that a peer has received for the first time.
struct Heard {
    let peer: Endpoint
    let text: String
    let at: UInt64
    /// How it came to the master; nil for a datagram.
    let mail: Mail?
    /// Number of the worker that has sent `mail`.
    let worker: Int
    /// 0: a request.
    let status: Int
    let method: String
    /// The method of CSeq.
    let cseqMethod: String
    /// Of the first Via.
    let branch: String

    init(_ text: String, at peer: Endpoint, now: UInt64, mail: Mail? = nil, worker: Int = 0) {
        (self.text, self.peer, self.mail, self.worker) = (text, peer, mail, worker)
        at = now
        let start = text.split(separator: "\r\n", maxSplits: 1).first ?? ""
        status = start.hasPrefix("SIP/2.0 ") ? Int(start.dropFirst(8).prefix(3)) ?? 0 : 0
        method = status == 0 ? String(start.prefix { $0 != " " }) : ""
        cseqMethod = String(Heard.field("CSeq", text).split(separator: " ").last ?? "")
        let via = Heard.field("Via", text)
        branch =
            via.firstRange(of: ";branch=").map { String(via[$0.upperBound...].prefix { $0 != ";" }) } ?? ""
    }

    static func field(_ name: String, _ text: String) -> Substring {
        for line in text.split(separator: "\r\n") where line.hasPrefix(name + ":") {
            return line.dropFirst(name.utf8.count + 1).drop { $0 == " " }
        }
        return ""
    }

    /// Without what the time of day says.
    var comparable: String {
        text.split(separator: "\r\n", omittingEmptySubsequences: false).filter { !$0.hasPrefix("Date:") }
            .joined(separator: "\r\n")
    }

    var place: String { "\(peer.transport) \(peer.peer.text)" }
}

/// A request of a caller's.
struct Call {
    let method: String
    let text: String
    let branch: String
    let caller: Endpoint
    let worker: Int
    let sentAt: UInt64
    /// The server may answer it without a transaction, so that a repetition may get another answer.
    var isExempt = false
    var isAcknowledged = false
}
