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
        let source = RequestSource(message, peer: header.peer, listener: header.listener)
        if header.fault != 0 {
            refuseFaulty(message, source, fault: header.fault)
            return
        }
        let key = serverKey(message, as: message.method == .ack ? .invite : message.method)
        let known = shard.table.find(kind: RecordKind.server, key: key)
        if message.method == .ack {
            receiveAck(message, source, server: known)
        } else if known != 0 {
            repeatRequest(known)
        } else if message.method == .cancel {
            receiveCancel(message, source, key: key)
        } else {
            begin(message, source, key: key)
        }
    }

    /// RFC 3261 §17.2.3: branch, sent-by and method; without the magic cookie, what RFC 2543 compares.
    func serverKey(_ message: Message, as method: Method) -> UInt64 {
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
        }
        return hash.finalize()
    }

    /// A fault that a proxy must look at: 400 with a reason that names it, never to an ACK.
    private mutating func refuseFaulty(_ message: Message, _ source: RequestSource, fault: UInt8) {
        guard let fault = Fault(rawValue: fault - 1) else { return }
        state.counters.add(.badRequests, me)
        logMalformed(message, source, fault.reason)
        // Without a Via there is no way back (§18.2.2).
        if message.method == .ack || message.index.topVia.isEmpty { return }
        answerStateless(message, source, status: fault.status, reason: fault.reason)
    }

    /// An answer without a transaction: to what is wrong, or when there is no room for one. The same request
    /// gets the same bytes.
    mutating func answerStateless(
        _ message: Message, _ source: RequestSource, status: UInt16, reason: StaticString? = nil,
        retryAfter: Bool = false
    ) {
        var tag = line
        tag.append("sf")
        tag.append(hexadecimal: statelessMark(message), digits: 16)
        let tagEnd = tag.count
        if retryAfter { tag.append("Retry-After: 2\r\n") }
        let offset = turn.scratchOffset()
        var writer = memory.writer(offset, capacity: turn.scratchRoom)
        let written = tag.written
        LocalResponse.write(
            request: message, status: status, reason: reason ?? ReasonPhrase.text(status),
            toTag: written.extracting(0..<tagEnd), peer: source.peer,
            extra: written.extracting(tagEnd..<written.count), to: &writer)
        if writer.overflowed { return }
        turn.keepScratch(writer.count)
        transmit(
            OutboxEntry(
                offset: offset, count: writer.count, peer: source.responseAddress, listener: source.listener))
    }

    /// The To tag of stateless answers, derived from the request: the ACK to one is recognised by it and
    /// dropped.
    private func statelessMark(_ message: Message) -> UInt64 {
        var hash = keys.marks
        hash.combine(message.callID)
        hash.combine(UInt64(message.index.cseqNumber))
        return hash.finalize()
    }

    private mutating func repeatRequest(_ cell: UInt32) {
        state.counters.add(.retransmissionsAbsorbed, me)
        var record: ServerRecord = memory.load(shard.table.offset(cell))
        let effects =
            record.isInvite
            ? record.invite.receiveRequest(now: now, values: values, reliable: false)
            : record.nonInvite.receiveRequest(now: now, values: values, reliable: false)
        apply(effects, &record, cell)
        finish(record, cell)
    }

    // MARK: ACK and CANCEL

    private mutating func receiveAck(_ message: Message, _ source: RequestSource, server: UInt32) {
        if server != 0 {
            var record: ServerRecord = memory.load(shard.table.offset(server))
            let effects = record.invite.receiveAck(now: now, values: values, reliable: false)
            apply(effects, &record, server)
            finish(record, server)
            if !effects.contains(.passAck) { return }
        } else if isOurStatelessTag(message) {
            return
        }
        forwardStateless(message, source)
    }

    private func isOurStatelessTag(_ message: Message) -> Bool {
        let tag = message.toTag
        guard tag.count == 18, tag[0] == 0x73, tag[1] == 0x66 else { return false }
        var expected = line
        expected.append(hexadecimal: statelessMark(message), digits: 16)
        let text = expected.written
        for index in 0..<16 where text[index] != tag[index + 2] { return false }
        return true
    }

    /// §9.2 and §16.10: answered here with its own transaction, then every open fork is cancelled.
    private mutating func receiveCancel(_ message: Message, _ source: RequestSource, key: UInt64) {
        let invite = shard.table.find(kind: RecordKind.server, key: serverKey(message, as: .invite))
        if invite == 0 {
            // §16.10: no response context here, so the request it is for may be known further on.
            forwardStateless(message, source)
            return
        }
        guard let cell = makeServer(message, source, key: key) else { return }
        respondLocally(cell, message, status: 200)
        var record: ServerRecord = memory.load(shard.table.offset(invite))
        if record.invite.state != .proceeding { return }
        record.cancelledUpstream = true
        cancelForks(&record, invite, except: nil)
        store(record, invite)
    }

    // MARK: new transactions

    private mutating func begin(_ message: Message, _ source: RequestSource, key: UInt64) {
        guard let cell = makeServer(message, source, key: key) else { return }
        let routing = RequestRouting(message, identity)
        switch routing.decision {
        case .refuse(let status):
            if status == 400 {
                state.counters.add(.badRequests, me)
                logMalformed(message, source, "Bad Request-URI or Route")
            }
            respondLocally(
                cell, message, status: status, reason: status == 400 ? "Bad Request-URI or Route" : nil)
        case .ours: serve(cell, message, routing)
        case .lookUp:
            if message.method == .register {
                serve(cell, message, routing)
            } else {
                lookUp(cell, message, source, routing)
            }
        case .forward:
            if mayPass(message, source, routing) {
                forward(cell, message, source, routing)
            } else {
                respondLocally(cell, message, status: 403, reason: "Relaying not allowed")
            }
        }
    }

    /// No open relay: to others' domains only for `access.relay-from`, and within dialogs that we
    /// record-routed.
    func mayPass(_ message: Message, _ source: RequestSource, _ routing: RequestRouting) -> Bool {
        routing.hadOurRoute && message.toTag.count > 0 || identity.mayRelay(source.peer)
    }

    /// Makes and starts the server transaction; nil where there is no room, and the caller got 503.
    private mutating func makeServer(_ message: Message, _ source: RequestSource, key: UInt64) -> UInt32? {
        let alive = shard.serverTransactions
        var cell: UInt32 = 0
        var request = StoredReference.none
        if alive < settings.transactions,
            let stored = shard.stored.store(message.bytes.slice(message.index.whole))
        {
            request = stored
            cell = shard.table.insert(kind: RecordKind.server, key: key)
        }
        if cell == 0 {
            shard.stored.free(request)
            state.counters.add(.refusedFull, me)
            logFull(message, source.peer, "transaction (max-transactions)")
            answerStateless(message, source, status: 503, retryAfter: true)
            return nil
        }
        var record: ServerRecord = memory.load(shard.table.offset(cell))
        record.request = request
        record.peer = source.responseAddress
        record.listener = source.listener
        record.method = message.method.rawValue
        record.createdAt = now
        let effects =
            record.isInvite
            ? record.invite.start(now: now, values: values, reliable: false)
            : record.nonInvite.start(now: now, values: values, reliable: false)
        precondition(effects.contains(.passRequest))
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
        shard.setServerTransactions(alive + 1)
        return cell
    }

    /// Requests to the proxy itself: REGISTER for the registrar, OPTIONS (§11); nothing else lives here.
    private mutating func serve(_ cell: UInt32, _ message: Message, _ routing: RequestRouting) {
        // §8.2.2.3, §10.3 step 2: here we are the server.
        if message.method == .register || message.method == .options {
            var unsupported = line
            if OptionTags.writeUnsupported(message, to: &unsupported) {
                respondLocally(cell, message, status: 420, reason: nil, header: unsupported.written)
                return
            }
        }
        switch message.method {
        case .register: passToLocator(cell, message)
        case .options:
            respondLocally(
                cell, message, status: 200,
                extra: """
                    Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER\r
                    Accept: application/sdp\r
                    Supported: path\r\n
                    """)
        default: respondLocally(cell, message, status: 404)
        }
    }
}

/// Where a request came from, and where its answer goes (RFC 3261 §18.2.2, RFC 3581 §4).
struct RequestSource {
    let peer: SocketAddress
    let responseAddress: SocketAddress
    let listener: UInt16

    init(_ message: Message, peer: SocketAddress, listener: UInt16) {
        self.peer = peer
        self.listener = listener
        var address = peer
        let via = message.index.topVia
        if !via.hasRport { address.port = via.portOrDefault }
        responseAddress = address
    }
}
