/// A message between processes: 64 bytes, fixed; what it speaks of lies in shared memory.
///
/// It travels in a datagram of up to `Mail.batch` of them, and is received straight into the in-flight array
/// of the receiver's turn, where a kind other than `none` means that it is present.
package struct Mail: BitwiseCopyable, Sendable {
    package static let bytes = 64
    /// Messages in one datagram at most.
    package static let batch = 32

    package enum Kind: UInt8, CaseIterable {
        case none = 0
        /// master → worker: `slot` holds a request; `status` is a fault found in parsing (0: none).
        case request = 1
        /// master → worker: `slot` holds a response whose branch names `transaction`, `fork`, `attempt`.
        case response = 2
        /// worker → worker: start fork `fork` of `transaction`; `first` the stored request, `second` the set
        /// that its target is in, `third` the loop mark, `flags` its part of Max-Breadth.
        case forkStart = 3
        /// worker → worker: cancel fork `fork` of `transaction`.
        case forkCancel = 4
        /// worker → worker: fork `fork` got the response in `slot` with `status`; with a final one it gives
        /// back `flags` of Max-Breadth.
        case forkResponse = 5
        /// worker → worker: fork `fork` ended without a final response; `status` is 408, 487, 500,
        /// 503 or 513, `second` the last status heard (0: silence), `third` 1 where it was never tried, `flags`
        /// as above.
        case forkDone = 6
        /// worker → locator: a REGISTER; `transaction` asks, `first` is the stored request.
        /// master → locator: one that the control tool wants; `second` is the slot that it lies in and that
        /// the master keeps; with `flags` 1 it is refused where it changes nothing.
        case register = 7
        /// locator → worker, master: the answer to `transaction`, `status`; `flags` is its `RegisterReason`.
        case registered = 8
        /// any → logger: the log ring of the sender has entries.
        case logged = 9
        /// worker → master: sends the message in `slot`, an outgoing one, as its header's endpoint says;
        /// `transaction`, `fork`, `attempt` name the fork whose request it is (none: nobody asks what has
        /// become of it), `flags` 1: it is that fork's CANCEL.
        case send = 10
        /// master → worker: that request could not be sent, or its connection broke before an answer;
        /// `status` is the errno. A worker tells itself so with `flags` 2 where it had no room for it.
        case sendFailed = 11
        /// worker → resolver: `first` is the stored question (`DNSQuestion`); master → resolver: `second` is
        /// the slot that it lies in. `transaction`, `fork`, `attempt`, `third` come back.
        case resolve = 12
        /// resolver → worker, master: the cache knows the answer now.
        case resolved = 13
    }

    /// Raw, since zeroed memory and a peer's mistake must be readable; see `kind`.
    package var rawKind: UInt8 = 0
    package var sender: ProcessID = .master
    package var fork: UInt8 = 0
    package var attempt: UInt8 = 0
    package var status: UInt16 = 0
    package var flags: UInt16 = 0
    /// Position in the sender's ring for this receiver: strictly rising, so that a repeated one is
    /// recognised.
    package var sequence: UInt64 = 0
    package var transaction: TransactionReference = .none
    package var slot: SlotReference = .none
    package var first: StoredReference = .none
    package var second: UInt64 = 0
    package var third: UInt64 = 0
    package var fourth: UInt64 = 0

    package init() {}

    package init(_ kind: Kind) { rawKind = kind.rawValue }

    package var kind: Kind { Kind(rawValue: rawKind) ?? .none }
}

/// Who may send what to whom: the process graph. A violation is a bug of ours and traps.
package enum MailGraph {
    package static func allows(_ kind: Mail.Kind, from sender: ProcessID, to receiver: ProcessID) -> Bool {
        let fromWorker = sender.workerIndex != nil
        let toWorker = receiver.workerIndex != nil
        switch kind {
        case .none: return false
        case .request, .response: return sender == .master && toWorker
        case .forkStart, .forkCancel, .forkResponse, .forkDone: return fromWorker && toWorker
        case .register: return (fromWorker || sender == .master) && receiver == .locator
        case .registered: return sender == .locator && (toWorker || receiver == .master)
        case .logged: return receiver == .logger
        case .send: return fromWorker && receiver == .master
        case .sendFailed: return sender == .master && toWorker
        case .resolve: return (fromWorker || sender == .master) && receiver == .resolver
        case .resolved: return sender == .resolver && (toWorker || receiver == .master)
        }
    }

    /// True where `sender` may send anything at all to `receiver`: it has the writing end of that mailbox.
    package static func connects(_ sender: ProcessID, _ receiver: ProcessID) -> Bool {
        sender != receiver && Mail.Kind.allCases.contains { allows($0, from: sender, to: receiver) }
    }
}

/// A server transaction of some worker: index and generation; zero is none.
package struct TransactionReference: BitwiseCopyable, Hashable, Sendable {
    package let rawValue: UInt64
    package static let none = TransactionReference(rawValue: 0)

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(worker: Int, cell: UInt32, generation: UInt32) {
        rawValue = UInt64(worker) << 56 | UInt64(generation & 0xFF_FFFF) << 32 | UInt64(cell)
    }

    package var worker: Int { Int(rawValue >> 56) }
    package var generation: UInt32 { UInt32(rawValue >> 32 & 0xFF_FFFF) }
    package var cell: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
    package var isNone: Bool { rawValue == 0 }
}

/// A message slot of a given generation; zero is none.
package struct SlotReference: BitwiseCopyable, Equatable, Sendable {
    package let rawValue: UInt64
    package static let none = SlotReference(rawValue: 0)

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(index: Int, generation: UInt32) { rawValue = UInt64(generation) << 32 | UInt64(index + 1) }

    package var isNone: Bool { rawValue == 0 }
    package var index: Int { Int(rawValue & 0xFFFF_FFFF) - 1 }
    package var generation: UInt32 { UInt32(rawValue >> 32) }
}

/// A stored message in some worker's shard: class, cell and generation; zero is none.
package struct StoredReference: BitwiseCopyable, Equatable, Sendable {
    package let rawValue: UInt64
    package static let none = StoredReference(rawValue: 0)

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    package init(sizeClass: Int, cell: UInt32, generation: UInt32) {
        rawValue = UInt64(sizeClass) << 56 | UInt64(generation & 0xFF_FFFF) << 32 | UInt64(cell)
    }

    package var isNone: Bool { rawValue == 0 }
    package var sizeClass: Int { Int(rawValue >> 56) }
    package var generation: UInt32 { UInt32(rawValue >> 32 & 0xFF_FFFF) }
    package var cell: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
}
