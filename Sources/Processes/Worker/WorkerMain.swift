import CPlatform
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Transport

/// The worker process: transactions, proxy core, registrar front.
///
/// It may be sent `request` and `response` by the master, `forkStart`, `forkCancel`, `forkResponse` and
/// `forkDone` by workers (itself included), `registered` by the locator (`MailGraph`). It holds the arena,
/// the keys, the listeners' sockets for sending, and the mailboxes of its peers (`ChildDescriptors`).
package enum WorkerMain {
    /// Runs until killed; returns an exit status where the process cannot start.
    package static func run(index: Int, masterPid: Int32) -> Int32 {
        guard cp_die_with_parent(masterPid) != 0 else { return 0 }
        guard var worker = attach(index) else { return 70 }
        worker.run()
        return 0
    }

    /// An arena stays mapped until the process ends. Nil where it cannot be had, or is of another layout.
    private static func attach(_ index: Int) -> WorkerProcess? {
        let place = ProcessID.worker(index).index
        guard let memory = try? Arena.inherit(ChildDescriptors.arena, place: place),
            let keyArena = try? Arena(attaching: Descriptor(owning: ChildDescriptors.keys)),
            memory.load(0, as: ArenaHeader.self).layoutHash == StateLayout.hash
        else { return nil }
        let state = SharedState(attaching: memory)
        return try? WorkerProcess(
            state: state, index: index, keys: Keys(memory: keyArena.memory), descriptors: .inherited)
    }
}
