import Platform
import SharedState
import Syntax

/// A request that came twice, on different ways, because it was forked before us (RFC 3261 §8.2.2.2): the
/// server answers the second one 482. That is for servers; a proxy passes both on, for they may have
/// different targets.
///
/// A REGISTER counts as the same only where its first Via does, which is the client's own: a client that
/// says it once more, in a transaction of its own, is answered with its bindings.
package enum MergedRequests {
    /// True for what this proxy may be the server of.
    package static func concerns(_ method: Method) -> Bool { method == .register || method == .options }

    /// The key under which the server transaction stands, instead of the one of §17.2.3.
    package static func key(_ request: borrowing Message, keys: Keys) -> UInt64 {
        var hash = keys.tables
        hash.combine(request.method.rawValue)
        hash.combine(request.callID)
        hash.combine(UInt8(0))
        hash.combine(request.fromTag)
        hash.combine(UInt64(request.index.cseqNumber))
        if request.method == .register {
            var last = request.index.topVia.whole
            var values = request.values(.via)
            while let value = values.next() { last = value.range }
            if let via = Via.parse(request.bytes, last) { hash.combine(request.bytes.slice(via.branch)) }
        }
        return hash.finalize()
    }
}
