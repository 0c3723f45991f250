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
        if countEnd(record, status) { logEnd(record, request, status) { $0.append(reason) } }
    }

    /// - Parameter response: the answer, which came from elsewhere.
    mutating func logEnd(_ record: ServerRecord, _ response: Message) {
        // A 2xx that comes again finds the request forgotten: the call was answered once.
        guard !record.request.isNone, countEnd(record, response.status),
            let request = storedMessage(record.request)
        else { return }
        let reason = response.reason
        logEnd(record, request, response.status) { $0.append(reason, from: 0, to: min(reason.count, 100)) }
    }

    /// A challenge is no failure, nor is a caller who hangs up.
    private static func isFailure(_ status: UInt16) -> Bool {
        status >= 300 && status != 401 && status != 407 && status != 487
    }

    /// Counts the end of a call; true where it is to be told of.
    private mutating func countEnd(_ record: ServerRecord, _ status: UInt16) -> Bool {
        guard record.isInvite else { return false }
        // An INVITE within a dialog is none of `callsStarted` either.
        if !record.isInDialog { state.counters.add(status < 300 ? .callsAnswered : .callsFailed, me) }
        return (settings.logCalls == 2 || settings.logCalls == 1 && WorkerProcess.isFailure(status))
            && log.isWanted(.info)
    }

    private mutating func logEnd(
        _ record: ServerRecord, _ request: Message, _ status: UInt16, _ reason: (inout ByteWriter) -> Void
    ) {
        let isFailure = WorkerProcess.isFailure(status)
        var text = line
        text.append(isFailure ? "call failed: " : status < 300 ? "call answered: " : "call ended: ")
        text.append(decimal: UInt64(status))
        text.append(" ")
        reason(&text)
        text.append(" for ")
        let uri = request.requestURI
        text.append(uri.extracting(0..<min(uri.count, 200)))
        write(
            isFailure ? .callFailed : status < 300 ? .callAnswered : .callEnded, .info, text, request,
            record.endpoint, status: status)
    }

    /// A request that could not be sent: a few a second, for a peer that is down has many of them.
    mutating func logUnreachable(_ record: ForkRecord, _ code: UInt16) {
        guard log.isWanted(.notice), unreachableLimit.allows(now: now),
            let request = storedMessage(record.request)
        else { return }
        var text = line
        text.append(request.methodToken)
        text.append(" could not be sent to ")
        record.endpoint.writePeer(to: &text)
        text.append(": ")
        text.append(string: SystemError.text(Int32(code)))
        unreachableLimit.tellSuppressed(to: &text)
        write(.connectionFailed, .notice, text, request, record.endpoint)
    }

    /// A faulty message: a few a second; the counter `badRequests` has all.
    mutating func logMalformed(_ message: Message, _ source: RequestSource, _ reason: StaticString) {
        guard log.isWanted(.notice), malformedLimit.allows(now: now) else { return }
        var text = line
        text.append("malformed message from ")
        source.endpoint.writePeer(to: &text)
        text.append(": ")
        text.append(reason)
        malformedLimit.tellSuppressed(to: &text)
        write(.malformedMessage, .notice, text, message, source.endpoint)
    }

    /// A table is full: once a second; the counter `refusedFull` has all. `what` names the table's key.
    mutating func logFull(_ message: Message, _ endpoint: Endpoint, _ what: StaticString) {
        guard log.isWanted(.warning), fullLimit.allows(now: now) else { return }
        var text = line
        text.append("no room for another ")
        text.append(what)
        text.append(": 503 to ")
        endpoint.writePeer(to: &text)
        fullLimit.tellSuppressed(to: &text)
        write(.limitReached, .warning, text, message, endpoint, status: 503)
    }

    /// An entry of one message.
    private mutating func write(
        _ event: LogEvent, _ priority: LogPriority, _ text: ByteWriter, _ message: Message,
        _ endpoint: Endpoint,
        status: UInt16? = nil
    ) {
        var entry = log.begin(event, priority)
        entry.add(.message, text.written)
        describe(&entry, message, endpoint)
        if let status { entry.add(.status, number: Int(status)) }
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

    mutating func describe(_ entry: inout LogEntry, _ message: Message, _ endpoint: Endpoint) {
        entry.add(.callID, message.callID)
        entry.add(.method, message.methodToken)
        entry.add(.from, message.value(.from))
        entry.add(.to, message.value(.to))
        entry.add(.branch, message.branch)
        var text = line
        endpoint.writePeer(to: &text)
        entry.add(.peer, text.written)
    }
}
