import Platform
import Proxy
import SharedState
import Syntax

/// Journal entries of a worker.
extension WorkerProcess {
    /// A transaction got its final answer: calls are counted, and told of as `log.calls` says.
    ///
    /// - Parameter reason: the phrase of the answer, which is ours.
    mutating func logEnd(_ record: ServerRecord, _ request: Message, status: UInt16, reason: StaticString) {
        logEnd(record, request, status) { $0.append(reason) }
    }

    /// - Parameter response: the answer, which came from elsewhere.
    mutating func logEnd(_ record: ServerRecord, _ request: Message, _ response: Message) {
        let reason = response.reason
        logEnd(record, request, response.status) { $0.append(reason, from: 0, to: min(reason.count, 100)) }
    }

    private mutating func logEnd(
        _ record: ServerRecord, _ request: Message, _ status: UInt16, _ reason: (inout ByteWriter) -> Void
    ) {
        guard record.isInvite else { return }
        // An INVITE within a dialog is none of `callsStarted` either.
        if request.toTag.isEmpty { state.counters.add(status < 300 ? .callsAnswered : .callsFailed, me) }
        // A challenge is no failure, nor is a caller who hangs up.
        let isFailure = status >= 300 && status != 401 && status != 407 && status != 487
        guard settings.logCalls == 2 || settings.logCalls == 1 && isFailure, log.isWanted(.info) else {
            return
        }
        var entry = log.begin(isFailure ? .callFailed : status < 300 ? .callAnswered : .callEnded, .info)
        var text = line
        text.append(isFailure ? "call failed: " : status < 300 ? "call answered: " : "call ended: ")
        text.append(decimal: UInt64(status))
        text.append(" ")
        reason(&text)
        text.append(" for ")
        let uri = request.requestURI
        text.append(uri.extracting(0..<min(uri.count, 200)))
        entry.add(.message, text.written)
        describe(&entry, request, record.endpoint)
        entry.add(.status, number: Int(status))
        log.commit(entry)
    }

    /// A request that could not be sent: a few a second, for a peer that is down has many of them.
    mutating func logUnreachable(_ record: ForkRecord, _ code: UInt16) {
        guard log.isWanted(.notice), unreachableLimit.allows(now: now),
            let request = storedMessage(record.request)
        else { return }
        var entry = log.begin(.connectionFailed, .notice)
        var text = line
        text.append(request.methodToken)
        text.append(" could not be sent to ")
        text.append(record.endpoint.transport.name)
        text.append(":")
        record.endpoint.peer.write(to: &text)
        text.append(": ")
        text.append(string: SystemError.text(Int32(code)))
        if unreachableLimit.suppressed > 0 {
            text.append(" (and ")
            text.append(decimal: unreachableLimit.suppressed)
            text.append(" more since the last such entry)")
        }
        unreachableLimit.reset()
        entry.add(.message, text.written)
        describe(&entry, request, record.endpoint)
        log.commit(entry)
    }

    /// A faulty message: at most a few a second, the rest is counted (`malformedSuppressed`).
    mutating func logMalformed(_ message: Message, _ source: RequestSource, _ reason: StaticString) {
        guard log.isWanted(.notice), malformedLimit.allows(now: now) else { return }
        var entry = log.begin(.malformedMessage, .notice)
        var text = line
        text.append("malformed message from ")
        text.append(source.endpoint.transport.name)
        text.append(":")
        source.peer.write(to: &text)
        text.append(": ")
        text.append(reason)
        if malformedLimit.suppressed > 0 {
            text.append(" (and ")
            text.append(decimal: malformedLimit.suppressed)
            text.append(" more since the last such entry)")
        }
        malformedLimit.reset()
        entry.add(.message, text.written)
        describe(&entry, message, source.endpoint)
        log.commit(entry)
    }

    /// A table is full: once a second, the rest is counted (`refusedFull`). `what` names the table's key.
    mutating func logFull(_ message: Message, _ endpoint: Endpoint, _ what: StaticString) {
        guard log.isWanted(.warning), fullLimit.allows(now: now) else { return }
        var entry = log.begin(.limitReached, .warning)
        var text = line
        text.append("no room for another ")
        text.append(what)
        text.append(": 503 to ")
        text.append(endpoint.transport.name)
        text.append(":")
        endpoint.peer.write(to: &text)
        if fullLimit.suppressed > 0 {
            text.append(" (and to ")
            text.append(decimal: fullLimit.suppressed)
            text.append(" more since the last such entry)")
        }
        fullLimit.reset()
        entry.add(.message, text.written)
        describe(&entry, message, endpoint)
        entry.add(.status, number: 503)
        log.commit(entry)
    }

    /// What has become of a route's next hop; `seconds` for which it is skipped.
    mutating func logHop(_ route: Int, _ hop: Int, _ what: StaticString, _ seconds: Int?) {
        let priority: LogPriority = seconds == nil ? .notice : .warning
        guard log.isWanted(priority) else { return }
        var entry = log.begin(seconds == nil ? .hopAnswers : .hopFailed, priority)
        var text = line
        text.append("next hop ")
        text.append(core.routes.uri(route, hop))
        text.append(" of route ")
        text.append(decimal: route + 1)
        text.append(" ")
        text.append(what)
        if let seconds {
            text.append(": skipped for ")
            text.append(decimal: seconds)
            text.append(" s")
        }
        entry.add(.message, text.written)
        log.commit(entry)
    }

    private func describe(_ entry: inout LogEntry, _ message: Message, _ endpoint: Endpoint) {
        entry.add(.callID, message.callID)
        entry.add(.method, message.methodToken)
        entry.add(.from, message.value(.from))
        entry.add(.to, message.value(.to))
        entry.add(.branch, message.branch)
        var text = line
        text.append(endpoint.transport.name)
        text.append(":")
        endpoint.peer.write(to: &text)
        entry.add(.peer, text.written)
    }
}
