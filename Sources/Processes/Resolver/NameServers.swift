import CAres
import Glibc
import Platform

/// The name servers, and the lookups that they are asked: each lookup goes to one after the other until one
/// tells, twice round at most.
///
///     ask ──► waiting ──► under way at server n ──answer────────────────────────► replies
///              (many)       ▲    ├─ cannot tell ──► the next, not this one again ─┤ none left: failed
///                           └────┴─ silence ──────► the next; n is avoided ───────┘ none left: silent
///
/// Who was silent is asked last for a while, so that a dead server delays only what was under way; once in
/// that while one lookup tries it again.
struct NameServers {
    /// At most that many servers, questions to them at once, and rounds of a lookup.
    static let maximumServers = 8
    static let maximumUnderWay = 4096
    private static let rounds: UInt8 = 2
    /// Milliseconds for which a silent server is asked last.
    private static let avoidance: UInt64 = 10_000
    /// Silences in a row that the journal is told of.
    private static let reportedSilences = 2
    /// Milliseconds between reports of silence of one server.
    private static let reportInterval: UInt64 = 60_000
    static let systemFile = "/etc/resolv.conf"

    private struct Lookup {
        let type: DNSType
        let name: String
        /// What it is known by where a reply to it traps.
        let mark: UInt64
        /// How often each server was asked.
        var tries = InlineArray<8, UInt8>(repeating: 0)
        var server = 0
        /// Somebody has answered, if only that it cannot tell.
        var isHeard = false
    }

    /// What the journal is to be told.
    enum Incident: Equatable {
        case silent(SocketAddress, name: String)
        case answers(SocketAddress)
        /// Answers, but cannot tell.
        case failed(SocketAddress, name: String)
    }

    private(set) var servers: [NameServer] = []
    private(set) var incidents: [Incident] = []
    private var lookups: [UInt64: Lookup] = [:]
    private var waiting: [UInt64] = []
    private var underWay = 0
    private var replies: [(number: UInt64, reply: DNSReply)] = []
    private let changes = NameServer.SocketChanges()
    private let isSystem: Bool
    private let systemFile: String
    private var stamp = FileStamp()
    private let timeout: Int32
    /// Is told of the lookup whose reply is read; 0: of none.
    var note: (UInt64) -> Void = { _ in }

    /// - Parameters: addresses: empty for the system's; timeout: milliseconds of one question to one server.
    init(_ addresses: [SocketAddress], timeout: Int32, systemFile: String = NameServers.systemFile) {
        isSystem = addresses.isEmpty
        self.timeout = timeout
        self.systemFile = systemFile
        if isSystem { refresh() } else { open(addresses) }
    }

    // MARK: which

    /// Reads the system's servers anew where they have changed. What was under way is asked of the new ones.
    mutating func refresh() {
        if !isSystem { return }
        let current = FileStamp(path: systemFile)
        if !servers.isEmpty && current == stamp { return }
        stamp = current
        var found = [sockaddr_storage](repeating: sockaddr_storage(), count: NameServers.maximumServers)
        let count = unsafe ca_system_servers(systemFile, &found, Int32(NameServers.maximumServers))
        open(found.prefix(Int(count)).map { SocketAddress($0) })
    }

    private mutating func open(_ addresses: [SocketAddress]) {
        let old = servers
        servers = []
        for address in addresses where !servers.contains(where: { $0.address == address }) {
            if servers.count == NameServers.maximumServers { break }
            if let server = NameServer(address, timeout: timeout, changes: changes) {
                servers.append(server)
            }
        }
        for server in old {
            server.close()
            for ending in server.takeEndings() { moveOn(ending.number) }
        }
    }

    /// Its server is gone: from the start, of others.
    private mutating func moveOn(_ number: UInt64) {
        underWay -= 1
        guard let lookup = lookups[number] else { return }
        lookups[number] = Lookup(type: lookup.type, name: lookup.name, mark: lookup.mark)
        waiting.append(number)
    }

    // MARK: lookups

    /// Asks; the reply comes with `number`, in a later `takeReplies`.
    mutating func ask(_ type: DNSType, _ name: String, number: UInt64, mark: UInt64 = 0) {
        lookups[number] = Lookup(type: type, name: name, mark: mark)
        waiting.append(number)
    }

    /// Nobody waits for the reply any longer.
    mutating func forget(_ number: UInt64) {
        lookups[number] = nil
        // Forgotten ones that were never sent.
        if waiting.count > 2 * lookups.count + NameServers.maximumUnderWay {
            waiting.removeAll { lookups[$0] == nil }
        }
    }

    /// Sends what waits, and takes in what has come: the replies since the last time.
    mutating func takeReplies(now: UInt64) -> [(number: UInt64, reply: DNSReply)] {
        // Sending may end in a failure at once, and a failure sends again: rounds bound it.
        repeat {
            send(now)
            for index in servers.indices {
                for ending in servers[index].takeEndings() { take(ending, from: index, now) }
            }
        } while canSend
        defer { replies.removeAll(keepingCapacity: true) }
        return replies
    }

