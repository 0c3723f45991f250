import Platform
import SharedState
import Transaction

/// What a record of the transaction table is.
package enum RecordKind {
    package static let server: UInt8 = 1
    package static let fork: UInt8 = 2
    package static let cancel: UInt8 = 3
}

/// A server transaction and its response context (RFC 3261 §16.7): the ST of the paper's figure 1.
package struct ServerRecord: BitwiseCopyable {
    package var header = RecordHeader()
    /// The request as it was received, until a final response has left.
    package var request: StoredReference = .none
    /// Where its forks go: the newest `TargetSet`, which links to those before.
    package var targets: StoredReference = .none
    /// The last response sent.
    package var response: StoredReference = .none
    /// The best final response so far, its top Via already removed.
    package var best: StoredReference = .none
    package var invite = InviteServerTransaction()
    package var nonInvite = NonInviteServerTransaction()
    /// Bit i: fork i owes its final response.
    package var open: UInt64 = 0
    /// Bit i: fork i was told to cancel.
    package var cancelled: UInt64 = 0
    /// Bit i: fork i was started.
    package var started: UInt64 = 0
    /// The key that §17.2.3 gives it; `header.key` is another where requests are merged (`MergedRequests`).
    package var branchKey: UInt64 = 0
    /// Of the request (`LoopCheck`), for the branches of its forks.
    package var loopMark: UInt64 = 0
    /// When forks that owe a response count as answered 408, their process being gone for good; 0: none.
    package var guardAt: UInt64 = 0
    /// Monotonic milliseconds.
    package var createdAt: UInt64 = 0
    /// Where responses go (§18.2.2).
    package var endpoint = Endpoint()
    package var forkCount: UInt8 = 0
    /// A `Method` of the syntax layer.
    package var method: UInt8 = 0
    package var bestResponse = BestResponse()
    /// The last status sent, 0 for none.
    package var status: UInt16 = 0
    /// The caller has sent a CANCEL.
    package var cancelledUpstream = false
    package var search = Search.parallel
    /// Max-Breadth that no fork holds (RFC 5393 §5).
    package var breadth: UInt8 = 0
    /// No further target is to be tried: answered for good, or given up by the caller.
    package var isSearchEnded = false
    private var padding: UInt16 = 0

    package init() {}

    package var isInvite: Bool { method == 1 }

    /// The bits of that many forks.
    package static func forkMask(_ count: UInt8) -> UInt64 { count >= 64 ? .max : (1 << UInt64(count)) - 1 }

    /// The earliest deadline, 0 for none.
    package var deadline: UInt64 {
        let machine = isInvite ? invite.timers.next : nonInvite.timers.next
        if machine == 0 || guardAt == 0 { return max(machine, guardAt) }
        return min(machine, guardAt)
    }

    package var stateName: String { isInvite ? "\(invite.state)" : "\(nonInvite.state)" }
}

/// How the targets of a request are tried.
package enum Search: UInt8, BitwiseCopyable {
    /// All at once.
    case parallel
    /// Those with the highest q that are left, together; then the next (§16.6).
    case byQ
    /// One behind the other, the next only where one could not be reached.
    case failover
}

/// One fork of a request (`Proxy_Fork`): its client transaction and timer C (`Proxy_Timeout`); or, with kind
/// `cancel`, the client transaction of its CANCEL.
package struct ForkRecord: BitwiseCopyable {
    package var header = RecordHeader()
    /// Whose fork it is.
    package var server: TransactionReference = .none
    /// The request as it was sent.
    package var request: StoredReference = .none
    package var invite = InviteClientTransaction()
    package var nonInvite = NonInviteClientTransaction()
    package var timer = InviteFork()
    /// Where the request goes.
    package var endpoint = Endpoint()
    package var fork: UInt8 = 0
    package var attempt: UInt8 = 0
    package var method: UInt8 = 0
    /// Its part of the request's Max-Breadth (RFC 5393 §5), to be given back at its end.
    package var breadth: UInt8 = 0
    /// Timer C has cancelled it: the 487 that follows is a 408 to the response context (§16.8).
    package var isTimedOut = false
    /// The last status received, 0 for none.
    package var status: UInt16 = 0

    package init() {}

    package var isInvite: Bool { method == 1 && header.kind == RecordKind.fork }

    package var deadline: UInt64 {
        let machine = isInvite ? invite.timers.next : nonInvite.timers.next
        if machine == 0 || timer.next == 0 { return max(machine, timer.next) }
        return min(machine, timer.next)
    }

    package var stateName: String { isInvite ? "\(invite.state)" : "\(nonInvite.state)" }
}

/// The layout of all that lies in the arena, records included.
package enum StateLayout {
    /// To be raised when fields change their places or meaning; a change of sizes is noticed by itself.
    private static let version: UInt64 = 2

    package static var hash: UInt64 {
        var hash = KeyedHash(key0: SharedState.layoutHash, key1: version)
        hash.combine(UInt64(MemoryLayout<ServerRecord>.stride))
        hash.combine(UInt64(MemoryLayout<ForkRecord>.stride))
        hash.combine(UInt64(ForkTarget.headBytes))
        hash.combine(UInt64(TargetSet.headBytes))
        return hash.finalize()
    }
}
