import Platform
import Proxy
import Registrar
import SharedState
import Syntax

/// The registrar's front (RFC 3261 §10.3): the rules that depend on bindings run in the locator; here the
/// transaction waits for its word and answers.
extension WorkerProcess {
    mutating func passToLocator(_ cell: UInt32, _ message: Message) {
        if !settings.registrarEnabled {
            // §8.2.1: what may be sent here instead.
            respondLocally(
                cell, message, status: 405, extra: "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS\r\n")
            return
        }
        // §10.3 step 5: the address of record must be of a domain that is ours. One that is no SIP URI is of
        // none: the locator refuses that with 400.
        if let to = NameAddress.parse(message.bytes, message.index.first(.to).value),
            let uri = SIPURI.parse(message.bytes, to.uri), uri.isSIP,
            !core.identity.isOurs(
                uri, message.bytes, local: server(cell).endpoint.local)
        {
            respondLocally(cell, message, status: 404)
            return
        }
        var record = server(cell)
        var mail = Mail(.register)
        mail.transaction = reference(record, cell)
        mail.first = record.request
        if !send(mail, to: .locator) {
            respondLocally(cell, message, status: 503, extra: "Retry-After: 5\r\n")
            return
        }
        // Should its word never come, the transaction must end all the same: when the client has given up as
        // well.
        record.guardAt = now + values.transactionTimeout
        store(record, cell)
        shard.wheel.schedule(cell, due: record.deadline)
    }

    /// The locator has stored the bindings, or refused.
    mutating func takeRegistered(_ mail: Mail) {
        let reference = mail.transaction
        guard reference.worker == index,
            shard.table.isCurrent(reference.cell, kind: RecordKind.server, generation: reference.generation)
        else { return }
        let cell = reference.cell
        guard let request = storedMessage(server(cell).request) else { return }
        state.counters.add(mail.status < 300 ? .registersAccepted : .registersRefused, me)
        let offset = turn.scratchOffset()
        var header = memory.writer(offset, capacity: turn.scratchRoom)
        var reason: StaticString?
        switch mail.status {
        case 200: writeBindings(request, to: &header)
        case 423:
            header.append("Min-Expires: ")
            header.append(decimal: settings.minExpires)
            header.append("\r\n")
        case 503:
            state.counters.add(.refusedFull, me)
            logFull(request, server(cell).endpoint, "registration (server.max-bindings)")
            header.append("Retry-After: 5\r\n")
        default: break
        }
        if header.overflowed {
            // More contacts than a datagram holds.
            header.reset()
        }
        if mail.flags != 0 { reason = RegisterReason(rawValue: UInt8(truncatingIfNeeded: mail.flags))?.text }
        turn.keepScratch(header.count)
        respondLocally(cell, request, status: mail.status, reason: reason, header: header.written)
    }

    /// §10.3 step 8: every current binding, with its remaining time. And the Path back to a phone that knows
    /// what that is (RFC 3327 §5.3).
    private mutating func writeBindings(_ request: Message, to writer: inout ByteWriter) {
        writer.append("Supported: ")
        writer.append(OptionTags.supported)
        writer.append("\r\n")
        if request.index.has(.path)
            && (request.lists("path", in: .supported) || request.lists("path", in: .require))
        {
            writer.append("Path: ")
            _ = Registrar.writePath(request, to: &writer)
            writer.append("\r\n")
        }
        guard let to = NameAddress.parse(request.bytes, request.index.first(.to).value),
            let uri = SIPURI.parse(request.bytes, to.uri)
        else { return }
        var user = line
        uri.writeAddressOfRecord(request.bytes, to: &user)
        let time = Clock.epochSeconds()
        if let set = state.locations.find(user.written) {
            RegisterAnswer.writeContacts(set: set, now: time, to: &writer)
        }
        RegisterAnswer.writeDate(now: time, to: &writer)
    }
}
