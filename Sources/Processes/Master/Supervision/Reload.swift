import Configuration
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState

/// A reload under way (design §5.6): the children are replaced one at a time through the way that a crash takes, then
/// the master changes what is its own.
///
///     file ─► checked ─► new listeners opened ─► published ─► logger, locator, resolver, workers replaced ─► listeners
///               │ bad          │ one cannot be               (each attaches to the new configuration)        limits …
///               └──────────────┴─► refused: nothing has changed
struct Reload {
    /// Who asked; nil: a signal.
    let peer: Int32?
    let configuration: Configuration
    let change: ListenerSet.Change
    /// Keys that have changed.
    let changed: [String]
    /// Lines of the answer, besides what has changed.
    var remarks: [String]
    /// Children that have the old configuration still, by their places.
    var waiting: [Int]
    var current: Replacement?

    /// A child whose successor is waited for.
    struct Replacement {
        let child: Int
        let oldPid: Int32
        let since: UInt64
    }

    /// Milliseconds after which a child that does not end by SIGTERM gets SIGKILL, and after which a successor that
    /// does not serve is left to itself.
    static let patience: UInt64 = 2000
    static let longPatience: UInt64 = 10_000
    /// Faults of a file that are told: as many as an answer has room for.
    static let mostDiagnostics = 32
}

extension MasterProcess {
    /// Begins a reload; who asked is answered at once, or when it is done.
    mutating func reload(for peer: Int32?) {
        if let refusal = beginReload(for: peer) { answer(peer, refusal) }
    }

    private func answer(_ peer: Int32?, _ text: String) {
        if let peer { ControlSocket.answer(peer, text) }
    }

    /// What is to be said at once: nil where the reload is under way now.
    private mutating func beginReload(for peer: Int32?) -> String? {
        if isStopping { return "503 The service is stopping" }
        if reload != nil || !isReady {
            let reason = isReady ? "A reload is under way" : "The service is starting"
            log.note(.note, .warning, "not reloaded: \(reason)")
            return "503 \(reason)"
        }
        guard options.source.path != nil else {
            log.note(.configurationReloaded, .notice, "nothing to reload: no configuration file")
            return "200 nothing to reload: no configuration file"
        }
        let wanted: Configuration
        var remarks: [String] = []
        do {
            let (loaded, warnings) = try options.source.load(again: true)
            wanted = loaded
            for warning in warnings {
                log.note(.configurationWarning, .warning, warning.description)
                remarks.append("warning: \(warning)")
            }
        } catch {
            var lines = error.diagnostics.prefix(Reload.mostDiagnostics).map(\.description)
            let more = error.diagnostics.count - lines.count
            if more > 0 { lines.append("and \(more) more") }
            for line in lines { log.note(.configurationRefused, .error, "nothing has changed: \(line)") }
            return "400 The configuration is refused, nothing has changed:\n"
                + lines.joined(separator: "\n")
        }
        let keys = wanted.changes(from: configuration)
        let waiting = keys.filter(\.waitsForStart).map(\.waitingText)
        remarks += waiting
        let changed = keys.filter { !$0.waitsForStart }.map(\.changedName)
        if changed.isEmpty {
            let first = keys.isEmpty ? ["nothing has changed"] : []
            tellWaiting(waiting)
            log.note(.configurationReloaded, .notice, "reloaded: nothing has changed")
            return "200 " + (first + remarks).joined(separator: "\n")
        }
        do {
            try begin(wanted.applied(to: configuration), changed, remarks, peer)
            tellWaiting(waiting)
            return nil
        } catch {
            log.note(.configurationRefused, .error, "nothing has changed: \(error)")
            return "500 \(error); nothing has changed"
        }
    }

    private mutating func tellWaiting(_ lines: [String]) {
        for line in lines { log.note(.configurationWarning, .warning, line) }
    }

