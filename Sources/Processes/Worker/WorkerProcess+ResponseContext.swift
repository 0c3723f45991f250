import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// The response context of a server transaction (RFC 3261 §16.7): what the forks report, and what goes
/// upstream.
extension WorkerProcess {
    /// The server transaction that mail of a fork is for; nil where it is over.
    private mutating func serverCell(_ mail: Mail) -> UInt32? {
        let reference = mail.transaction
        guard reference.worker == index,
            shard.table.isCurrent(reference.cell, kind: RecordKind.server, generation: reference.generation)
        else { return nil }
        return reference.cell
    }

    /// A fork received a response: steps 3 to 10 of §16.7.
    mutating func takeForkResponse(_ mail: Mail) {
        guard state.slots.isHeld(mail.slot, by: me) else { return }
        guard let cell = serverCell(mail) else {
            state.counters.add(.strayResponses, me)
            return
        }
        let message = message(in: mail.slot)
        var record = server(cell)
        let bit = UInt64(1) << UInt64(mail.fork & 63)
        if mail.status < 200 {
            guard record.open & bit != 0 else { return }
            extendGuard(&record)
            forward(message, &record, cell, mail.slot)
            finish(record, cell)
            return
        }
        close(mail, &record)
        let end: ForkEnd = mail.status == 503 ? .unreachable : .answer
        noteHop(of: mail.fork, record, end)
        if mail.status < 300 {
            // Step 5: every 2xx of an INVITE is forwarded at once; of another request, the first.
            record.isSearchEnded = true
            forward(message, &record, cell, mail.slot)
            if record.isInvite { cancelForks(&record, cell, except: mail.fork) }
            finish(record, cell)
            return
        }
        // Step 4: a redirection that is followed is no response to choose.
        if mail.status >= 400 || !addRedirection(message, &record) {
            offer(message, &record, status: mail.status, fork: mail.fork)
        }
        if mail.status >= 600 {
            record.isSearchEnded = true
            cancelForks(&record, cell, except: mail.fork)
        }
        goOn(&record, cell, after: end)
    }

    /// A fork ended without a response: 408 for a timeout, 503 for a transport error (§16.9), 500 for a name that
    /// leads nowhere.
    mutating func takeForkDone(_ mail: Mail) {
        guard let cell = serverCell(mail) else { return }
        var record = server(cell)
        let bit = UInt64(1) << UInt64(mail.fork & 63)
        if record.open & bit == 0 { return }
        close(mail, &record)
        offerLocal(&record, status: mail.status, fork: mail.fork)
        let end = ForkEnd(done: mail)
        noteHop(of: mail.fork, record, end)
        goOn(&record, cell, after: end)
    }

    /// A fork owes nothing any more, and its part of Max-Breadth is free again.
    private mutating func close(_ mail: Mail, _ record: inout ServerRecord) {
        let bit = UInt64(1) << UInt64(mail.fork & 63)
        // A second 2xx of the same fork holds nothing.
        if record.open & bit != 0 { record.breadth += UInt8(truncatingIfNeeded: mail.flags) }
        record.open &= ~bit
        if record.open == 0 { record.guardAt = 0 }
    }

    /// The next targets, or, when none are left and all forks have ended, the best response.
    private mutating func goOn(_ record: inout ServerRecord, _ cell: UInt32, after end: ForkEnd) {
        if continueSearch(&record, cell, after: end) { return }
        store(record, cell)
        sendBest(cell)
    }

    /// The guard's time has come: forks that still owe a response count as answered 408, and so does the
    /// locator.
    mutating func abandonForks(_ cell: UInt32) {
        var record = server(cell)
        if record.open == 0 {
            if let request = storedMessage(record.request) { respondLocally(cell, request, status: 408) }
            return
        }
        cancelForks(&record, cell, except: nil)
        record.open = 0
        offerLocal(&record, status: 408, fork: 0)
        store(record, cell)
        sendBest(cell)
    }

    /// Keeps a response where it is the best so far (step 4 and 6).
    private mutating func offer(_ message: Message, _ record: inout ServerRecord, status: UInt16, fork: UInt8)
    {
        if !isToBeChosenFrom(status, record) { return }
        let held = record.bestResponse.status
        if !record.bestResponse.offer(status: status, fork: fork) {
            if ChallengeMerge.isChallenge(held) && ChallengeMerge.isChallenge(status) {
                addChallenges(of: message, to: &record)
            }
            return
        }
        shard.stored.free(record.best)
        record.best = .none
        guard let room = shard.stored.reserve(ForwardedResponse.bytes(message)) else { return }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        ForwardedResponse.write(message, isForStream: record.endpoint.isReliable, to: &writer)
        record.best = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
    }

