import Platform

/// Builds the request that goes on to the next hop (RFC 3261 §16.6) by editing the one that came: what no
/// edit touches is copied byte for byte, unknown header fields, their order, folds and the body included.
///
///     INVITE sip:bob@example.org SIP/2.0      start line: written anew, perhaps with another Request-URI
///     ↳ Via: our own                          before the first Via (and Max-Forwards, where there was none)
///     Via: …;rport=4711;received=…            the previous hop's, stamped
///     ↳ Record-Route: our own                 before the first Record-Route, else behind the Vias
///     Route: <sip:us;lr>                      leading values removed, the last one, one put behind
///     Max-Forwards: 69                        the value replaced
///     ↳ Max-Breadth: 60                       the value replaced, or a line behind Max-Forwards
///     ↳ Content-Length: 0                     last, on a stream, where there was none
///
/// Edits are met in the order in which they lie in the message; those that wait are in `pending`.
package enum ForwardedRequest {
    /// What is changed besides Request-URI and our own lines.
    package struct Edits: BitwiseCopyable {
        /// The new value, 0 to 255.
        package var maxForwards = 70
        /// The new value; nil where the header is left alone.
        package var maxBreadth: Int?
        /// How many leading Route values to remove; lines that this empties go, too.
        package var routesToDrop = 0
        /// The last Route value has become the Request-URI (§16.4).
        package var dropsLastRoute = false
        /// The request's source, for the top Via; nil to leave that alone.
        package var received: SocketAddress?
        /// A stream needs a Content-Length (§20.14): written where the request has none.
        package var isForStream = false

        package init() {}
    }

    /// - Parameters:
    ///   - requestURI: nil where it stays as it came.
    ///   - via: our own header line, CRLF included.
    ///   - recordRoute: our own header line, CRLF included; nil where there is to be none.
    ///   - appendRoute: Route values to put behind the others (a Path, or strict routing, §16.6 step 6).
    /// - Returns: what a CANCEL or ACK needs of it; nil where it may have a Route, which they repeat.
    @discardableResult
    package static func write(
        message: borrowing Message, requestURI: Span<UInt8>?, via: Span<UInt8>, recordRoute: Span<UInt8>?,
        appendRoute: Span<UInt8>?, _ edits: Edits, to writer: inout ByteWriter
    ) -> HopFields? {
        let bytes = message.bytes
        let index = message.index
        var hop = HopFields(madeFrom: index)
        writer.append(bytes.slice(index.methodRange))
        writer.append(Ascii.space)
        let uriStart = writer.count
        if let requestURI { writer.append(requestURI) } else { writer.append(bytes.slice(index.requestURI)) }
        hop.place(requestURI: uriStart, to: writer.count)
        writer.append(" SIP/2.0\r\n")

        var pending = PendingEdits()
        var removed = edits.routesToDrop
        if edits.dropsLastRoute {
            if let last = LastRoute(message, behind: removed) {
                pending.set(.lastRoute, last.from, last.to)
            } else {
                removed = Int.max
            }
        }
        var routes = RouteRemoval(message, count: removed)
        let firstVia = index.has(.via) ? Int(index.first(.via).line) : Int(index.headersOffset)
        pending.set(.ownVia, firstVia, firstVia)
        if edits.received != nil && !index.topVia.isEmpty {
            pending.set(.previousVia, index.topVia.whole.start, index.topVia.whole.end)
        }
        let hops = index.first(.maxForwards)
        if hops.count > 0 { pending.set(.maxForwards, hops.value.start, hops.value.end) }
        let breadth = index.first(.maxBreadth)
        if breadth.count > 0 && edits.maxBreadth != nil {
            pending.set(.maxBreadth, breadth.value.start, breadth.value.end)
        } else if edits.maxBreadth != nil {
            let place = hops.count > 0 ? Int(hops.lineEnd) : firstVia
            pending.set(.addedBreadth, place, place)
        }
        if recordRoute != nil {
            let place = recordRoutePlace(message)
            pending.set(.recordRoute, place, place)
        }
        if let (from, to) = routes.next() { pending.set(.routes, from, to) }
        if appendRoute != nil {
            let place = lastRouteEnd(message) ?? recordRoutePlace(message)
            pending.set(.appendedRoute, place, place)
        }

        if edits.isForStream && !index.has(.contentLength) {
            pending.set(.contentLength, Int(index.headersEnd), Int(index.headersEnd))
        }

        var place = Int(index.headersOffset)
        while let edit = pending.takeFirst() {
            if edit.from > place {
                hop.move(index, from: place, to: edit.from, place: writer.count)
                writer.append(bytes, from: place, to: edit.from)
            }
            place = Swift.max(place, edit.to)
            switch edit.kind {
            case .ownVia:
                hop.place(viaLine: writer.count, to: writer.count + via.count)
                writer.append(via)
                if hops.count == 0 {
                    writer.append("Max-Forwards: ")
                    writer.append(decimal: edits.maxForwards)
                    writer.append("\r\n")
                }
            case .previousVia:
                if let received = edits.received {
                    let stamp = ViaStamp(index.topVia, bytes, peer: received)
                    stamp.write(bytes, to: &writer, unfolding: false)
                }
            case .maxForwards: writer.append(decimal: edits.maxForwards)
            case .maxBreadth: if let value = edits.maxBreadth { writer.append(decimal: value) }
            case .addedBreadth:
                if let value = edits.maxBreadth {
                    writer.append("Max-Breadth: ")
                    writer.append(decimal: value)
                    writer.append("\r\n")
                }
            case .recordRoute: if let recordRoute { writer.append(recordRoute) }
            case .routes: if let (from, to) = routes.next() { pending.set(.routes, from, to) }
            case .lastRoute: break
            case .contentLength: writer.appendContentLength(of: message)
            case .appendedRoute:
                if let appendRoute {
                    writer.append("Route: ")
                    writer.append(appendRoute)
                    writer.append("\r\n")
                }
            }
        }
        hop.move(index, from: place, to: Int(index.end), place: writer.count)
        writer.append(bytes, from: place, to: Int(index.end))
        return index.has(.route) || appendRoute != nil ? nil : hop
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

extension ByteWriter {
    /// The line that a message without one gets where it goes on in a stream.
    mutating func appendContentLength(of message: borrowing Message) {
        append("Content-Length: ")
        append(decimal: message.body.count)
        append("\r\n")
    }
}

/// The edits that wait, at most one of a kind. Those at the same place go in the order of the kinds.
private struct PendingEdits {
    enum Kind: Int, CaseIterable {
        case ownVia, addedBreadth, previousVia, recordRoute, appendedRoute, maxForwards, maxBreadth, routes
        case lastRoute, contentLength
    }

    private static var none: Int { Int.max }
    private var starts = InlineArray<10, Int>(repeating: Int.max)
    private var ends = InlineArray<10, Int>(repeating: Int.max)

    /// What stands at `from ..< to` is replaced.
    mutating func set(_ kind: Kind, _ from: Int, _ to: Int) {
        starts[kind.rawValue] = from
        ends[kind.rawValue] = to
    }

    mutating func takeFirst() -> (kind: Kind, from: Int, to: Int)? {
        var first = 0
        for slot in 1..<10 where starts[slot] < starts[first] { first = slot }
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

/// The stretch to leave out so that the last Route value goes, its comma or its line with it; nil where no
/// other value but `behind` leading ones would stay, which go as well.
private struct LastRoute {
    private(set) var from: Int
    private(set) var to: Int

    init?(_ message: borrowing Message, behind leading: Int) {
        var values = message.values(.route)
        var count = 0
        var last: HeaderValue?
        var previous: HeaderValue?
        while let value = values.next() {
            previous = last
            last = value
            count += 1
        }
        guard let last, count > leading + 1 else { return nil }
        (from, to) = (Int(last.field.line), Int(last.field.lineEnd))
        if let previous, previous.field.line == last.field.line {
            (from, to) = (previous.range.end, last.field.value.end)
        }
    }
}
