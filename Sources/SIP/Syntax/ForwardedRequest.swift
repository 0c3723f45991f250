import Platform

/// Builds the request that goes on to the next hop (RFC 3261 §16.6) by editing the one that came: what no
/// edit touches is copied byte for byte, unknown header fields, their order, folds and the body included.
///
///     INVITE sip:bob@example.org SIP/2.0      start line: written anew, perhaps with another Request-URI
///     ↳ Via: our own                          before the first Via (and Max-Forwards, where there was none)
///     Via: …;rport=4711;received=…            the previous hop's, stamped
///     ↳ Record-Route: our own                 before the first Record-Route, else behind the Vias
///     Route: <sip:us;lr>                      leading values removed
///     Max-Forwards: 69                        the value replaced
///
/// Edits are met in the order in which they lie in the message; those that wait are in `pending`.
package enum ForwardedRequest {
    /// - Parameters:
    ///   - requestURI: nil where it stays as it came.
    ///   - via: our own header line, CRLF included.
    ///   - recordRoute: our own header line, CRLF included; nil where there is to be none.
    ///   - maxForwards: the new value, 0 to 255.
    ///   - routesToDrop: how many leading Route values to remove; lines that this empties go, too.
    ///   - appendRoute: a Route value to put behind the others (strict routing, §16.6 step 6).
    ///   - receivedParameter: the request's source, for the top Via; nil to leave that alone.
    package static func write(
        message: borrowing Message, requestURI: Span<UInt8>?, via: Span<UInt8>, recordRoute: Span<UInt8>?,
        maxForwards: Int, routesToDrop: Int, appendRoute: Span<UInt8>?, receivedParameter: SocketAddress?,
        to writer: inout ByteWriter
    ) {
        let bytes = message.bytes
        let index = message.index
        writer.append(bytes.slice(index.methodRange))
        writer.append(Ascii.space)
        if let requestURI { writer.append(requestURI) } else { writer.append(bytes.slice(index.requestURI)) }
        writer.append(" SIP/2.0\r\n")

        var routes = RouteRemoval(message, count: routesToDrop)
        var pending = PendingEdits()
        let firstVia = index.has(.via) ? Int(index.first(.via).line) : Int(index.headersOffset)
        pending.set(.ownVia, firstVia, firstVia)
        if receivedParameter != nil && !index.topVia.isEmpty {
            pending.set(.previousVia, index.topVia.whole.start, index.topVia.whole.end)
        }
        let hops = index.first(.maxForwards)
        if hops.count > 0 { pending.set(.maxForwards, hops.value.start, hops.value.end) }
        if recordRoute != nil {
            let place = recordRoutePlace(message)
            pending.set(.recordRoute, place, place)
        }
        if let (from, to) = routes.next() { pending.set(.routes, from, to) }
        if appendRoute != nil {
            let place = lastRouteEnd(message) ?? firstVia
            pending.set(.appendedRoute, place, place)
        }

        var place = Int(index.headersOffset)
        while let edit = pending.takeFirst() {
            if edit.from > place { writer.append(bytes, from: place, to: edit.from) }
            place = Swift.max(place, edit.to)
            switch edit.kind {
            case .ownVia:
                writer.append(via)
                if hops.count == 0 {
                    writer.append("Max-Forwards: ")
                    writer.append(decimal: maxForwards)
                    writer.append("\r\n")
                }
            case .previousVia:
                if let receivedParameter {
                    let stamp = ViaStamp(index.topVia, bytes, peer: receivedParameter)
                    stamp.write(bytes, to: &writer, unfolding: false)
                }
            case .maxForwards: writer.append(decimal: maxForwards)
            case .recordRoute: if let recordRoute { writer.append(recordRoute) }
            case .routes: if let (from, to) = routes.next() { pending.set(.routes, from, to) }
            case .appendedRoute:
                if let appendRoute {
                    writer.append("Route: ")
                    writer.append(appendRoute)
                    writer.append("\r\n")
                }
            }
        }
        writer.append(bytes, from: place, to: Int(index.end))
    }

    /// Before the first Record-Route line; where there is none, behind the Via lines that come together with
    /// the first.
    private static func recordRoutePlace(_ message: borrowing Message) -> Int {
        let index = message.index
        if index.has(.recordRoute) { return Int(index.first(.recordRoute).line) }
        guard index.has(.via) else { return Int(index.headersOffset) }
        var lines = message.lines(.via)
        var end = Int(index.first(.via).line)
        while let line = lines.next(), Int(line.field.line) == end { end = Int(line.field.lineEnd) }
        return end
    }

    /// Behind the last Route line, nil where there is none.
    private static func lastRouteEnd(_ message: borrowing Message) -> Int? {
        var lines = message.lines(.route)
        var end: Int?
        while let line = lines.next() { end = Int(line.field.lineEnd) }
        return end
    }
}

/// The edits that wait, at most one of a kind. Those at the same place go in the order of the kinds.
private struct PendingEdits {
    enum Kind: Int, CaseIterable {
        case ownVia, previousVia, recordRoute, appendedRoute, maxForwards, routes
    }

    private static var none: Int { Int.max }
    private var starts = InlineArray<6, Int>(repeating: Int.max)
    private var ends = InlineArray<6, Int>(repeating: Int.max)

    /// What stands at `from ..< to` is replaced.
    mutating func set(_ kind: Kind, _ from: Int, _ to: Int) {
        starts[kind.rawValue] = from
        ends[kind.rawValue] = to
    }

    mutating func takeFirst() -> (kind: Kind, from: Int, to: Int)? {
        var first = 0
        for slot in 1..<6 where starts[slot] < starts[first] { first = slot }
        guard starts[first] != PendingEdits.none, let kind = Kind(rawValue: first) else { return nil }
        let from = starts[first]
        starts[first] = PendingEdits.none
        return (kind, from, ends[first])
    }
}

/// The stretches to leave out so that the first `count` Route values go: whole lines where none of their
/// values stays.
private struct RouteRemoval: ~Escapable {
    private var values: HeaderValues
    private var remaining: Int

    @_lifetime(copy message)
    init(_ message: borrowing Message, count: Int) {
        values = message.values(.route)
        remaining = count
    }

    mutating func next() -> (from: Int, to: Int)? {
        guard remaining > 0, let first = values.next() else { return nil }
        remaining -= 1
        var last = first
        while remaining > 0 && last.next != 0, let value = values.next() {
            last = value
            remaining -= 1
        }
        if last.next == 0 { return (Int(first.field.line), Int(first.field.lineEnd)) }
        return (first.range.start, Int(last.next))
    }
}
