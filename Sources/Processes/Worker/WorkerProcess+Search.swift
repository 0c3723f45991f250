import Platform
import Proxy
import SharedState
import Syntax

/// The order in which the targets of a request are tried (RFC 3261 §16.6), within Max-Breadth (RFC 5393 §5).
///
///     parallel   all at once
///     byQ        those with the highest q, together; when all of them have failed, the next
///     failover   one; the next only where it could not be reached
///
/// A fork takes its part of the request's Max-Breadth along, and gives it back when it ends.
extension WorkerProcess {
    /// Begins the search; the targets are stored and new.
    mutating func startSearch(
        _ cell: UInt32, _ message: Message, _ request: RoutedRequest, targets: StoredReference, count: Int,
        search: Search
    ) {
        // Users whose contacts are users of ours again: each pass multiplies, and Max-Breadth counts only what
        // runs at once.
        if count > 1 && request.passes >= core.settings.maxPasses {
            shard.stored.free(targets)
            state.counters.add(.loopsDetected, me)
            respondLocally(cell, message, status: 482)
            return
        }
        let breadth = core.breadth(of: request)
        // RFC 5393 §5.3.3: whoever may not fork as he must says so.
        if breadth == 0 || search == .parallel && count > breadth {
            shard.stored.free(targets)
            respondLocally(cell, message, status: 440)
            return
        }
        var record = server(cell)
        record.targets = targets
        record.forkCount = UInt8(count)
        record.search = search
        record.loopMark = request.loopMark
        record.breadth = UInt8(breadth)
        startNext(&record, cell)
    }

    /// Goes on with the search where that is to be done, and stores the record. False where it is over: no
    /// fork owes a response, and none is to follow.
    mutating func continueSearch(_ record: inout ServerRecord, _ cell: UInt32, after end: ForkEnd) -> Bool {
        let isLeft = record.started != ServerRecord.forkMask(record.forkCount)
        if isLeft && !record.isSearchEnded && (record.search == .parallel || record.open == 0),
            !record.request.isNone, mayGoOn(record, after: end)
        {
            startNext(&record, cell)
        }
        if record.open != 0 {
            store(record, cell)
            shard.wheel.schedule(cell, due: record.deadline)
        }
        return record.open != 0
    }

    private mutating func mayGoOn(_ record: ServerRecord, after end: ForkEnd) -> Bool {
        record.search != .failover || end == .silence || end == .unreachable
    }

