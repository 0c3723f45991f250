import CPlatform
import Glibc
import Locator
import Logger
import Mailbox
import Resolver
import SharedState
import Worker

/// What the master has started this process as (`SIPFORK_CHILD=NUMBER:MASTER_PID`).
struct ChildRole {
    private let process: ProcessID
    private let masterPid: Int32

    /// Nil in the master.
    static var current: ChildRole? {
        guard let value = unsafe getenv(ChildDescriptors.environment) else { return nil }
        let parts = unsafe String(cString: value).split(separator: ":")
        guard parts.count == 2, let number = UInt8(parts[0]), Int(number) < ProcessID.limit,
            let pid = Int32(parts[1])
        else { return nil }
        unsafe unsetenv(ChildDescriptors.environment)
        return ChildRole(process: ProcessID(rawValue: number), masterPid: pid)
    }

    func run() -> Int32 {
        // ps and top show argv[0], which the master has set; /proc/PID/comm has room for fifteen letters.
        unsafe process.name.withCString { unsafe cp_set_name($0) }
        // A terminal sends these to all of its processes: the master stops the children, in order.
        _ = signal(SIGINT, SIG_IGN)
        _ = signal(SIGHUP, SIG_IGN)
        // A child starts nothing but, when it traps, what writes its backtrace; that shall not keep the ports.
        for number in 3..<Int32(ChildDescriptors.count) { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        switch process {
        case .locator: return LocatorMain.run(masterPid: masterPid)
        case .resolver: return ResolverMain.run(masterPid: masterPid)
        case .logger: return LoggerMain.run(masterPid: masterPid)
        default:
            guard let index = process.workerIndex else { return 64 }
            return WorkerMain.run(index: index, masterPid: masterPid)
        }
    }
}
