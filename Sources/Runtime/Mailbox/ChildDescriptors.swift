import SharedState

/// The descriptors that a child inherits, by number. The master makes them so (`cp_spawn`); nothing else is
/// open.
///
///      0  /dev/null
///      1  the master's stdout
///      2  the master's stderr
///      3  arena (memfd)
///      4  keys (memfd); workers only
///      5  reading end of its own mailbox
///      8 + n  writing end of the mailbox of process n (`ProcessID`; the master is 0), where `MailGraph` lets
///             it write there
///     80 + n  socket of listener n; workers only
///
/// The environment carries `SIPFORK_CHILD=NUMBER:MASTER_PID`.
package enum ChildDescriptors {
    package static let arena: Int32 = 3
    package static let keys: Int32 = 4
    package static let mailbox: Int32 = 5
    package static func mailbox(of process: ProcessID) -> Int32 { 8 + Int32(process.rawValue) }
    package static func listener(_ number: Int) -> Int32 { 80 + Int32(number) }
    package static let count = 96
    package static let environment = "SIPFORK_CHILD"
}
