import Platform
import SharedMemory
import SharedState

/// Where one fork of a request goes, as the server transaction's worker has found it: next hop and what to
/// edit. Part of a `TargetSet`.
///
///     | next hop : 28 | port : 2 | transport : 1 | 0 : 1 | flags : 2 | routes to drop : 2 | q : 2 | hop : 2 |
///     | URI length : 2 | Route length : 2 | name length : 2 | 0 : 2 | URI … | Route … | name …
package struct ForkTarget: BitwiseCopyable {
    package static let headBytes = 48

    package struct Flags: OptionSet, BitwiseCopyable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        /// The Request-URI is replaced by the URI that follows.
        package static let replacesURI = Flags(rawValue: 1)
        /// The next hop is a strict router: the Request-URI goes behind the last Route, the first Route's URI
        /// takes its place (§16.6 step 6).
        package static let strictNextHop = Flags(rawValue: 2)
        package static let recordRoute = Flags(rawValue: 4)
        /// The last Route value goes: a strict router before us had put the Request-URI there (§16.4).
        package static let dropsLastRoute = Flags(rawValue: 8)
        /// The transport was named, and is no guess of ours.
        package static let statesTransport = Flags(rawValue: 16)
        /// Whoever has named it may not reach a configured route's next hop.
        package static let avoidsHops = Flags(rawValue: 32)
    }

    /// None where the next hop is a name.
    package var peer = SocketAddress()
    /// Of a name; 0 where none was given.
    package var port: UInt16 = 0
    /// Raw, since another worker may be writing it anew; see `transport`.
    private var rawTransport = SIPTransport.udp.rawValue
    private var padding: UInt8 = 0
    package var flags: Flags = []
    package var routesToDrop: UInt16 = 0
    /// Thousandths: which targets are tried first where they are not tried all at once.
    package var q: UInt16 = 1000
    /// One more than the number of a configured route's hop; 0 for none.
    package var hop: UInt16 = 0
    package fileprivate(set) var uriLength: UInt16 = 0
    package fileprivate(set) var routeLength: UInt16 = 0
    package fileprivate(set) var nameLength: UInt16 = 0
    private var padding2: UInt16 = 0

    package init() {}

    package init(_ hop: NextHop) {
        peer = hop.address
        port = hop.port
        transport = hop.transport
        if hop.statesTransport { flags.insert(.statesTransport) }
    }

    package var transport: SIPTransport {
        get { SIPTransport(rawValue: rawTransport) ?? .udp }
        set { rawTransport = newValue.rawValue }
    }

    /// What the resolver is to be asked for the name (RFC 3263 §4.1, §4.2).
    package var question: DNSQuestion.Kind {
        if port != 0 { return .address }
        if !flags.contains(.statesTransport) { return .naptr }
        return transport == .udp ? .srvUDP : .srvTCP
    }

    /// Appends this target, its URI, the Route values that go before all others, and the name of the next hop
    /// in lower case (empty where it is an address).
    package func write(
        uri: Span<UInt8>, route: Span<UInt8>, name: Span<UInt8>, to writer: inout ByteWriter
    ) {
        var copy = self
        copy.uriLength = UInt16(truncatingIfNeeded: uri.count)
        copy.routeLength = UInt16(truncatingIfNeeded: route.count)
        copy.nameLength = UInt16(truncatingIfNeeded: name.count)
        unsafe withUnsafeBytes(of: copy) { unsafe writer.append(Span(_unsafeBytes: $0)) }
        writer.append(uri)
        writer.append(route)
        for index in name.indices {
            let byte = name[index]
            writer.append(byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte)
        }
    }
}

/// A target as it lies in its set: where its texts are in the set's bytes.
package struct PlacedTarget: BitwiseCopyable {
    package let target: ForkTarget
    private let start: UInt32

    fileprivate init(_ target: ForkTarget, at start: Int) {
        self.target = target
        self.start = UInt32(start)
    }

    package var uri: Range<Int> { Int(start)..<Int(start) + Int(target.uriLength) }
    package var route: Range<Int> { uri.upperBound..<uri.upperBound + Int(target.routeLength) }
    package var name: Range<Int> { route.upperBound..<route.upperBound + Int(target.nameLength) }
}

/// The targets of a request that became known together (RFC 3261 §16.5), stored beside it, immutable; a
/// fork's worker reads them. A later set, of contacts that a 3xx has brought, links to the one before.
///
///     | previous set : 8 | source : 72 | first fork : 2 | count : 2 | 0 : 4 | target …
///
/// Targets are numbered through all sets of a request, and so are its forks.
package struct TargetSet: ~Escapable {
    package struct Head: BitwiseCopyable {
        package var previous: StoredReference = .none
        /// Where the request came from, for `received` and `rport` (§18.2.1).
        package var source = Endpoint()
        package var firstFork: UInt16 = 0
        package var count: UInt16 = 0
        private var padding: UInt32 = 0

        package init() {}
    }

    package static let headBytes = 88

    package let head: Head
    private let bytes: Span<UInt8>

    /// Nil where the bytes hold no set (they were replaced).
    @_lifetime(copy bytes)
    package init?(_ bytes: Span<UInt8>) {
        guard let head = TargetSet.load(bytes, 0, as: Head()) else { return nil }
        self.head = head
        self.bytes = bytes
    }

    /// The target of a fork; nil where there is none.
    package func target(_ fork: UInt8) -> PlacedTarget? {
        var left = Int(fork) - Int(head.firstFork)
        guard left >= 0, left < Int(head.count) else { return nil }
        var offset = TargetSet.headBytes
        while let target = TargetSet.load(bytes, offset, as: ForkTarget()) {
            let placed = PlacedTarget(target, at: offset + ForkTarget.headBytes)
            offset = placed.name.upperBound
            if offset > bytes.count { return nil }
            if left == 0 { return placed }
            left -= 1
        }
        return nil
    }

    private static func load<Value: BitwiseCopyable>(
        _ bytes: Span<UInt8>, _ offset: Int, as empty: Value
    ) -> Value? {
        let size = MemoryLayout<Value>.size
        guard offset + size <= bytes.count else { return nil }
        var value = empty
        unsafe withUnsafeMutableBytes(of: &value) { target in
            unsafe bytes.extracting(offset..<offset + size).withUnsafeBytes {
                unsafe target.copyMemory(from: $0)
            }
        }
        return value
    }
}