    /// Opens, publishes, and has the children replaced.
    private mutating func begin(
        _ new: Configuration, _ changed: [String], _ remarks: [String], _ peer: Int32?
    ) throws(SystemError) {
        let change = try listeners.changed(to: new.listen)
        do throws(SystemError) {
            var snapshot = try ConfigurationSnapshot(
                new, listeners: change.result, workers: Int(state.sizes.workers),
                stateDirectory: options.stateDirectory)
            snapshot.remember(state.configuration.snapshot)
            guard state.publish(snapshot, new.drafts) else {
                throw SystemError("[[route]]: more than the shared memory holds", code: E2BIG)
            }
        } catch {
            change.undo()
            throw error
        }
        // Which hops have failed is forgotten, as it is for routes.
        try? state.deadPeers.initialize()
        FaultPoint.reloadPublished.pass(state.memory)
        datagramSockets = change.result.datagramSockets
        reload = Reload(
            peer: peer, configuration: new, change: change, changed: changed, remarks: remarks,
            waiting: Array(children.indices))
        goOnReloading(Clock.milliseconds())
    }

    /// Replaces the next child once the one before serves; at last ends the reload.
    mutating func goOnReloading(_ now: UInt64) {
        guard let current = reload?.current else { return replaceNext(now) }
        let child = children[current.child]
        if child.isRunning && child.pid != current.oldPid && state.processes.isReady(child.process) {
            return replaceNext(now)
        }
        if child.isRunning && child.pid == current.oldPid && now > current.since + Reload.patience {
            kill(child.pid, SIGKILL)
        }
        if now > current.since + Reload.longPatience {
            let remark = "\(child.process.name) does not come up"
            log.note(.childDied, .error, "reload: \(remark)")
            reload!.remarks.append(remark)
            replaceNext(now)
        }
    }

    private mutating func replaceNext(_ now: UInt64) {
        guard reload != nil else { return }
        reload!.current = nil
        guard !reload!.waiting.isEmpty else { return completeReload(now) }
        let index = reload!.waiting.removeFirst()
        reload!.current = Reload.Replacement(child: index, oldPid: children[index].pid, since: now)
        // One that waits for its next start takes the new configuration then.
        if !children[index].isRunning { return }
        children[index].isReplaced = true
        kill(children[index].pid, SIGTERM)
        FaultPoint.reloadTold.pass(state.memory)
    }

    /// What lives in the master itself.
    private mutating func completeReload(_ now: UInt64) {
        FaultPoint.reloadReplaced.pass(state.memory)
        let done = reload!
        reload = nil
        configuration = done.configuration
        let snapshot = state.configuration.snapshot
        log.level = UInt8(snapshot.logLevel)
        connections.log.level = log.level
        reception.reconfigure(sockets: datagramSockets)
        gathering = Gathering(longest: snapshot.longestPause)
        changeListeners(done.change)
        FaultPoint.reloadListening.pass(state.memory)
        connections.reconfigure(ConnectionLimits(snapshot).granted(&log), listeners.streams, now)
        done.change.complete()
        FaultPoint.reloadDone.pass(state.memory)
        let line = "reloaded: \(done.changed.joined(separator: ", "))"
        log.note(.configurationReloaded, .notice, line)
        answer(done.peer, (["200 \(line)"] + done.remarks).joined(separator: "\n"))
    }

    private mutating func changeListeners(_ change: ListenerSet.Change) {
        for (number, entry) in change.removed where entry.listener.transport == .udp {
            // What has come by then is served.
            for _ in 0..<64 {
                let count = reception.receive(
                    from: entry.socket, listener: UInt16(number), address: entry.listener.address,
                    isLeaving: true)
                if count == 0 { break }
            }
            poller.remove(entry.socket)
        }
        listeners = change.result
        for (number, _) in change.removed { store.drop(Inheritance.listener(number)) }
        for number in change.added {
            store.keep(listeners[number]!.socket, Inheritance.listener(number))
        }
        for number in change.added where listeners[number]!.listener.transport == .udp {
            let entry = listeners[number]!
            do { try poller.add(entry.socket, token: Token.listener + UInt64(number)) } catch {
                log.note(.note, .error, "\(entry.listener.text) is not served: \(error)")
            }
        }
    }

    /// Told to stop in the middle of it.
    mutating func abandonReload() {
        guard let reload else { return }
        answer(reload.peer, "503 The service is stopping")
        self.reload = nil
    }
}
