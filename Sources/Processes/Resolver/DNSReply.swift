import Platform

/// The types of records that are asked for, by their numbers.
enum DNSType: UInt16 {
    case a = 1
    case aaaa = 28
    case srv = 33
    case naptr = 35
}

/// One record of an answer. Names are in lower case, without the last dot; the root is "".
enum DNSRecord: Equatable {
    /// With port 0.
    case address(SocketAddress)
    /// RFC 2782.
    case service(priority: UInt16, weight: UInt16, port: UInt16, target: String)
    /// RFC 3403 §4.1, without its regular expression; flags and services in lower case.
    case rule(order: UInt16, preference: UInt16, flags: String, services: String, replacement: String)
}

/// What has become of one question to the name servers.
enum DNSReply: Equatable {
    /// `ttl` in seconds: the least of all records on the way, aliases included.
    case found([DNSRecord], ttl: UInt32)
    /// No such name, or no such record of it.
    case none(ttl: UInt32)
    /// A name server could not tell, or its answer is rubbish.
    case failed
    /// No name server has answered.
    case silent
}

extension DNSReply {
    /// Seconds for which it holds that something is not there, where no SOA says (RFC 2308 §5).
    static let defaultNegativeTTL: UInt32 = 60
    /// Aliases that are followed, one after the other; a loop ends there.
    private static let maximumAliases = 16

    /// Reads a whole message (RFC 1035 §4.1) as the answer to the question for `type` records of `name`,
    /// which is in lower case. Whatever the bytes are, nothing is read outside of them.
    ///
    ///     | id | flags, rcode | counts of the sections | question | answer | authority | …
    ///     record: | owner | type : 16 | class : 16 | ttl : 32 | length : 16 | data |
    init(message: Span<UInt8>, type: DNSType, name: String) {
        do throws(DNSReader.Malformed) {
            self = try DNSReply.read(message, type, name)
        } catch {
            self = .failed
        }
    }

    private static func read(
        _ message: Span<UInt8>, _ type: DNSType, _ name: String
    ) throws(DNSReader.Malformed) -> DNSReply {
        var reader = DNSReader(message)
        try reader.skip(2)
        let flags = try reader.number16()
        let questions = try reader.number16()
        let answers = try reader.number16()
        let authorities = try reader.number16()
        try reader.skip(2)
        let code = flags & 15
        // One question was asked (RFC 9619 §4).
        guard flags & 0x8000 != 0, code == 0 || code == 3, questions <= 1 else { return .failed }
        for _ in 0..<questions {
            _ = try reader.name()
            try reader.skip(4)
        }
        var section = Section(type: type)
        for _ in 0..<answers { try section.add(&reader) }
        guard let found = section.records(of: name) else { return .failed }
        if !found.records.isEmpty || found.hasUnusable { return .found(found.records, ttl: found.ttl) }
        let ttl = (try? negativeTTL(&reader, records: authorities)) ?? defaultNegativeTTL
        return .none(ttl: min(ttl, found.ttl))
    }

    /// RFC 2308 §5: the SOA's own TTL or its last field, whichever is less.
    private static func negativeTTL(
        _ reader: inout DNSReader, records: UInt16
    ) throws(DNSReader.Malformed) -> UInt32 {
        for _ in 0..<records {
            let head = try reader.recordHead()
            guard head.type == Section.soa else {
                try reader.skip(head.length)
                continue
            }
            _ = try reader.name()
            _ = try reader.name()
            try reader.skip(16)
            return min(head.ttl, DNSReader.ttl(try reader.number32()))
        }
        return defaultNegativeTTL
    }

    /// The answer section: the records asked for, and the aliases that lead to them.
    private struct Section {
        static let cname: UInt16 = 5
        static let soa: UInt16 = 6

        let type: DNSType
        private var aliases: [String: (target: String, ttl: UInt32)] = [:]
        /// Nil: of no use to anyone, a target that is no name.
        private var records: [(owner: String, ttl: UInt32, record: DNSRecord?)] = []

        init(type: DNSType) { self.type = type }

        mutating func add(_ reader: inout DNSReader) throws(DNSReader.Malformed) {
            let head = try reader.recordHead()
            let end = reader.position + head.length
            guard let owner = head.owner, head.isInternet else { return try reader.skip(head.length) }
            if head.type == Section.cname {
                if let target = try reader.name() { aliases[owner] = (target, head.ttl) }
            } else if head.type == type.rawValue {
                records.append((owner, head.ttl, try reader.record(type)))
            } else {
                try reader.skip(head.length)
            }
            // Lengths that do not agree: who knows what the rest means.
            guard reader.position == end else { throw DNSReader.Malformed() }
        }

        /// Those that `name` leads to; nil where its aliases lead in a circle.
        func records(of name: String) -> (records: [DNSRecord], hasUnusable: Bool, ttl: UInt32)? {
            var owner = name
            var ttl = UInt32.max
            var steps = 0
            while let alias = aliases[owner] {
                steps += 1
                if steps > DNSReply.maximumAliases { return nil }
                owner = alias.target
                ttl = min(ttl, alias.ttl)
            }
            var found: [DNSRecord] = []
            var hasUnusable = false
            for entry in records where entry.owner == owner {
                ttl = min(ttl, entry.ttl)
                if let record = entry.record { found.append(record) } else { hasUnusable = true }
            }
            return (found, hasUnusable, ttl)
        }
    }
}
