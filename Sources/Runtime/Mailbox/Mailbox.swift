import CPlatform
import Glibc
import Platform
import SharedMemory
import SharedState

/// The two ends of a process's mailbox, as the master keeps them: what a dead process had not read is read by
/// its successor.
package struct Mailbox: ~Copyable {
    package let reading: Descriptor
    package let writing: Descriptor

    /// A SEQPACKET pair, raised above the numbered descriptors, with room for a few hundred datagrams.
    package init() throws(SystemError) {
        var ends: (Int32, Int32) = (-1, -1)
        let type =
            Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let made = unsafe withUnsafeMutableBytes(of: &ends) {
            unsafe socketpair(AF_UNIX, type, 0, $0.bindMemory(to: Int32.self).baseAddress!)
        }
        if made < 0 { throw .last("socketpair") }
        let first = Descriptor(owning: ends.0)
        let second = Descriptor(owning: ends.1)
        // More than wmem_max only where we may; a small mailbox is slower, not wrong. In this order: the
        // first is cut down to wmem_max.
        var size: Int32 = 4 << 20
        _ = unsafe setsockopt(second.number, SOL_SOCKET, SO_SNDBUF, &size, 4)
        _ = unsafe setsockopt(second.number, SOL_SOCKET, SO_SNDBUFFORCE, &size, 4)
        let reader = try first.raised()
        let writer = try second.raised()
        reading = reader
        writing = writer
    }

    /// Both ends, for someone who keeps them as long as the process lives.
    package consuming func takeEnds() -> (reading: Int32, writing: Int32) {
        (reading.release(), writing.release())
    }
}

/// Receives mail into a turn.
package enum MailReceiver {
    private static let datagrams = Turn.inFlightCapacity / Mail.batch

    /// Fills the in-flight array with what has arrived, without waiting: the number of messages' places that
    /// may be used (0: nothing). The array must be clear.
    package static func receive(from mailbox: Int32, into turn: Turn) -> Int {
        var lengths = InlineArray<8, UInt32>(repeating: 0)
        var span = lengths.mutableSpan
        let received = unsafe span.withUnsafeMutableBufferPointer { buffer in
            unsafe cp_receive_records(
                mailbox, turn.mailAddress, Mail.batch * Mail.bytes, buffer.baseAddress!, Int32(datagrams))
        }
        if received <= 0 { return 0 }
        return (Int(received) - 1) * Mail.batch + Int(lengths[Int(received) - 1]) / Mail.bytes
    }

    /// The same with datagrams behind one another: for many of few messages each.
    package static func receiveClose(from mailbox: Int32, into turn: Turn) -> Int {
        var places = 0
        while hasRoom(behind: places) {
            let target = unsafe turn.mailAddress + places * Mail.bytes
            let received = unsafe recv(mailbox, target, Mail.batch * Mail.bytes, Int32(MSG_DONTWAIT))
            if received <= 0 { break }
            places += received / Mail.bytes
        }
        return places
    }

    /// Room for another datagram behind so many places: else there may be more mail to receive.
    package static func hasRoom(behind places: Int) -> Bool { places + Mail.batch <= Turn.inFlightCapacity }
}

/// Mail that is received outside of turns: the master's, whose work no successor repeats.
package struct PlainReceiver {
    private let mailbox: Int32
    private var batch = InlineArray<32, Mail>(repeating: Mail())
    /// Messages of the last datagram, and how many of them were given out.
    private var count = 0
    private var taken = 0
    /// The last sequence number of each sender: one that died between sending and noting it sends again.
    private var seen = InlineArray<68, UInt64>(repeating: 0)

    /// - Parameter mailbox: its reading end.
    package init(mailbox: Int32) { self.mailbox = mailbox }

    /// Messages of a datagram that was received are still to be taken: the mailbox itself says nothing of them.
    package var isMailLeft: Bool { taken < count }

    /// The next message that was not received before; nil where none is there.
    package mutating func next() -> Mail? {
        while true {
            while taken < count {
                let mail = batch[taken]
                taken += 1
                precondition(mail.sender.index < ProcessID.limit)
                if mail.sequence <= seen[mail.sender.index] { continue }
                seen[mail.sender.index] = mail.sequence
                return mail
            }
            if !receive() { return nil }
        }
    }

    private mutating func receive() -> Bool {
        var span = batch.mutableSpan
        let received = unsafe span.withUnsafeMutableBytes {
            unsafe recv(mailbox, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT))
        }
        taken = 0
        count = max(received, 0) / Mail.bytes
        return received > 0
    }
}

/// Sends what lies in mail rings after a commit.
package struct MailSender {
    private let memory: Memory
    private let slots: Slots
    private let me: ProcessID

    package init(state: SharedState, process: ProcessID) {
        memory = state.memory
        slots = state.slots
        me = process
    }

    /// Hands the slots that committed mail speaks of to its receiver. Before the sender gives back what it
    /// still holds, and also while the mailbox is full.
    package func handOver(_ ring: MailRing, to receiver: ProcessID) {
        let tail = ring.tail
        var handed = ring.handed
        if handed == tail { return }
        while handed < tail {
            let mail = ring.mail(handed)
            if !mail.slot.isNone { slots.hand(mail.slot, from: me, to: receiver) }
            handed += 1
        }
        ring.setHanded(handed)
        FaultPoint.ringHanded.pass(memory)
    }

    /// Hands over slots, then sends as much as the mailbox takes. Safe to repeat: the receiver drops what it
    /// has seen. False where the mailbox is full; call again when it is writable.
    package func flush(_ ring: MailRing, to receiver: ProcessID, descriptor: Int32) -> Bool {
        handOver(ring, to: receiver)
        let tail = ring.tail
        var sent = ring.sent
        while sent < tail {
            let (offset, count) = ring.stretch(from: sent)
            let length = count * Mail.bytes
            let result = unsafe send(
                descriptor, memory.address(offset, count: length), length,
                Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            if result != length {
                if SystemError.lastCode == EINTR { continue }
                return false
            }
            FaultPoint.mailSent.pass(memory)
            sent += UInt64(count)
            ring.setSent(sent)
            FaultPoint.mailNoted.pass(memory)
        }
        return true
    }
}
