import CSystemd

/// Tells systemd how the service is (sd_notify(3)); does nothing when systemd did not start this process.
///
/// Made once in the master, after it read the environment. A failed notification is dropped: systemd's own
/// timeouts are the answer to it, and the service must not depend on its supervisor.
package struct Notifier: Sendable {
    /// How often `watchdog()` must be called at least, in milliseconds; nil when systemd does not watch this
    /// process. Call it twice as often.
    package let watchdogInterval: Int?

    /// Reads `$WATCHDOG_USEC` and `$WATCHDOG_PID`.
    package init() {
        let microseconds = cs_watchdog()
        watchdogInterval = microseconds == 0 ? nil : max(1, Int(clamping: microseconds / 1000))
    }

    /// The service is up. `status` is shown by `systemctl status`. The one notification that waits until it
    /// is taken.
    package func ready(status: String) { unsafe _ = cs_notify("READY=1\nSTATUS=\(oneLine(status))") }

    package func status(_ text: String) { send("STATUS=\(oneLine(text))") }

    package func stopping() { send("STOPPING=1") }

    /// Allocates nothing: called from the loop.
    package func watchdog() { unsafe _ = cs_notify_at_once(Notifier.watchdogAssignment.utf8Start) }

    /// Another process is the service's main process from now on.
    package func mainPID(_ pid: Int32) { send("MAINPID=\(pid)") }

    private static let watchdogAssignment: StaticString = "WATCHDOG=1"

    private func send(_ assignments: String) { unsafe _ = cs_notify_at_once(assignments) }

    /// A newline would begin another assignment.
    private func oneLine(_ text: String) -> String { String(text.map { $0.isNewline ? " " : $0 }) }
}