    /// Starts what is next in order, as much of it as the breadth allows.
    private mutating func startNext(_ record: inout ServerRecord, _ cell: UInt32) {
        var due = dueTargets(record)
        var left = min(due.nonzeroBitCount, Int(record.breadth))
        if left == 0 { return }
        let share = Int(record.breadth) / left
        var remainder = record.breadth % UInt8(left)
        record.breadth = 0
        extendGuard(&record)
        while left > 0 {
            let fork = UInt8(due.trailingZeroBitCount)
            due &= due - 1
            left -= 1
            record.started |= 1 << UInt64(fork)
            record.open |= 1 << UInt64(fork)
            var mail = Mail(.forkStart)
            mail.transaction = reference(record, cell)
            mail.fork = fork
            mail.first = record.request
            mail.second = targetSet(of: fork, record).rawValue
            mail.third = record.loopMark
            mail.flags = UInt16(share) + (remainder > 0 ? 1 : 0)
            if remainder > 0 { remainder -= 1 }
            if !send(mail, to: .worker(ForkPlacement.worker(owner: index, fork: fork, workers: workers))) {
                // As a fork that could not be sent (§16.9); after the other starts, as all mail to ourselves.
                var done = Mail(.forkDone)
                done.transaction = mail.transaction
                done.fork = fork
                done.status = 503
                done.flags = mail.flags
                send(done, to: me)
            }
        }
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    /// The targets that were not tried yet and whose turn has come.
    private mutating func dueTargets(_ record: ServerRecord) -> UInt64 {
        let left = ServerRecord.forkMask(record.forkCount) & ~record.started
        if record.search == .parallel { return left }
        var best = -1
        var due: UInt64 = 0
        for fork in 0..<record.forkCount where left & (1 << UInt64(fork)) != 0 {
            guard let target = target(fork, record) else { continue }
            if Int(target.q) > best {
                best = Int(target.q)
                due = 0
            }
            if Int(target.q) == best { due |= 1 << UInt64(fork) }
        }
        return due
    }

    mutating func target(_ fork: UInt8, _ record: ServerRecord) -> ForkTarget? {
        TargetSet(shard.stored.bytes(targetSet(of: fork, record)))?.target(fork)?.target
    }

    /// The set that the target of a fork is in.
    private mutating func targetSet(of fork: UInt8, _ record: ServerRecord) -> StoredReference {
        var reference = record.targets
        while let set = TargetSet(shard.stored.bytes(reference)), Int(set.head.firstFork) > Int(fork) {
            reference = set.head.previous
        }
        return reference
    }

    /// Frees all target sets of a request.
    mutating func freeTargets(_ record: inout ServerRecord) {
        var reference = record.targets
        while !reference.isNone {
            guard let set = TargetSet(shard.stored.bytes(reference)) else {
                preconditionFailure("a target set without a head")
            }
            shard.stored.free(reference)
            reference = set.head.previous
        }
        record.targets = .none
    }

    // MARK: redirection

    private static var mostForks: Int { 64 }

    /// §16.7 step 4 with `forking.recurse`: the Contacts of a 300, 301 or 302 become targets, each URI once in
    /// a request. False where that gives none. (A 305 names a proxy, a 380 another service.)
    mutating func addRedirection(_ redirect: Message, _ record: inout ServerRecord) -> Bool {
        guard settings.recurses, 300...302 ~= redirect.status, record.search != .failover,
            !record.isSearchEnded, let message = storedMessage(record.request),
            let first = TargetSet(shard.stored.bytes(record.targets))
        else { return false }
        let source = RequestSource(message, first.head.source)
        let request = RoutedRequest(message, source, core.identity, keys)
        // §16.5: the targets of a URI that is not ours are not ours to choose.
        guard request.routing.decision == .lookUp else { return false }
        let known = Int(record.forkCount)
        let room = WorkerProcess.mostForks - known
        guard room > 0,
            let reserved = shard.stored.reserve(TargetSet.headBytes + contactsBytes(redirect, atMost: room))
        else { return false }
        var draft = TargetSetDraft(
            memory.writer(reserved.offset, capacity: reserved.capacity), source: source.endpoint,
            behind: record.targets, firstFork: known)
        var contacts = redirect.values(.contact)
        for _ in 0..<room {
            guard let value = contacts.next() else { break }
            guard let address = NameAddress.parse(redirect.bytes, value.range),
                let uri = SIPURI.parse(redirect.bytes, address.uri), uri.scheme == .sip
            else { continue }
            let contact = redirect.bytes.slice(address.uri)
            if isTried(contact, record) || draft.holds(contact) { continue }
            var q = 1000
            if let parameter = address.parameter(named: "q", redirect.bytes) {
                q = qThousandths(redirect.bytes, parameter.value) ?? 1000
            }
            core.add(contact: contact, path: Span(), q: UInt16(q), message, request, to: &draft)
        }
        let targets = seal(draft, in: reserved)
        if draft.count == 0 {
            shard.stored.free(targets)
            return false
        }
        record.targets = targets
        record.forkCount += UInt8(draft.count)
        return true
    }

    private mutating func contactsBytes(_ redirect: Message, atMost limit: Int) -> Int {
        var contacts = redirect.values(.contact)
        var bytes = 0
        for _ in 0..<limit {
            guard let value = contacts.next() else { break }
            bytes += core.contactBytes(redirect.bytes.slice(value.range), Span())
        }
        return bytes
    }

    /// True where the URI is a target of the request already.
    private mutating func isTried(_ contact: Span<UInt8>, _ record: ServerRecord) -> Bool {
        for fork in 0..<record.forkCount {
            let bytes = shard.stored.bytes(targetSet(of: fork, record))
            if let known = TargetSet(bytes)?.target(fork), SIPURI.equal(bytes.extracting(known.uri), contact)
            {
                return true
            }
        }
        return false
    }
}

/// How the last fork of a search ended.
enum ForkEnd {
    /// With a final response other than 503.
    case answer
    /// Nothing was heard at all.
    case silence
    /// Rung, or trying, until its time was over; or never tried.
    case timeout
    /// 503, from there or ours.
    case unreachable

    /// What `forkDone` mail tells.
    init(done mail: Mail) {
        switch mail.status {
        // It was not tried, and nothing is known of it.
        case _ where mail.third != 0: self = .timeout
        case 500, 503: self = .unreachable
        case 408: self = mail.second == 0 ? .silence : .timeout
        default: self = .timeout
        }
    }
}
