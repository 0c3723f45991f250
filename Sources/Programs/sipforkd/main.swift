import Configuration
import Glibc
import Locator
import Logger
import Mailbox
import Master
import Platform
import SharedState
import Worker

// One binary, one role per process: the environment says which child this is, else it is the master.
if let role = ChildRole.current {
    exit(role.run())
}
exit(CommandLineOptions.run(Array(CommandLine.arguments.dropFirst())))
