import Platform
import SharedState

/// Overload, as far as it concerns the loop: what was refused is answered, and the journal is told.
extension MasterProcess {
    /// Sends what the master itself has to say to connections: they were not at hand while one was read.
    mutating func sendOutput(_ now: UInt64) {
        if reception.stateless.output.isEmpty { return }
        var trace = reception.trace
        reception.stateless.output.drain { bytes, endpoint in
            trace.stamp()
            let sent = connections.send(bytes, to: endpoint, nil, now)
            if trace.isOn { trace.noteSent(bytes, endpoint, by: .master, sent) }
        }
        reception.trace = trace
    }

    mutating func tellOverload(_ now: UInt64) {
        let refused = reception.overload.refused
        guard let remark = overloadEpisode.look(refused: refused, now: now) else { return }
        let most = state.configuration.snapshot.maxDelay
        switch remark {
        case .began:
            let process = reception.overload.culprit
            let delay = state.processes.delay(process)
            log.note(
                .overloaded, .warning,
                "overloaded: what comes for \(process.name) waits \(delay) ms; new requests are answered 503"
                    + " (server.max-delay is \(most))")
        case .goesOn(let seconds, let refused):
            log.note(
                .overloaded, .warning,
                "still overloaded after \(seconds) s: \(refused) new requests were answered 503")
        case .ended(let seconds, let refused):
            log.note(
                .overloaded, .notice,
                "no longer overloaded: \(refused) new requests were answered 503 within \(seconds) s")
        }
    }
}
