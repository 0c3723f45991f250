import Platform
import Proxy
import SharedMemory
import SharedState
import Syntax

/// Reads transactions while their workers go on changing them.
///
/// A record is copied, and the copy counts where kind and generation were the same before and after; a stored
/// message likewise. Every loop is bounded by what was ever in use, so that no page is touched that is not.
extension TransactionsView {
    init(reading state: SharedState) {
        let reader = TransactionReader(state)
        let now = Clock.milliseconds()
        for worker in 0..<Int(state.sizes.workers) {
            let pid = Int(state.processes.pid(.worker(worker)))
            reader.forEachServer(of: worker) { record, cell in
                let request = reader.describe(record, worker)
                let reference = TransactionReference(
                    worker: worker, cell: cell, generation: record.header.generation)
                transactions.append(
                    Transaction(
                        callID: request.callID, method: request.method, state: record.stateName,
                        requestURI: request.uri, worker: worker, pid: pid,
                        age: now > record.createdAt ? Int(clamping: now - record.createdAt) : 0,
                        status: record.status == 0 ? nil : Int(record.status),
                        forks: reader.forks(of: reference, request.targets)))
            }
        }
    }
}

private struct TransactionReader {
    /// What a request says of itself, or its response where it is no longer kept.
    struct Description {
        var callID: String?
        var method: String
        var uri: String?
        /// `TargetSet`s; empty where they are no longer kept.
        var targets: [[UInt8]] = []
    }

    private struct FoundFork {
        let record: ForkRecord
        let worker: Int
    }

    private let state: SharedState
    private let shards: [Shard]
    /// Of all workers, by server transaction.
    private var forks: [UInt64: [FoundFork]] = [:]

    init(_ state: SharedState) {
        self.state = state
        shards = (0..<Int(state.sizes.workers)).map { state.shard($0) }
        for worker in shards.indices {
            for cell in cells(of: worker) {
                guard
                    let record: ForkRecord = copy(worker, cell, kinds: [RecordKind.fork, RecordKind.cancel])
                else {
                    continue
                }
                forks[record.server.rawValue, default: []].append(FoundFork(record: record, worker: worker))
            }
        }
    }

    private func cells(of worker: Int) -> Range<UInt32> {
        let pool = shards[worker].table.pool
        return 1..<UInt32(min(max(pool.everUsed, 0), pool.capacity) + 1)
    }

    /// The record in a cell; nil where it is none of these, or changed hands meanwhile.
    private func copy<Record: BitwiseCopyable>(_ worker: Int, _ cell: UInt32, kinds: [UInt8]) -> Record? {
        let table = shards[worker].table
        for _ in 0..<4 {
            let before = table.header(cell)
            guard kinds.contains(before.kind) else { return nil }
            let record: Record = state.memory.load(table.offset(cell))
            Ordering.fullFence()
            let after = table.header(cell)
            if before.kind == after.kind && before.generation == after.generation { return record }
        }
        return nil
    }

    func forEachServer(of worker: Int, _ body: (ServerRecord, UInt32) -> Void) {
        for cell in cells(of: worker) {
            if let record: ServerRecord = copy(worker, cell, kinds: [RecordKind.server]) {
                body(record, cell)
            }
        }
    }

    /// The bytes of a stored message, copied; nil where it was freed meanwhile.
    private func bytes(_ reference: StoredReference, _ worker: Int) -> [UInt8]? {
        let stored = shards[worker].stored
        guard stored.isCurrent(reference) else { return nil }
        let (offset, count) = stored.locate(reference)
        guard count <= StoredMessages.maximumLength, offset <= state.memory.size - count else { return nil }
        let bytes = state.memory.bytes(offset, count: count).copied
        Ordering.fullFence()
        return stored.isCurrent(reference) ? bytes : nil
    }

    func describe(_ record: ServerRecord, _ worker: Int) -> Description {
        let known = Method(rawValue: record.method) ?? .unknown
        var description = Description(method: known == .unknown ? "?" : known.text.description)
        description.targets = targetSets(record.targets, worker)
        for reference in [record.request, record.response, record.best] {
            guard let bytes = bytes(reference, worker) else { continue }
            var index = MessageIndex()
            _ = Scanner.scan(bytes.span, into: &index)
            let message = Message(bytes.span, index)
            if !message.callID.isEmpty { description.callID = String(message.callID) }
            if message.isRequest {
                description.uri = String(message.requestURI)
                description.method = String(message.methodToken)
            }
            break
        }
        return description
    }

    /// The sets from the newest on; fewer where one was freed meanwhile.
    private func targetSets(_ newest: StoredReference, _ worker: Int) -> [[UInt8]] {
        var sets: [[UInt8]] = []
        var reference = newest
        while sets.count < 64, !reference.isNone, let bytes = bytes(reference, worker),
            let set = TargetSet(bytes.span)
        {
            reference = set.head.previous
            sets.append(bytes)
        }
        return sets
    }

    func forks(of reference: TransactionReference, _ targets: [[UInt8]]) -> [TransactionsView.Fork] {
        let found = forks[reference.rawValue] ?? []
        let cancels = found.filter { $0.record.header.kind == RecordKind.cancel }
        return found.filter { $0.record.header.kind == RecordKind.fork }.map { fork in
            let record = fork.record
            let nextHop =
                record.isResolving
                ? "a name" : "\(record.endpoint.transport.name):\(record.endpoint.peer.text)"
            let cancel = cancels.first {
                $0.record.fork == record.fork && $0.record.attempt == record.attempt
            }
            return TransactionsView.Fork(
                index: Int(record.fork), worker: fork.worker,
                pid: Int(state.processes.pid(.worker(fork.worker))),
                state: record.stateName, target: target(record.fork, targets) ?? nextHop, nextHop: nextHop,
                status: record.status == 0 ? nil : Int(record.status), cancel: cancel?.record.stateName)
        }.sorted { $0.index < $1.index }
    }

    private func target(_ fork: UInt8, _ sets: [[UInt8]]) -> String? {
        for bytes in sets {
            if let set = TargetSet(bytes.span), let placed = set.target(fork) {
                return placed.uri.isEmpty ? nil : String(decoding: bytes[placed.uri], as: UTF8.self)
            }
        }
        return nil
    }
}

extension Span<UInt8> {
    fileprivate var copied: [UInt8] { unsafe withUnsafeBufferPointer { unsafe Array($0) } }
}
