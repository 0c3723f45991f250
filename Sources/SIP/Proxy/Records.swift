import Platform
import SharedState
import Transaction

/// What a record of the transaction table is.
package enum RecordKind {
    package static let server: UInt8 = 1
    package static let fork: UInt8 = 2
    package static let cancel: UInt8 = 3
    package static let waiting: UInt8 = 4
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
    private var machine = ServerMachine.invite(InviteServerTransaction())
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
    /// The request has a To tag.
    package var isInDialog = false
    private var padding: UInt8 = 0

    package init() {}

    package var isInvite: Bool { method == 1 }

    /// The machine of an INVITE.
    package var invite: InviteServerTransaction {
        get { if case .invite(let machine) = machine { machine } else { InviteServerTransaction() } }
        set { machine = .invite(newValue) }
    }
    /// The machine of any other request.
    package var nonInvite: NonInviteServerTransaction {
        get { if case .nonInvite(let machine) = machine { machine } else { NonInviteServerTransaction() } }
        set { machine = .nonInvite(newValue) }
    }

    /// The bits of that many forks.
    package static func forkMask(_ count: UInt8) -> UInt64 { count >= 64 ? .max : (1 << UInt64(count)) - 1 }

    /// The earliest deadline, 0 for none.
    package var deadline: UInt64 {
        earlier(isInvite ? invite.timers.next : nonInvite.timers.next, guardAt)
    }

    package var stateName: String { isInvite ? "\(invite.state)" : "\(nonInvite.state)" }
}

/// One of the two machines, in the room of one. All bytes zero: the first, idle.
private enum ServerMachine: BitwiseCopyable {
    case invite(InviteServerTransaction)
    case nonInvite(NonInviteServerTransaction)
}

private enum ClientMachine: BitwiseCopyable {
    case invite(InviteClientTransaction)
    case nonInvite(NonInviteClientTransaction)
}

/// The earlier of two deadlines, of which 0 is none.
private func earlier(_ first: UInt64, _ second: UInt64) -> UInt64 {
    first == 0 || second == 0 ? max(first, second) : min(first, second)
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
    /// In that one's shard: the request as it was received, and the set that the target is in.
    package var source: StoredReference = .none
    package var targets: StoredReference = .none
    package var loopMark: UInt64 = 0
    /// The request as it was sent; while the resolver is asked, the question.
    package var request: StoredReference = .none
    /// The addresses that are tried one after the other, of which this is number `attempt`; none: the only one.
    package var candidates: StoredReference = .none
    private var machine = ClientMachine.invite(InviteClientTransaction())
    package var timer = InviteFork()
    /// Where the request goes.
    package var endpoint = Endpoint()
    /// When the next candidate is tried though this one has said nothing, or the resolver is asked again; 0:
    /// never.
    package var patienceEnd: UInt64 = 0
    /// Until when the resolver may be asked; 0: it is not.
    package var resolvingEnd: UInt64 = 0
    package var fork: UInt8 = 0
    package var attempt: UInt8 = 0
    package var method: UInt8 = 0
    /// Its part of the request's Max-Breadth (RFC 5393 §5), to be given back at its end.
    package var breadth: UInt8 = 0
    /// Timer C has cancelled it: the 487 that follows is a 408 to the response context (§16.8).
    package var isTimedOut = false
    /// Another candidate has taken its place; only a 2xx still counts.
    package var isAbandoned = false
    /// Its address was found by name, or is one of several: `DeadPeers` is told of its failure.
    package var isNamed = false
    /// Behind the request, in its cell, lie its `HopFields`.
    package var hasHopFields = false
    /// The last status received, 0 for none.
    package var status: UInt16 = 0

    package init() {}

    package var isInvite: Bool { method == 1 && header.kind == RecordKind.fork }

    /// The machine of an INVITE.
    package var invite: InviteClientTransaction {
        get { if case .invite(let machine) = machine { machine } else { InviteClientTransaction() } }
        set { machine = .invite(newValue) }
    }
    /// The machine of any other request.
    package var nonInvite: NonInviteClientTransaction {
        get { if case .nonInvite(let machine) = machine { machine } else { NonInviteClientTransaction() } }
        set { machine = .nonInvite(newValue) }
    }

    package var deadline: UInt64 {
        let machine = isInvite ? invite.timers.next : nonInvite.timers.next
        return earlier(earlier(machine, timer.next), patienceEnd)
    }

    package var isResolving: Bool { resolvingEnd != 0 }

    package var stateName: String {
        isResolving ? "resolving" : isInvite ? "\(invite.state)" : "\(nonInvite.state)"
    }
}

/// What a fork is to do, whatever its attempts come to.
package struct ForkOrder {
    package let server: TransactionReference
    package let fork: UInt8
    package let source: StoredReference
    package let targets: StoredReference
    package let loopMark: UInt64
    package let breadth: UInt8

    /// Of a `forkStart`.
    package init(_ mail: Mail) {
        server = mail.transaction
        fork = mail.fork
        source = mail.first
        targets = StoredReference(rawValue: mail.second)
        loopMark = mail.third
        breadth = UInt8(truncatingIfNeeded: mail.flags)
    }

    package init(_ record: ForkRecord) {
        server = record.server
        fork = record.fork
        source = record.source
        targets = record.targets
        loopMark = record.loopMark
        breadth = record.breadth
    }
}

extension ForkRecord {
    package mutating func take(_ order: ForkOrder) {
        server = order.server
        fork = order.fork
        source = order.source
        targets = order.targets
        loopMark = order.loopMark
        breadth = order.breadth
    }
}

/// A request that is forwarded without a transaction and waits for the resolver.
package struct WaitingRecord: BitwiseCopyable {
    package var header = RecordHeader()
    package var request: StoredReference = .none
    package var question: StoredReference = .none
    package var endpoint = Endpoint()
    /// When the resolver is asked again, and until when.
    package var askAt: UInt64 = 0
    package var end: UInt64 = 0

    package init() {}
}

/// The layout of all that lies in the arena, records included.
package enum StateLayout {
    /// To be raised when fields change their places or meaning; a change of sizes is noticed by itself.
    private static let version: UInt64 = 5

    package static var hash: UInt64 {
        var hash = KeyedHash(key0: SharedState.layoutHash, key1: version)
        hash.combine(UInt64(MemoryLayout<ServerRecord>.stride))
        hash.combine(UInt64(MemoryLayout<ForkRecord>.stride))
        hash.combine(UInt64(MemoryLayout<WaitingRecord>.stride))
        hash.combine(UInt64(ForkTarget.headBytes))
        hash.combine(UInt64(TargetSet.headBytes))
        return hash.finalize()
    }
}
