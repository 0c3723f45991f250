import Platform

/// What is asked of the resolver: one byte of kind, then the host in lower case.
package enum DNSQuestion {
    /// By what a URI says (RFC 3263 §4.1, §4.2).
    package enum Kind: UInt8, BitwiseCopyable, CaseIterable, Sendable {
        /// Neither port nor transport: NAPTR, then SRV, then addresses.
        case naptr = 0
        /// A transport, no port.
        case srvUDP = 1
        case srvTCP = 2
        /// A port: addresses only.
        case address = 3
    }

    package static let longestHost = 253
    /// Milliseconds after which whoever waits asks again: the resolver may have been replaced.
    package static let askingInterval: UInt64 = 500
}

/// One place where a name leads to.
package struct DNSCandidate: BitwiseCopyable, Equatable, Sendable {
    /// Lower ones first.
    package var rank: UInt16 = 0
    /// Among the servers of one rank (RFC 2782).
    package var weight: UInt16 = 0
    /// Candidates of one server are its addresses, in their order.
    package var server: UInt16 = 0
    package var transport = SIPTransport.udp
    private var padding: UInt8 = 0
    /// With its port; of a question of kind `address` without.
    package var address = SocketAddress()

    package init() {}
}

/// What the cache knows of a question.
package struct DNSAnswer {
    package enum Status: UInt8, BitwiseCopyable, Sendable {
        case found
        /// There is no such name, or it has no addresses.
        case none
        /// No name server has told.
        case failed
    }

    package static let capacity = 32

    package var status = Status.none
    package var count = 0
    package var candidates = InlineArray<32, DNSCandidate>(repeating: DNSCandidate())

    package init() {}

    package init(_ status: Status) { self.status = status }
}
