import CAres
import CPlatform
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// The resolver process: asks the name servers where names lead (RFC 3263), only writer of the DNS cache
/// (P12).
///
/// It may be sent `resolve` by workers and the master, and sends them `resolved` (`MailGraph`). It holds the
/// arena, its mailbox and those of master, workers and logger, and opens sockets of its own to the name
/// servers. It has no keys and no SIP sockets.
package enum ResolverMain {
    /// Runs until killed; returns an exit status where the process cannot start.
    package static func run(masterPid: Int32) -> Int32 {
        guard cp_die_with_parent(masterPid) != 0 else { return 0 }
        // A name server may close a TCP connection that we write to.
        _ = signal(SIGPIPE, SIG_IGN)
        guard ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS, var resolver = attach() else { return 70 }
        resolver.run()
        return 0
    }

    /// The arena stays mapped until the process ends. Nil where it cannot be had.
    private static func attach() -> ResolverProcess? {
        let place = ProcessID.resolver.index
        guard let memory = try? Arena.inherit(ChildDescriptors.arena, place: place),
            memory.load(0, as: ArenaHeader.self).magic == ArenaHeader.magic
        else { return nil }
        return try? ResolverProcess(state: SharedState(attaching: memory))
    }
}
