import Platform
import Proxy
import SharedState
import Syntax
import Transaction

/// Requests from the network: match a transaction (RFC 3261 §17.2.3), or begin one.
extension WorkerProcess {
    mutating func receiveRequest(_ mail: Mail) {
        guard state.slots.isHeld(mail.slot, by: me) else { return }
        let header = state.slots.header(mail.slot.index)
        let message = message(in: mail.slot)
        #if DEBUG
            FaultTrigger.worker.meet(message.requestURI, memory)
        #endif
        let source = RequestSource(message, header.endpoint)
        if header.fault != 0 {
            refuseFaulty(message, source, fault: header.fault)
            return
        }
        let key = serverKey(message, as: message.method == .ack ? .invite : message.method)
        // For what we may be the server of, the transaction stands under another key (§8.2.2.2).
        let mergedKey =
            MergedRequests.concerns(message.method) ? MergedRequests.key(message, keys: keys) : nil
        let known = findServer(key: key, mergedKey: mergedKey)
        if message.method == .ack {
            receiveAck(message, source, server: known)
        } else if known != 0 {
            repeatRequest(known)
        } else if message.method == .cancel {
            receiveCancel(message, source, key: key)
        } else {
            begin(message, source, key: key, mergedKey: mergedKey)
        }
    }

    /// The transaction of a request; 0 where there is none.
    private mutating func findServer(key: UInt64, mergedKey: UInt64?) -> UInt32 {
        let known = shard.table.find(kind: RecordKind.server, key: key)
        guard known == 0, let mergedKey else { return known }
        let merged = shard.table.find(kind: RecordKind.server, key: mergedKey)
        return merged != 0 && server(merged).branchKey == key ? merged : 0
    }

    /// RFC 3261 §17.2.3: branch, sent-by and method; without the magic cookie, what RFC 2543 compares.
    mutating func serverKey(_ message: Message, as method: Method) -> UInt64 {
        var hash = keys.tables
        let via = message.index.topVia
        hash.combine(message.bytes.slice(via.branch))
        hash.combine(UInt8(0))
        hash.combine(lowercasing: message.bytes.slice(via.sentBy))
        hash.combine(method.rawValue)
        if method == .unknown { hash.combine(message.methodToken) }
        if !via.hasMagicCookie {
            hash.combine(message.requestURI)
            hash.combine(message.callID)
            hash.combine(message.fromTag)
            hash.combine(UInt64(message.index.cseqNumber))
            hash.combine(via.transport.rawValue)
            // An ACK has the tag of our answer, which its INVITE had not, and a CANCEL the INVITE's.
            if method != .invite && method != .cancel { hash.combine(message.toTag) }
        }
        return hash.finalize()
    }

    /// A fault that a proxy must look at: 400 with a reason that names it, never to an ACK.
    private mutating func refuseFaulty(_ message: Message, _ source: RequestSource, fault: UInt8) {
        guard let fault = Fault(rawValue: fault - 1) else { return }
        state.counters.add(.badRequests, me)
        logMalformed(message, source, fault.reason)
        // Without a Via there is no way back (§18.2.2); with a bad one it is where the request came from.
        if message.method == .ack || !message.index.has(.via) { return }
        answerStateless(message, source, status: fault.status, reason: fault.reason)
    }

    /// An answer without a transaction: to what is wrong, or when there is no room for one. The same request
    /// gets the same bytes.
    mutating func answerStateless(
        _ message: Message, _ source: RequestSource, status: UInt16, reason: StaticString? = nil,
        retryAfter: Bool = false
    ) {
        var extra = line
        if retryAfter { extra.append("Retry-After: 2\r\n") }
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        core.writeAnswer(
            message, source, status: status, reason: reason, extra: extra.written, to: &writer)
        if writer.overflowed { return }
        turn.keepScratch(writer.count)
        transmit(OutboxEntry(offset: offset, count: writer.count, to: source.response))
    }

    private mutating func repeatRequest(_ cell: UInt32) {
        state.counters.add(.retransmissionsAbsorbed, me)
        var record: ServerRecord = memory.load(shard.table.offset(cell))
        let effects =
            record.isInvite
            ? record.invite.receiveRequest(now: now, values: values, reliable: record.endpoint.isReliable)
            : record.nonInvite.receiveRequest(now: now, values: values, reliable: record.endpoint.isReliable)
        apply(effects, &record, cell)
        finish(record, cell)
    }

    // MARK: ACK and CANCEL

    private mutating func receiveAck(_ message: Message, _ source: RequestSource, server: UInt32) {
        if server != 0 && acknowledges(message, server) {
            var record: ServerRecord = memory.load(shard.table.offset(server))
            let effects = record.invite.receiveAck(
                now: now, values: values, reliable: record.endpoint.isReliable)
            apply(effects, &record, server)
            finish(record, server)
            if !effects.contains(.passAck) { return }
        } else if core.acknowledgesAnswer(message) {
            return
        }
        forwardStateless(message, source)
    }

    /// §17.2.3: without the magic cookie an ACK must have the To tag of the response that it is for.
    private mutating func acknowledges(_ ack: Message, _ cell: UInt32) -> Bool {
        if ack.index.topVia.hasMagicCookie { return true }
        guard let response = storedMessage(server(cell).response), !response.toTag.isEmpty else {
            return true
        }
        return response.toTag.isEqual(to: ack.toTag)
    }

