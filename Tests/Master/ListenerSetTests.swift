import Configuration
import Glibc
import Platform
import SharedState
import Testing

@testable import Master

@Suite("The listeners of a service that reloads")
struct ListenerSetTests {
    /// A port of 127.0.0.1 that was free a moment ago, for both transports.
    private static func freePort() -> UInt16 {
        let socket = Socket(SOCK_STREAM, at: "127.0.0.1")
        return socket.address.port
    }

    private func listeners(_ texts: [String]) throws -> [Listener] {
        try texts.map { try #require(Listener(specification: $0)) }
    }

    private func isFree(_ text: String) throws -> Bool {
        do {
            let socket = try ListeningSocket(try #require(Listener(specification: text)))
            close(socket.takeDescriptor())
            return true
        } catch { return false }
    }

    @Test func whatStaysKeepsNumberAndSocket() throws {
        let port = Self.freePort()
        let (udp, tcp, other) = ("udp:127.0.0.1:\(port)", "tcp:127.0.0.1:\(port)", "udp:127.0.0.2:\(port)")
        let first = try ListenerSet(listeners([udp, tcp]))
        let change = try first.changed(to: listeners([other, tcp]))
        #expect(change.added == [2] && change.removed.map(\.number) == [0])
        let second = change.result
        #expect(second.numbers == [1, 2] && second.count == 3)
        #expect(second[1]!.socket == first[1]!.socket)
        #expect(second.datagramSockets == [-1, -1, second[2]!.socket])
        #expect(second.streams.map(\.number) == [1])
        #expect(try !isFree(udp))
        change.complete()
        #expect(try isFree(udp) && !isFree(other) && !isFree(tcp))
        // Its number is given to others last.
        let third = try second.changed(to: listeners([tcp, other, udp]))
        #expect(third.added == [3] && third.result[0] == nil)
        third.complete()
        third.result.numbers.forEach { close(third.result[$0]!.socket) }
    }

    /// Of a former master with their numbers, of a socket unit without; what is not wanted is closed.
    @Test func socketsThatAreThereAreUsed() throws {
        let port = Self.freePort()
        let texts = ["udp:127.0.0.1:\(port)", "tcp:127.0.0.1:\(port)", "udp:127.0.0.2:\(port)"]
        let all = try listeners(texts)
        let former = try ListenerSet(all)
        let kept = [
            ListenerSet.Kept(name: "", number: nil, listener: all[1], socket: former[1]!.socket),
            ListenerSet.Kept(name: "", number: 5, listener: all[0], socket: former[0]!.socket),
            ListenerSet.Kept(name: "", number: 99, listener: all[2], socket: former[2]!.socket),
        ]
        let added = try listeners(["udp:127.0.0.3:\(port)"])[0]
        let set = try ListenerSet([all[0], all[1], added], kept)
        #expect(set[5]!.socket == former[0]!.socket && set[5]!.listener == all[0])
        #expect(set[0]!.socket == former[1]!.socket && set[0]!.listener == all[1])
        #expect(set.numbers.count == 3 && set.numbers.contains { set[$0]!.listener == added })
        #expect(try isFree(texts[2]))
        set.numbers.forEach { close(set[$0]!.socket) }
    }

    /// Both transports, either way: the wildcard first, or the address that it includes.
    @Test(arguments: ["udp", "tcp"], [true, false])
    func anAddressTakesTheWildcardsPlace(transport: String, toWildcard: Bool) throws {
        let port = Self.freePort()
        let texts = ["\(transport):127.0.0.1:\(port)", "\(transport):0.0.0.0:\(port)"]
        let (before, after) = toWildcard ? (texts[0], texts[1]) : (texts[1], texts[0])
        let first = try ListenerSet(listeners([before]))
        let change = try first.changed(to: listeners([after]))
        change.complete()
        #expect(change.result.numbers == [1])
        // From then on nobody else has the port, as ever.
        #expect(try !isFree(texts[0]))
        close(change.result[1]!.socket)
        #expect(try isFree(texts[0]))
    }

    @Test func whereOneCannotBeOpenedNothingHasChanged() throws {
        let port = Self.freePort()
        let udp = "udp:127.0.0.1:\(port)"
        let first = try ListenerSet(listeners([udp]))
        let other = Socket(SOCK_DGRAM, at: "127.0.0.3")
        let taken = "udp:127.0.0.3:\(other.address.port)"
        let added = "udp:127.0.0.2:\(port)"
        #expect(throws: SystemError.self) { try first.changed(to: try listeners([added, taken])) }
        #expect(try isFree(added) && !isFree(udp))
        close(first[0]!.socket)
    }

    /// Where all sixteen numbers are taken, new listeners get those of the ones that go.
    @Test func sixteenAreExchanged() throws {
        let port = Self.freePort()
        let texts = (1...32).map { "udp:127.0.1.\($0):\(port)" }
        let first = try ListenerSet(listeners(Array(texts.prefix(16))))
        let change = try first.changed(to: try listeners(Array(texts.suffix(16))))
        change.complete()
        #expect(change.removed.count == 16 && change.added.sorted() == Array(0..<16))
        #expect(Set(change.result.datagramSockets).count == 16)
        #expect(try isFree(texts[0]) && !isFree(texts[31]))
        change.result.numbers.forEach { close(change.result[$0]!.socket) }
    }

    /// Calls that are set up have these in Via and Route.
    @Test func formerNamesAreRemembered() throws {
        var snapshot = ConfigurationSnapshot()
        for number in 1...20 {
            var next = ConfigurationSnapshot()
            next.listenerCount = 2
            next.listeners[1] = SocketAddress(host: "192.0.2.\(number)", port: 5060)!
            next.advertised[1] = next.listeners[1]
            next.remember(snapshot)
            snapshot = next
        }
        let hosts = snapshot.formerly.indices.map { snapshot.formerly[$0].text }
        #expect(hosts == (4...19).reversed().map { "192.0.2.\($0):5060" })
        var back = snapshot
        back.listeners[1] = SocketAddress(host: "192.0.2.19", port: 5060)!
        back.advertised[1] = back.listeners[1]
        back.formerly = InlineArray(repeating: SocketAddress())
        back.remember(snapshot)
        let known = back.formerly.indices.map { back.formerly[$0].text }
        #expect(known.first == "192.0.2.20:5060" && !known.contains("192.0.2.19:5060"))
    }
}
