import Glibc
import Platform
import SharedState
import Testing

@testable import Master

// The macros of the tests take nothing that cannot be copied, but classes that hold it.

private final class Queue {
    var bytes = ByteQueue()

    func append(_ text: String) { bytes.append(Array(text.utf8).span) }

    var text: String {
        let held = bytes.bytes
        return String(decoding: held.indices.map { held[$0] }, as: UTF8.self)
    }

    var count: Int { bytes.count }
    var capacity: Int { bytes.capacity }
    func receive(from socket: Socket, atMost most: Int) -> Int {
        bytes.receive(from: socket.number, atMost: most)
    }
}

@Suite struct ByteQueueTests {
    @Test func bytesComeOutAsTheyWentIn() {
        let queue = Queue()
        var expected = ""
        for number in 0..<2000 {
            let text = "\(number) is a number;"
            queue.append(text)
            expected += text
            if number % 3 == 0 {
                queue.bytes.removeFirst(number % 7)
                expected.removeFirst(number % 7)
            }
        }
        #expect(queue.text == expected && queue.capacity <= 2 * queue.count)
        queue.bytes.removeFirst(queue.count)
        #expect(queue.capacity == 0 && queue.text == "")
    }

    @Test func itReceivesBehindWhatIsThere() {
        let (first, second) = (Socket(SOCK_DGRAM, at: "127.0.0.1"), Socket(SOCK_DGRAM, at: "127.0.0.1"))
        let queue = Queue()
        queue.append("ab")
        #expect(queue.receive(from: first, atMost: 10) == -1)
        second.send("cdefgh", to: first.address)
        #expect(queue.receive(from: first, atMost: 4) == 4)
        #expect(queue.text == "abcdef")
    }
}

private final class Requests {
    var sent = SentRequests()

    func append(_ number: UInt64, end: UInt64, since: UInt64 = 1, written: UInt64) -> Bool {
        var mail = Mail(.send)
        mail.transaction = TransactionReference(rawValue: number)
        return sent.append(.init(mark: RequestMark(mail)!, end: end, since: since), written: written)
    }

    func take() -> UInt64? { sent.removeFirst()?.mark.transaction.rawValue }
    var count: Int { sent.count }
}

@Suite struct SentRequestsTests {
    @Test func theOldestWrittenMakeRoom() {
        let requests = Requests()
        for number in 1...UInt64(SentRequests.limit + 5) {
            #expect(requests.append(number, end: number * 10, written: number * 10))
        }
        #expect(requests.count == SentRequests.limit && requests.take() == 6)
    }

    @Test func thoseThatWaitDoNot() {
        let requests = Requests()
        for number in 1...UInt64(SentRequests.limit) {
            _ = requests.append(number, end: number * 10, written: 9)
        }
        #expect(!requests.append(9999, end: 99_999, written: 9) && requests.count == SentRequests.limit)
        requests.sent.forget(before: 2, written: 100)
        #expect(requests.count == SentRequests.limit - 10)
        requests.sent.forget(before: 2, written: .max)
        #expect(requests.count == 0 && requests.take() == nil)
    }

    @Test func nobodyAsksForMessagesWithoutATransaction() { #expect(RequestMark(Mail(.send)) == nil) }
}

private final class Table {
    var table: ConnectionTable

    init(limit: Int = 8, hostLimit: Int = 8) {
        table = ConnectionTable(limit: limit, hostLimit: hostLimit, hash: KeyedHash(key0: 1, key1: 2))
    }

    func add(_ host: String, _ port: Int, listener: UInt16 = 0) -> Int? {
        let number = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        let index = table.add(number, Table.peer(host, port), listener: listener)
        if index == nil { close(number) }
        return index
    }

    func connect(_ host: String, _ port: Int) -> Int? {
        let number = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
        return table.add(number, Table.peer(host, port), listener: 0, isAccepted: false)
    }

    func isConnectingFull(_ host: String) -> Bool { table.isConnectingFull(Table.peer(host, 1)) }

    func find(_ host: String, _ port: Int, listener: UInt16 = 0) -> Int? {
        table.find(Table.peer(host, port), listener: listener)
    }

    func find(_ reference: ConnectionReference) -> Int? { table.find(reference) }
    func reference(_ index: Int) -> ConnectionReference { table.reference(index) }
    func isFull(_ host: String) -> Bool { table.isHostFull(Table.peer(host, 1)) }
    func tellsFull(_ host: String) -> Bool { table.tellsHostFull(Table.peer(host, 1)) }