    private var canSend: Bool { !waiting.isEmpty && underWay < NameServers.maximumUnderWay }

    private mutating func send(_ now: UInt64) {
        var sent = 0
        while sent < waiting.count && underWay < NameServers.maximumUnderWay {
            let number = waiting[sent]
            sent += 1
            guard var lookup = lookups[number] else { continue }
            guard let server = choose(lookup, now) else {
                end(number, lookup.isHeard ? .failed : .silent)
                continue
            }
            lookup.server = server
            lookup.tries[server] += 1
            lookups[number] = lookup
            underWay += 1
            servers[server].ask(lookup.type, lookup.name, number: number)
        }
        waiting.removeFirst(sent)
    }

    /// Of those that were asked least the first that is not avoided, else the first; nil where all were asked
    /// often enough.
    private func choose(_ lookup: Lookup, _ now: UInt64) -> Int? {
        var best: Int?
        var leastTries = NameServers.rounds
        var isBestAvoided = true
        for index in servers.indices where lookup.tries[index] <= leastTries {
            let tries = lookup.tries[index]
            let isAvoided = servers[index].avoidedUntil > now
            if tries < leastTries || isBestAvoided && !isAvoided && tries < NameServers.rounds {
                best = index
                leastTries = tries
                isBestAvoided = isAvoided
            }
        }
        // Its time is up: this lookup tries it, and the others go on avoiding it until that has answered.
        if let best, servers[best].silences > 0, !isBestAvoided {
            servers[best].avoidedUntil = now + NameServers.avoidance
        }
        return best
    }

    private mutating func end(_ number: UInt64, _ reply: DNSReply) {
        if lookups.removeValue(forKey: number) != nil { replies.append((number, reply)) }
    }

    // MARK: endings

    private mutating func take(_ ending: NameServer.Ending, from index: Int, _ now: UInt64) {
        underWay -= 1
        let server = servers[index]
        switch ending.status {
        case ARES_SUCCESS, ARES_ENODATA, ARES_ENOTFOUND:
            heard(server)
            guard let lookup = lookups[ending.number] else { return }
            // c-ares knows some names that are never asked for (.onion, RFC 7686).
            if ending.message.isEmpty {
                return end(ending.number, .none(ttl: DNSReply.defaultNegativeTTL))
            }
            note(lookup.mark)
            let reply = DNSReply(message: ending.message.span, type: lookup.type, name: lookup.name)
            note(0)
            if reply == .failed { return retry(ending.number, heard: index) }
            end(ending.number, reply)
        case ARES_EBADNAME, ARES_EBADQUERY:
            end(ending.number, .none(ttl: DNSReply.defaultNegativeTTL))
        case ARES_EFORMERR, ARES_ESERVFAIL, ARES_ENOTIMP, ARES_EREFUSED, ARES_EBADRESP:
            heard(server)
            incidents.append(.failed(server.address, name: ending.name))
            retry(ending.number, heard: index)
        default:
            server.silences += 1
            server.avoidedUntil = now + NameServers.avoidance
            if server.silences >= NameServers.reportedSilences && !server.isReported
                && now >= server.nextReport
            {
                server.isReported = true
                server.nextReport = now + NameServers.reportInterval
                incidents.append(.silent(server.address, name: ending.name))
            }
            if lookups[ending.number] != nil { waiting.append(ending.number) }
        }
    }

    private mutating func heard(_ server: NameServer) {
        if server.isReported { incidents.append(.answers(server.address)) }
        server.isReported = false
        server.silences = 0
        server.avoidedUntil = 0
    }

    /// That server cannot tell: it need not be asked twice.
    private mutating func retry(_ number: UInt64, heard server: Int) {
        guard lookups[number] != nil else { return }
        lookups[number]!.tries[server] = NameServers.rounds
        lookups[number]!.isHeard = true
        waiting.append(number)
    }

    mutating func takeIncidents() -> [Incident] {
        defer { incidents.removeAll() }
        return incidents
    }

    // MARK: sockets and time

    /// What has changed in the sockets to be watched, in order.
    func takeSocketChanges() -> [NameServer.SocketChange] { changes.take() }

    func process(_ socket: Int32, isReadable: Bool, isWritable: Bool) {
        servers.first { $0.sockets.contains(socket) }?
            .process(socket, isReadable: isReadable, isWritable: isWritable)
    }

    func processTime() {
        for server in servers { server.processTime() }
    }

    /// Milliseconds after which `processTime` is due; nil where nothing is asked.
    var patience: Int32? { servers.compactMap(\.patience).min() }

    /// Closes all; for whoever goes on living without them.
    mutating func close() { open([]) }
}
