import Platform

/// A connection of the master's, in a given generation; zero is none.
package struct ConnectionReference: BitwiseCopyable, Equatable, Sendable {
    package let rawValue: UInt64
    package static let none = ConnectionReference(rawValue: 0)

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(index: Int, generation: UInt32) { rawValue = UInt64(generation) << 32 | UInt64(index + 1) }

    package var isNone: Bool { rawValue == 0 }
    package var index: Int { Int(rawValue & 0xFFFF_FFFF) - 1 }
    package var generation: UInt32 { UInt32(rawValue >> 32) }
}

/// Where a message came from, or where one goes: 72 bytes, fit for records.
package struct Endpoint: BitwiseCopyable, Sendable {
    package var peer = SocketAddress()
    /// The address of ours that the peer has sent to, and that an answer leaves from; none where the socket
    /// says enough, being bound to one address.
    package var local = SocketAddress()
    /// The connection that it came on; none: the one to `peer`, or a new one.
    package var connection = ConnectionReference.none
    /// Number of the listener.
    package var listener: UInt16 = 0
    /// Raw, since a peer process may be writing it anew; see `transport`.
    private var rawTransport = SIPTransport.udp.rawValue
    private var padding: UInt8 = 0
    /// Where a response goes on the peer's host once its connection is gone (RFC 3261 §18.2.2); 0: nowhere.
    package var fallbackPort: UInt16 = 0
    private var padding2: UInt16 = 0

    package init() {}

    package init(_ transport: SIPTransport, _ peer: SocketAddress, listener: UInt16) {
        self.transport = transport
        self.peer = peer
        self.listener = listener
    }

    package var transport: SIPTransport {
        get { SIPTransport(rawValue: rawTransport) ?? .udp }
        set { rawTransport = newValue.rawValue }
    }

    package var isReliable: Bool { transport.isReliable }

    /// `udp:192.0.2.4:5060`: the peer as the journal names it.
    package func writePeer(to writer: inout ByteWriter) {
        writer.append(transport.name)
        writer.append(":")
        peer.write(to: &writer)
    }
}