    static func peer(_ host: String, _ port: Int) -> SocketAddress {
        SocketAddress(host: host, port: UInt16(port))!
    }
}

@Suite struct ConnectionTableTests {
    @Test func aReferenceMeansOneConnectionOnly() throws {
        let table = Table()
        let index = try #require(table.add("192.0.2.1", 5060))
        let reference = table.reference(index)
        #expect(table.find(reference) == index && table.find("192.0.2.1", 5060) == index)
        table.table.remove(index)
        #expect(table.find(reference) == nil && table.find("192.0.2.1", 5060) == nil)
        #expect(table.add("192.0.2.1", 5060) == index)
        #expect(table.find(reference) == nil && table.reference(index) != reference)
        #expect(table.find(.none) == nil)
        #expect(table.find(ConnectionReference(index: 1_000_000, generation: 1)) == nil)
    }

    @Test func peersAreFoundByTheirWholeAddress() throws {
        let table = Table(limit: 300, hostLimit: 300)
        var found: [(host: String, port: Int, index: Int)] = []
        for host in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"] {
            for port in 1...50 { found.append((host, port, try #require(table.add(host, port)))) }
        }
        for peer in found { #expect(table.find(peer.host, peer.port) == peer.index) }
        for peer in found where peer.port % 2 == 0 { table.table.remove(peer.index) }
        for peer in found {
            #expect(table.find(peer.host, peer.port) == (peer.port % 2 == 0 ? nil : peer.index))
        }
    }

    /// A reload: those that are there stay, whatever the limits are now.
    @Test func otherLimits() throws {
        let table = Table(limit: 4, hostLimit: 4)
        var references: [ConnectionReference] = []
        for port in 1...4 {
            references.append(table.reference(try #require(table.add("192.0.2.1", port))))
        }
        table.table.setLimits(2, host: 2)
        #expect(table.table.count == 4 && table.isFull("192.0.2.1") && table.add("192.0.2.2", 1) == nil)
        table.table.setLimits(200, host: 100)
        for port in 5...100 { #expect(table.add("192.0.2.1", port) != nil) }
        #expect(table.isFull("192.0.2.1"))
        for (index, reference) in references.enumerated() {
            #expect(table.find(reference) == index && table.find("192.0.2.1", index + 1) == index)
        }
    }

    @Test func theListenersOwnIsPreferred() throws {
        let table = Table()
        let first = try #require(table.add("192.0.2.1", 5060, listener: 1))
        let second = try #require(table.add("192.0.2.1", 5060, listener: 2))
        #expect(table.find("192.0.2.1", 5060, listener: 1) == first)
        #expect(table.find("192.0.2.1", 5060, listener: 2) == second)
        #expect(table.find("192.0.2.1", 5060, listener: 3) != nil)
        table.table[first].phase = .refusing
        #expect(table.find("192.0.2.1", 5060, listener: 1) == second)
    }

    @Test func hostsAreCounted() throws {
        let table = Table(limit: 20, hostLimit: 4)
        let hosts = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"]
        for host in hosts {
            for port in 1...4 {
                #expect(!table.isFull(host))
                #expect(table.add(host, port) != nil)
            }
            #expect(table.isFull(host))
        }
        // The same network of 64 bits.
        #expect(table.isFull("2001:db8::ffff:1") && !table.isFull("192.0.2.3"))
        #expect(table.tellsFull(hosts[0]) && !table.tellsFull(hosts[0]))
        table.table.remove(try #require(table.find(hosts[0], 1)))
        #expect(!table.isFull(hosts[0]) && table.tellsFull(hosts[0]))
    }

    /// Those to a host do not count among those that it may make.
    @Test func thoseBeingConnectedHaveTheirOwnLimits() throws {
        let table = Table(limit: 320, hostLimit: 2)
        for port in 1...64 { #expect(table.connect("192.0.2.1", port) != nil) }
        #expect(table.isConnectingFull("192.0.2.1") && !table.isConnectingFull("192.0.2.2"))
        #expect(!table.isFull("192.0.2.1"))
        for port in 1...16 { #expect(table.connect("192.0.2.2", port) != nil) }
        #expect(table.isConnectingFull("192.0.2.3"))
        table.table.setConnected(try #require(table.find("192.0.2.1", 1)))
        #expect(!table.isConnectingFull("192.0.2.1"))
        for index in 0..<80 { table.table.remove(index) }
        for port in 1...2 { #expect(table.add("192.0.2.1", port) != nil) }
        #expect(table.isFull("192.0.2.1") && !table.isConnectingFull("192.0.2.1"))
    }

    @Test func itHoldsSoMany() {
        let table = Table(limit: 3)
        for port in 1...3 { #expect(table.add("192.0.2.1", port) != nil) }
        #expect(table.add("192.0.2.1", 4) == nil)
    }
}
