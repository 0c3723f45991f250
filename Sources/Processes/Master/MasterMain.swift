import Configuration
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Systemd

/// The master process: sockets, parsing, dispatch, supervision. It may be sent `registered` by the locator
/// (`MailGraph`).
package enum MasterMain {
    /// Runs the service until it is told to stop; the exit status.
    package static func run(_ options: MasterOptions) -> Int32 {
        do {
            for directory in [options.stateDirectory, options.runtimeDirectory] {
                try makeDirectory(directory)
            }
            var master = try MasterProcess(options)
            return master.run()
        } catch {
            Console.report(.error, "cannot start: \(error)", event: .startFailed)
            return 1
        }
    }

    /// Makes a directory, and those above it, where it is missing: systemd has made ours, a first try by hand
    /// has not.
    private static func makeDirectory(_ path: String) throws(SystemError) {
        var partial = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            partial += "/" + component
            if unsafe mkdir(partial, 0o750) < 0 && SystemError.lastCode != EEXIST {
                throw .last("mkdir \(partial)")
            }
        }
    }
}
