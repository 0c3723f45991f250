import Platform
import SharedState
import Syntax

/// Loop detection after RFC 3261 §16.3 step 4 and RFC 5393 §4: the branch that we give a request carries a
/// mark over all of it that our routing depends on. A request that carries a Via of ours with the mark that
/// it would get again would take the same way again: a loop. One that comes back with another Request-URI
/// or Route is a spiral, and goes on.
///
/// The mark says nothing about Max-Forwards and Vias, which change on every hop.
package enum LoopCheck {
    /// - Parameters:
    ///   - route: the configured route that takes the request, which may depend on its source.
    ///   - withToTag: false where the ACK to a failure must get the mark of its INVITE (§16.11).
    package static func mark(
        _ request: borrowing Message, route: Int? = nil, withToTag: Bool = true, keys: Keys
    ) -> UInt64 {
        var hash = keys.marks(.loop)
        hash.combine(UInt64(route.map { $0 + 1 } ?? 0))
        hash.combine(request.requestURI)
        hash.combine(UInt8(0))
        hash.combine(request.callID)
        hash.combine(UInt8(0))
        hash.combine(request.fromTag)
        hash.combine(UInt8(0))
        if withToTag { hash.combine(request.toTag) }
        hash.combine(UInt64(request.index.cseqNumber))
        if request.index.has(.route) {
            var lines = request.lines(.route)
            while let line = lines.next() { hash.combine(request.bytes.slice(line.field.value)) }
        }
        return hash.finalize()
    }

    /// True where the request has been here before as it is now. `mark` is its own.
    package static func isLoop(_ request: borrowing Message, mark: UInt64) -> Bool {
        // The top one is parsed already, and most requests have no other.
        if Branch(request.branch)?.loopMark == mark { return true }
        if request.index.topVia.rest == 0 && request.index.first(.via).count < 2 { return false }
        var values = request.values(.via)
        while let value = values.next() {
            guard let via = Via.parse(request.bytes, value.range) else { continue }
            if Branch(request.bytes.slice(via.branch))?.loopMark == mark { return true }
        }
        return false
    }
}
