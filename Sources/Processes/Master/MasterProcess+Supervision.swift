import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// Supervision: starts children, replaces those that die, ends them all at the end.
extension MasterProcess {
    mutating func start(_ index: Int) {
        let process = children[index].process
        let now = Clock.milliseconds()
        children[index].startedAt = now
        children[index].restartAt = 0
        children[index].isAborted = false
        children[index].isReplaced = false
        state.processes.setReady(false, process)
        state.processes.beat(now, process)
        state.processes.setEvent(0, process)
        do {
            let pid = try starter.start(
                process, reading: estate.reading[process.index], writing: estate.writing,
                sockets: datagramSockets)
            FaultPoint.childStarted.pass(state.memory)
            children[index].pid = pid
            state.processes.setPid(pid, process)
            FaultPoint.childNoted.pass(state.memory)
            log.note(.childStarted, .info, "\(process.name) started, pid \(pid)")
        } catch {
            log.note(.childDied, .error, "\(process.name) cannot be started: \(error)")
            children[index].died(now: now, wasKilled: false)
            children[index].restartAt = now + 1000
        }
    }

    mutating func restartChildren(_ now: UInt64) {
        if isStopping { return }
        for index in children.indices where children[index].restartAt != 0 && children[index].restartAt <= now
        {
            start(index)
        }
    }

    /// Takes the exit status of every child that has ended, and lets a successor go on at once.
    mutating func reap() {
        while true {
            var status: Int32 = 0
            let pid = unsafe waitpid(-1, &status, WNOHANG)
            if pid <= 0 { return }
            guard let index = children.firstIndex(where: { $0.pid == pid }) else { continue }
            let process = children[index].process
            let now = Clock.milliseconds()
            let signal = cp_exit_signal(status)
            let isReplaced = children[index].isReplaced
            children[index].died(now: now, wasKilled: isReplaced || signal == SIGKILL || signal == SIGTERM)
            FaultPoint.childReaped.pass(state.memory)
            state.processes.setPid(0, process)
            if isStopping { continue }
            if ChildEnding.isTrap(signal) || children[index].isAborted { blame(process, now) }
            // Its turn, if it was in one, holds nothing any more.
            state.processes.endTurn(process)
            if isReplaced {
                start(index)
                continue
            }
            state.processes.countRestart(process)
            let delay = children[index].restartAt - now
            log.note(
                .childDied, .error,
                "\(process.name) (pid \(pid)) died: \(ChildEnding.text(status)); its successor \(delay == 0 ? "takes over" : "starts in \(delay) ms")"
            )
            if delay == 0 { start(index) }
        }
    }

    /// Counts what a child was handling that has trapped, or was ended because it hung (design §5.3).
    private func blame(_ process: ProcessID, _ now: UInt64) {
        guard let event = state.blamedEvent(of: process) else { return }
        state.quarantine.blame(event, .event, now: now)
    }

    /// Design §5.3: SIGABRT for a child that hangs, which leaves a core; SIGKILL a second later, for one that
    /// cannot take signals. Once a second.
    mutating func killHanging(_ now: UInt64) {
        for index in children.indices where children[index].isRunning {
            let process = children[index].process
            let silence = silence(of: index, now)
            if silence < Child.longestSilence(process) { continue }
            if !children[index].isAborted {
                children[index].isAborted = true
                log.note(
                    .childDied, .error,
                    "\(process.name) (pid \(children[index].pid)) hangs: no turn for \(silence) ms; ending it"
                )
                kill(children[index].pid, SIGABRT)
            } else {
                kill(children[index].pid, SIGKILL)
            }
        }
    }

    /// Milliseconds for which a child has done nothing, though there was something to do.
    private mutating func silence(of index: Int, _ now: UInt64) -> UInt64 {
        let process = children[index].process
        let heartbeat = state.processes.heartbeat(process)
        guard let worker = process.workerIndex else { return children[index].missedBeats(heartbeat) * 1000 }
        return children[index].silence(
            now: now, heartbeat: heartbeat, handled: state.shard(worker).seen.last(from: .master),
            sent: state.masterRing(to: process).tail)
    }

    /// The end, told by SIGTERM or SIGINT: children first, the logger last, so that it writes what the others
    /// said.
    mutating func stop() {
        if isStopping { return }
        isStopping = true
        abandonReload()
        stoppingSince = Clock.milliseconds()
        notifier.stopping()
        // Nothing of the memory has kept it from serving.
        estate.setFailedStarts(0)
        // What comes from now on waits in the sockets for the next master, if there is to be one.
        for number in listeners.numbers where listeners[number]!.listener.transport == .udp {
            poller.remove(listeners[number]!.socket)
        }
        log.note(.stopped, .notice, "stopping")
        for child in children where child.isRunning && child.process != .logger { kill(child.pid, SIGTERM) }
    }

    /// While stopping: the logger once the others are gone, SIGKILL for whoever takes too long.
    mutating func escalate(_ now: UInt64) {
        let others = children.contains { $0.isRunning && $0.process != .logger }
        if !others && !isLoggerTold,
            let logger = children.first(where: { $0.process == .logger && $0.isRunning })
        {
            isLoggerTold = true
            kill(logger.pid, SIGTERM)
        }
        if now - stoppingSince > 3000 {
            for child in children where child.isRunning { kill(child.pid, SIGKILL) }
        }
    }
}
