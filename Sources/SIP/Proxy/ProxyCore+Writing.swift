import Platform
import SharedState
import Syntax

/// The request as it leaves (RFC 3261 §16.6 steps 1 to 8), and our own lines in it.
extension ProxyCore {
    /// - Parameter flow: of a request that is forwarded without state, the connection that its answer is to take.
    package func writeVia(
        _ listener: Int, _ branch: Branch, flow: ConnectionReference = .none, to lines: inout ByteWriter
    ) {
        lines.append("Via: SIP/2.0/")
        lines.append(identity.transport(listener).token)
        lines.append(" ")
        identity.advertised(listener).write(to: &lines)
        lines.append(";branch=")
        branch.write(to: &lines)
        if !flow.isNone { FlowMark.write(flow, branch, keys: keys, to: &lines) }
        lines.append("\r\n")
    }

    /// Our Record-Route; two where transport or address family change here, for each side needs a way to us of
    /// its own (RFC 5658 §3).
    package func writeRecordRoutes(
        _ callID: Span<UInt8>, leaving outer: Int, arriving inner: Int, to lines: inout ByteWriter
    ) {
        let mark = RouteMark.of(callID, keys: keys)
        writeRecordRoute(outer, mark, to: &lines)
        // A reload may have removed that listener meanwhile.
        guard identity.isListening(inner) else { return }
        if identity.transport(inner) != identity.transport(outer)
            || identity.advertised(inner).family != identity.advertised(outer).family
        {
            writeRecordRoute(inner, mark, to: &lines)
        }
    }

    private func writeRecordRoute(_ listener: Int, _ mark: UInt64, to lines: inout ByteWriter) {
        lines.append("Record-Route: <sip:")
        identity.advertised(listener).write(to: &lines)
        if identity.transport(listener) != .udp {
            lines.append(";transport=")
            lines.append(identity.transport(listener).name)
        }
        lines.append(";lr;sf=")
        lines.append(hexadecimal: mark, digits: 16)
        lines.append(">\r\n")
    }

    /// Builds the request of a target by editing the received bytes. `via` and `recordRoute` lie one behind the
    /// other at the begin of `line`.
    ///
    /// - Returns: what `ForwardedRequest` says of it.
    @discardableResult
    package func writeForwarded(
        _ message: Message, _ placed: PlacedTarget, in set: Span<UInt8>, source: Endpoint,
        via: Span<UInt8>, recordRoute: Span<UInt8>, breadth: Int, isForStream: Bool,
        to writer: inout ByteWriter
    ) -> HopFields? {
        let target = placed.target
        var appended = line
        appended.skip(via.count + recordRoute.count)
        let start = appended.count
        // A Request-URI longer than that has no place in a Route.
        defer { if appended.overflowed { writer.fail() } }
        if target.flags.contains(.strictNextHop) {
            let routing = RequestRouting(message, identity, local: source.local)
            appended.append("<")
            if !writeOwnURI(message, routing, to: &appended) { appended.append(message.requestURI) }
            appended.append(">")
        }
        let route = set.extracting(placed.route)
        let behind = appended.count > start ? appended.written.extracting(start..<appended.count) : route
        var edits = ForwardedRequest.Edits()
        edits.maxForwards = message.index.maxForwards < 0 ? 70 : Int(message.index.maxForwards) - 1
        edits.maxBreadth = breadth
        edits.routesToDrop = Int(target.routesToDrop)
        edits.dropsLastRoute = target.flags.contains(.dropsLastRoute)
        edits.received = source.peer
        edits.isForStream = isForStream
        return ForwardedRequest.write(
            message: message,
            requestURI: target.flags.contains(.replacesURI) ? set.extracting(placed.uri) : nil, via: via,
            recordRoute: recordRoute.count > 0 ? recordRoute : nil,
            appendRoute: behind.count > 0 ? behind : nil, edits, to: &writer)
    }
}

/// The connection that a request came on, in our Via of it: `;flow=0000000100000007` and a check that only we
/// can make. For what is forwarded without state, whose answer finds the way back by nothing else (RFC 3261
/// §18.2.2).
package enum FlowMark {
    private static let digits = 32

    static func write(
        _ flow: ConnectionReference, _ branch: Branch, keys: Keys, to lines: inout ByteWriter
    ) {
        lines.append(";flow=")
        lines.append(hexadecimal: flow.rawValue, digits: 16)
        lines.append(hexadecimal: check(flow, branch, keys), digits: 16)
    }

    private static func check(_ flow: ConnectionReference, _ branch: Branch, _ keys: Keys) -> UInt64 {
        var hash = keys.marks(.flow)
        hash.combine(flow.rawValue)
        hash.combine(branch.check)
        return hash.finalize()
    }

    /// The connection that our own Via names; none where it names none, or was made up.
    package static func connection(
        _ message: borrowing Message, _ branch: Branch, keys: Keys
    ) -> ConnectionReference {
        let via = message.index.topVia
        let bytes = message.bytes
        let name: StaticString = ";flow="
        let end = via.whole.end
        // Our own Via: the parameter stands where we put it, behind the branch.
        let start = via.branch.end + name.utf8CodeUnitCount
        guard start + digits <= end else { return .none }
        for index in 0..<name.utf8CodeUnitCount {
            if unsafe bytes[via.branch.end + index] != name.utf8Start[index] { return .none }
        }
        guard let value = Branch.number(bytes, start, 16), let mark = Branch.number(bytes, start + 16, 16)
        else { return .none }
        let flow = ConnectionReference(rawValue: value)
        return check(flow, branch, keys) == mark ? flow : .none
    }
}

extension ProxyCore {
    /// Where a response goes once our Via is cut off: by the Via below (RFC 3261 §18.2.2); nil where that leads
    /// nowhere.
    package func endpoint(of next: Via, _ message: Message, cameOn: Endpoint) -> Endpoint? {
        let transport: SIPTransport
        switch next.transport {
        case .udp: transport = .udp
        case .tcp: transport = .tcp
        default: return nil
        }
        let host = next.received.isEmpty ? next.host : next.received
        let port = next.rportValue != 0 ? next.rportValue : next.portOrDefault
        guard let peer = SocketAddress(host: message.bytes.slice(host), port: port), !peer.isForMany,
            let listener = identity.listener(for: peer, transport, preferred: Int(cameOn.listener))
        else { return nil }
        var endpoint = Endpoint(transport, peer, listener: UInt16(listener))
        endpoint.fallbackPort = next.portOrDefault
        return endpoint
    }
}
