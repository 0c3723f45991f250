import Platform

/// What the receiver of a request notes in its top Via: where the request really came from (RFC 3261
/// §18.2.1), and the source port where rport asks for it (RFC 3581 §4).
///
///     10.1.1.1:4540;rport;branch=z9hG4bKa  →  10.1.1.1:4540;rport=9988;branch=z9hG4bKa;received=192.0.2.1
///
/// A received or rport value that the sender wrote itself is replaced: only ours is true.
struct ViaStamp {
    private let via: Via
    private let peer: SocketAddress
    private let needsReceived: Bool

    /// - Parameter peer: the request's source; where it is none, the Via stays as it is.
    init(_ via: Via, _ bytes: Span<UInt8>, peer: SocketAddress) {
        self.via = via
        self.peer = peer
        if peer.isNone || via.isEmpty {
            needsReceived = false
        } else {
            let named = SocketAddress(host: bytes.slice(via.host), port: 0)
            needsReceived = via.hasRport || !via.received.isEmpty || named != peer.host
        }
    }

    /// Writes the via-parm alone. - Parameter unfolding: folds become a space.
    func write(_ bytes: Span<UInt8>, to writer: inout ByteWriter, unfolding: Bool) {
        var place = via.whole.start
        let isReceivedFirst = via.received.offset < via.rport.offset
        if !peer.isNone {
            if isReceivedFirst { replaceReceived(bytes, &place, &writer, unfolding) }
            if via.hasRport {
                writer.append(bytes, ByteRange(place, via.rport.start), unfolding: unfolding)
                if via.rport.isEmpty { writer.append(Ascii.equals) }
                writer.append(decimal: UInt64(peer.port))
                place = via.rport.end
            }
            if !isReceivedFirst { replaceReceived(bytes, &place, &writer, unfolding) }
        }
        writer.append(bytes, ByteRange(place, via.whole.end), unfolding: unfolding)
        if needsReceived && via.received.isEmpty {
            writer.append(";received=")
            peer.writeHost(to: &writer, bracketed: false)
        }
    }

    private func replaceReceived(
        _ bytes: Span<UInt8>, _ place: inout Int, _ writer: inout ByteWriter, _ unfolding: Bool
    ) {
        guard !via.received.isEmpty else { return }
        writer.append(bytes, ByteRange(place, via.received.start), unfolding: unfolding)
        peer.writeHost(to: &writer, bracketed: false)
        place = via.received.end
    }
}

extension ByteWriter {
    /// Appends the range; with `unfolding` each run of CR and LF in it becomes one space (RFC 3261 §7.3.1
    /// calls both the same), so that no line end of a peer, broken ones included, gets into a message of
    /// ours.
    package mutating func append(_ bytes: Span<UInt8>, _ range: ByteRange, unfolding: Bool) {
        guard unfolding else { return append(bytes.slice(range)) }
        let end = range.end
        var place = range.start
        while place < end {
            let text = bytes.first(place, end) { $0.lineEnd }
            append(bytes.slice(ByteRange(place, text)))
            guard text < end else { return }
            append(Ascii.space)
            place = text
            while place < end && (bytes[place] == Ascii.carriageReturn || bytes[place] == Ascii.lineFeed) {
                place &+= 1
            }
        }
    }
}
