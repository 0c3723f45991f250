import CPlatform
import CSQLite
import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// The locator process: the location server, only writer of bindings, with SQLite behind it (P13).
///
/// It may be sent `register` by workers, and by the master for the control tool, and sends them `registered`
/// (`MailGraph`). It holds the arena, its mailbox, those of master, workers and logger, and the database in
/// the state directory. It has no keys and no sockets.
package enum LocatorMain {
    /// The database's name in the state directory.
    package static let databaseName = "location.db"

    /// Runs until killed; returns an exit status where the process cannot start.
    package static func run(masterPid: Int32) -> Int32 {
        guard cp_die_with_parent(masterPid) != 0 else { return 0 }
        // Who is reachable where is nobody else's business.
        umask(0o027)
        _ = csqlite_use_one_thread()
        guard var locator = attach() else { return 70 }
        locator.run()
        return 0
    }

    /// The arena stays mapped until the process ends. Nil where it cannot be had.
    private static func attach() -> LocatorProcess? {
        let place = ProcessID.locator.index
        guard let memory = try? Arena.inherit(ChildDescriptors.arena, place: place),
            memory.load(0, as: ArenaHeader.self).magic == ArenaHeader.magic
        else { return nil }
        return try? LocatorProcess(state: SharedState(attaching: memory))
    }
}
