import Platform
import SharedState
import Syntax

/// The mark in our Record-Route, by which the requests of a dialog that went through us are known again:
/// `<sip:192.0.2.1:5060;lr;sf=9f86d081884c7d65>`. Whoever may not reach others' domains otherwise may in such
/// a dialog, and nobody can make the mark up: it is a keyed hash of the Call-ID. The key outlives the
/// service (`route.key` in the state directory), as dialogs do.
package enum RouteMark {
    package static func of(_ callID: Span<UInt8>, keys: Keys) -> UInt64 {
        var hash = keys.routes
        hash.combine(callID)
        return hash.finalize()
    }

    /// True where the request came here by a Record-Route of ours, and belongs to a dialog.
    package static func isGenuine(_ request: borrowing Message, _ routing: RequestRouting, keys: Keys) -> Bool
    {
        let bytes = request.bytes
        guard !request.toTag.isEmpty, !routing.ourRoute.whole.isEmpty,
            let mark = routing.ourRoute.parameter(named: "sf", bytes), mark.count == 16
        else { return false }
        var expected = RouteMark.of(request.callID, keys: keys)
        for place in mark.start..<mark.end {
            expected = expected << 4 | expected >> 60
            let digit = UInt8(truncatingIfNeeded: expected & 15)
            // Hexadecimal digits may have changed their case on the way.
            let byte = bytes[place] | 0x20
            if byte != (digit < 10 ? digit + 0x30 : digit + 0x57) { return false }
        }
        return true
    }
}