    /// Step 7: the caller shall see every fork's challenge, to answer all of them at once.
    private mutating func addChallenges(of message: Message, to record: inout ServerRecord) {
        guard let best = storedMessage(record.best),
            let room = shard.stored.reserve(best.bytes.count + ChallengeMerge.bytes(of: message))
        else { return }
        var writer = memory.writer(room.offset, capacity: room.capacity)
        ChallengeMerge.write(best, adding: message, to: &writer)
        let merged = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
        if writer.overflowed {
            shard.stored.free(merged)
            return
        }
        shard.stored.free(record.best)
        record.best = merged
    }

    /// Once a final response has left there is nothing to choose any more. A 408 would not be sent for a
    /// non-INVITE (RFC 4320 §4.2), so it must not stand in the way of one that would.
    private mutating func isToBeChosenFrom(_ status: UInt16, _ record: ServerRecord) -> Bool {
        !record.request.isNone && (record.isInvite || status != 408)
    }

    private mutating func offerLocal(_ record: inout ServerRecord, status: UInt16, fork: UInt8) {
        if !isToBeChosenFrom(status, record) || !record.bestResponse.offer(status: status, fork: fork) {
            return
        }
        shard.stored.free(record.best)
        record.best = .none
    }

    /// All forks have ended: step 6 to 10 with the best response.
    private mutating func sendBest(_ cell: UInt32) {
        var record = server(cell)
        guard !record.request.isNone else {
            finish(record, cell)
            return
        }
        let status = record.bestResponse.upstreamStatus
        if record.best.isNone || status != record.bestResponse.status {
            guard let request = storedMessage(record.request) else {
                preconditionFailure("stored request does not scan")
            }
            // A CANCEL that every fork has swallowed without an answer is answered as the caller expects
            // (§9.2).
            respondLocally(
                cell, request, status: record.cancelledUpstream && status == 408 ? 487 : status,
                reason: record.bestResponse.status == 500 ? WorkerProcess.unresolved : nil)
            return
        }
        let effects =
            record.isInvite
            ? record.invite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
            : record.nonInvite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
        if effects.contains(.sendResponse) {
            transmit(record.best, to: record.endpoint)
            if let best = storedMessage(record.best) { logEnd(record, best) }
            shard.stored.free(record.response)
            record.response = record.best
            record.best = .none
            record.status = status
        }
        apply(effects, &record, cell)
        finish(record, cell)
    }

    /// Forwards a response at once: the top Via is cut out (step 3), nothing else changes.
    private mutating func forward(
        _ message: Message, _ record: inout ServerRecord, _ cell: UInt32, _ slot: SlotReference
    ) {
        let status = message.status
        let effects =
            record.isInvite
            ? record.invite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
            : record.nonInvite.respond(
                status: status, now: now, values: values, reliable: record.endpoint.isReliable)
        guard effects.contains(.sendResponse) else {
            apply(effects, &record, cell)
            return
        }
        record.status = status
        if status >= 200 { logEnd(record, message) }
        if effects.contains(.forgetResponse) {
            // Not kept, so it leaves straight from its slot, in two parts.
            transmitCut(message, slot, to: record.endpoint)
        } else if let room = shard.stored.reserve(ForwardedResponse.bytes(message)) {
            var writer = memory.writer(room.offset, capacity: room.capacity)
            ForwardedResponse.write(message, isForStream: record.endpoint.isReliable, to: &writer)
            let reference = shard.stored.seal(room, length: writer.overflowed ? 0 : writer.count)
            transmit(reference, to: record.endpoint)
            shard.stored.free(record.response)
            record.response = reference
        }
        apply(effects, &record, cell)
    }

    // MARK: forks

    /// Step 10: cancels every fork that owes a response, except one.
    mutating func cancelForks(_ record: inout ServerRecord, _ cell: UInt32, except: UInt8?) {
        guard record.isInvite else { return }
        var pending = record.open & ~record.cancelled
        if let except { pending &= ~(1 << UInt64(except & 63)) }
        while pending != 0 {
            let fork = UInt8(pending.trailingZeroBitCount)
            pending &= pending - 1
            record.cancelled |= 1 << UInt64(fork)
            var mail = Mail(.forkCancel)
            mail.transaction = reference(record, cell)
            mail.fork = fork
            send(mail, to: .worker(ForkPlacement.worker(owner: index, fork: fork, workers: workers)))
        }
    }

    /// The guard is for forks in processes that are gone for good: well behind every timer of the fork
    /// itself.
    mutating func extendGuard(_ record: inout ServerRecord) {
        let patience =
            record.isInvite ? UInt64(values.c) + 2 * values.transactionTimeout : 2 * values.transactionTimeout
        record.guardAt = now + patience
    }
}
