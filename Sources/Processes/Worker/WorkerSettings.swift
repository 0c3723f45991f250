import Glibc
import Mailbox
import SharedState

/// What a worker needs of the configuration, without the snapshot's bulk.
struct WorkerSettings: BitwiseCopyable {
    let registrarEnabled: Bool
    /// `forking.order` is "q-value".
    let ordersByQ: Bool
    let recurses: Bool
    let minExpires: Int
    let transactions: Int
    /// 0 none, 1 failed, 2 all.
    let logCalls: Int
    // Milliseconds.
    let candidateTimeout: UInt64
    let candidateDeadTime: UInt64
    /// How long the resolver may take for a question, whatever it meets.
    let resolvingTime: UInt64

    init(_ snapshot: ConfigurationSnapshot) {
        registrarEnabled = snapshot.registrarEnabled != 0
        ordersByQ = snapshot.orderByQ != 0
        recurses = snapshot.recurse != 0
        minExpires = Int(snapshot.minExpires)
        transactions = Int(snapshot.transactionsPerWorker)
        logCalls = Int(snapshot.logCalls)
        candidateTimeout = UInt64(snapshot.candidateTimeout)
        candidateDeadTime = UInt64(snapshot.candidateDeadTime) * 1000
        resolvingTime = snapshot.resolvingTime
    }
}

/// The descriptors a worker lives by: those it inherits, or a test's.
package struct WorkerDescriptors: BitwiseCopyable {
    var mailbox: Int32
    /// Writing ends of the others' mailboxes, by process number.
    package var peers: InlineArray<68, Int32>
    package var sockets: InlineArray<16, Int32>

    package init(mailbox: Int32, peers: InlineArray<68, Int32>, sockets: InlineArray<16, Int32>) {
        self.mailbox = mailbox
        self.peers = peers
        self.sockets = sockets
    }

    /// By the numbers of `ChildDescriptors`.
    static var inherited: WorkerDescriptors {
        var descriptors = WorkerDescriptors(
            mailbox: ChildDescriptors.mailbox, peers: .init(repeating: -1), sockets: .init(repeating: -1))
        for process in 0..<ProcessID.limit {
            descriptors.peers[process] = ChildDescriptors.mailbox(of: ProcessID(rawValue: UInt8(process)))
        }
        // Only those of datagrams are there, and none of a listener that is gone.
        for listener in 0..<16 where fcntl(ChildDescriptors.listener(listener), F_GETFD) >= 0 {
            descriptors.sockets[listener] = ChildDescriptors.listener(listener)
        }
        return descriptors
    }
}
