import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Systemd

/// The logger process: takes the entries out of every process's log ring and gives them to the journal, so
/// that a stalled journald stalls nobody else (design §2).
///
/// It may be sent `logged` by anyone, and reads nothing of it: the mail only wakes it. It holds the arena and
/// its own mailbox (`ChildDescriptors`). It ends when its parent does, or with SIGTERM, once all rings are
/// empty.
package enum LoggerMain {
    /// Runs until told to stop; the exit status.
    package static func run(masterPid: Int32) -> Int32 {
        guard cp_die_with_parent(masterPid) != 0 else { return 0 }
        // Nobody reads stderr any more: a failed write, not a death.
        _ = signal(SIGPIPE, SIG_IGN)
        do {
            let memory = try Arena.inherit(ChildDescriptors.arena, place: ProcessID.logger.index)
            let state = SharedState(attaching: memory)
            var logger = try LoggerProcess(
                state: state, mailbox: ChildDescriptors.mailbox,
                output: Journal.isConnected ? .journal : .lines(STDERR_FILENO))
            logger.run()
            return 0
        } catch {
            return 71
        }
    }
}