    /// §9.2 and §16.10: answered here with its own transaction, then every open fork is cancelled.
    private mutating func receiveCancel(_ message: Message, _ source: RequestSource, key: UInt64) {
        let invite = shard.table.find(kind: RecordKind.server, key: serverKey(message, as: .invite))
        if invite == 0 {
            // §16.10: no response context here, so the request it is for may be known further on.
            forwardStateless(message, source)
            return
        }
        guard let cell = makeServer(message, source, key: key, branchKey: key) else { return }
        respondLocally(cell, message, status: 200)
        var record: ServerRecord = memory.load(shard.table.offset(invite))
        if record.invite.state != .proceeding { return }
        record.cancelledUpstream = true
        record.isSearchEnded = true
        cancelForks(&record, invite, except: nil)
        store(record, invite)
    }

    // MARK: new transactions

    private mutating func begin(
        _ message: Message, _ source: RequestSource, key: UInt64, mergedKey: UInt64?
    ) {
        var request = RoutedRequest(message, source, core.identity, keys)
        let match = core.route(of: message, request, isInDialog: !message.toTag.isEmpty)
        let isForUs = match == nil && core.isForUs(message, request.routing)
        var tableKey = key
        // §8.2.2.2: what is in a dialog is nobody's copy.
        if let mergedKey, isForUs, message.toTag.isEmpty {
            tableKey = mergedKey
            if shard.table.find(kind: RecordKind.server, key: tableKey) != 0 {
                answerStateless(message, source, status: 482)
                return
            }
        }
        guard let cell = makeServer(message, source, key: tableKey, branchKey: key) else { return }
        if isForUs {
            serve(cell, message)
            return
        }
        if let match {
            follow(match, cell, message, &request)
            return
        }
        switch request.routing.decision {
        case .refuse(let refusal):
            if refusal.status == 400 {
                state.counters.add(.badRequests, me)
                logMalformed(message, source, refusal.reason)
            }
            var unsupported = line
            if refusal == .unknownExtension {
                _ = OptionTags.writeUnsupported(message, in: .proxyRequire, to: &unsupported)
            }
            respondLocally(
                cell, message, status: refusal.status, reason: refusal.reason, header: unsupported.written)
        case .ours: respondLocally(cell, message, status: 404)
        case .lookUp: if !isLooping(cell, message, &request) { lookUp(cell, message, request) }
        case .forward:
            if !core.mayPass(message, request) {
                respondLocally(cell, message, status: 403, reason: "Relaying not allowed")
            } else if !isLooping(cell, message, &request) {
                forward(cell, message, request)
            }
        }
    }

    /// §16.3 step 4: what comes round again is answered 482. Anything else has its loop mark after that.
    mutating func isLooping(
        _ cell: UInt32, _ message: Message, _ request: inout RoutedRequest, by route: Int? = nil
    ) -> Bool {
        request.loopMark = LoopCheck.mark(message, route: route, keys: keys)
        if !LoopCheck.isLoop(message, mark: request.loopMark) { return false }
        state.counters.add(.loopsDetected, me)
        respondLocally(cell, message, status: 482)
        return true
    }

    /// Makes and starts the server transaction; nil where there is no room, and the caller got 503.
    private mutating func makeServer(
        _ message: Message, _ source: RequestSource, key: UInt64, branchKey: UInt64
    ) -> UInt32? {
        let alive = shard.serverTransactions
        var cell: UInt32 = 0
        var request = StoredReference.none
        if alive < settings.transactions,
            let stored = shard.stored.store(message.bytes.slice(message.index.whole))
        {
            request = stored
            if message.index.start == 0 {
                scanned = ScannedRequest(
                    stored, by: index, count: Int(message.index.length), message.index)
            }
            cell = shard.table.insert(kind: RecordKind.server, key: key)
        }
        if cell == 0 {
            shard.stored.free(request)
            state.counters.add(.refusedFull, me)
            logFull(message, source.endpoint, "transaction (server.max-transactions)")
            answerStateless(message, source, status: 503, retryAfter: true)
            return nil
        }
        var record: ServerRecord = memory.load(shard.table.offset(cell))
        record.request = request
        record.endpoint = source.response
        record.method = message.method.rawValue
        record.branchKey = branchKey
        record.createdAt = now
        record.isInDialog = !message.toTag.isEmpty
        let effects =
            record.isInvite
            ? record.invite.start(now: now, values: values, reliable: record.endpoint.isReliable)
            : record.nonInvite.start(now: now, values: values, reliable: record.endpoint.isReliable)
        precondition(effects.contains(.passRequest))
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
        shard.setServerTransactions(alive + 1)
        if record.isInvite && message.toTag.isEmpty { state.counters.add(.callsStarted, me) }
        return cell
    }

    /// Answers what is for us, or has the locator do so.
    private mutating func serve(_ cell: UInt32, _ message: Message) {
        // §8.2.2.3, §10.3 step 2: here we are the server.
        var unsupported = line
        if OptionTags.writeUnsupported(message, in: .require, to: &unsupported) {
            respondLocally(cell, message, status: 420, reason: nil, header: unsupported.written)
        } else if message.method == .register {
            passToLocator(cell, message)
        } else {
            respondLocally(
                cell, message, status: 200,
                extra: """
                    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER\r
                    Accept: application/sdp\r
                    Supported: path\r\n
                    """)
        }
    }
}
