import Platform
import SharedState

/// The mailboxes that a loop sends to. One that is full is watched until it takes more; meanwhile its mail stays
/// in the ring, and the loop goes on.
///
///     free ──flush: full──▶ blocked, its writing end is watched ──writable: resume──▶ free
package struct PeerMailboxes {
    private let sender: MailSender
    private let firstToken: UInt64
    /// Writing ends by process number; -1 where nothing is sent.
    private var writing = InlineArray<68, Int32>(repeating: -1)
    private var isBlocked = InlineArray<68, Bool>(repeating: false)

    /// - Parameter firstToken: the token of a process's mailbox in the poller is this and the process's number.
    package init(state: SharedState, process: ProcessID, firstToken: UInt64 = 0) {
        sender = MailSender(state: state, process: process)
        self.firstToken = firstToken
    }

    /// Makes the mailbox of `receiver` known here and to the poller.
    package mutating func add(
        _ receiver: ProcessID, _ descriptor: Int32, _ poller: borrowing Poller
    ) throws(SystemError) {
        try poller.add(descriptor, token: token(receiver), [])
        writing[receiver.index] = descriptor
    }

    /// Sends what the ring holds, as far as the mailbox takes it.
    package mutating func flush(
        _ ring: MailRing, to receiver: ProcessID, _ poller: borrowing Poller
    ) {
        if ring.sent == ring.tail { return }
        // The slots change hands in any case: those of a process that stands still count to its quota, and
        // what is still the sender's after this is given back.
        sender.handOver(ring, to: receiver)
        if isBlocked[receiver.index] { return }
        if sender.flush(ring, to: receiver, descriptor: writing[receiver.index]) { return }
        isBlocked[receiver.index] = true
        watch(receiver, .writable, poller)
    }

    /// The mailbox, which was full, is writable.
    package mutating func resume(
        _ ring: MailRing, to receiver: ProcessID, _ poller: borrowing Poller
    ) {
        isBlocked[receiver.index] = false
        watch(receiver, [], poller)
        flush(ring, to: receiver, poller)
    }

    private func watch(
        _ receiver: ProcessID, _ interest: Poller.Interest, _ poller: borrowing Poller
    ) {
        do { try poller.change(writing[receiver.index], token: token(receiver), interest) } catch {
            preconditionFailure("a mailbox cannot be watched")
        }
    }

    private func token(_ process: ProcessID) -> UInt64 { firstToken + UInt64(process.rawValue) }
}
