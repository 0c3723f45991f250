import CPlatform
import Glibc

/// How a child ended, in words.
enum ChildEnding {
    /// - Parameter status: of waitpid(2).
    static func text(_ status: Int32) -> String {
        let signal = cp_exit_signal(status)
        if signal == 0 { return "exit status \(cp_exit_status(status))" }
        let name = name(signal).map { " (\($0))" } ?? ""
        return "killed by signal \(signal)\(name)"
    }

    /// Signals of a process that was wrong by itself: what it was doing is to blame. One that is killed from
    /// outside blames nothing.
    static func isTrap(_ signal: Int32) -> Bool {
        switch signal {
        case SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE: true
        default: false
        }
    }

    /// Of the signals that processes die of.
    private static func name(_ signal: Int32) -> String? {
        switch signal {
        case SIGHUP: "SIGHUP"
        case SIGINT: "SIGINT"
        case SIGQUIT: "SIGQUIT"
        case SIGILL: "SIGILL"
        case SIGTRAP: "SIGTRAP"
        case SIGABRT: "SIGABRT"
        case SIGBUS: "SIGBUS"
        case SIGFPE: "SIGFPE"
        case SIGKILL: "SIGKILL"
        case SIGSEGV: "SIGSEGV"
        case SIGPIPE: "SIGPIPE"
        case SIGTERM: "SIGTERM"
        // The unit's SystemCallFilter, where it says kill; limits of the system.
        case SIGSYS: "SIGSYS"
        case SIGXCPU: "SIGXCPU"
        case SIGXFSZ: "SIGXFSZ"
        default: nil
        }
    }
}
