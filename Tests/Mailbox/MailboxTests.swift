import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState
import Testing

/// A master's ring to worker 0, its mailbox, and the worker's turn.
struct Post: ~Copyable {
    let state: SharedState
    let mailbox: Mailbox
    let ring: MailRing
    let shard: Shard
    var turn: Turn
    let sender: MailSender
    var appended = 0

    init() throws {
        let sizes = ArenaSizes(workers: 2, transactions: 2000, bindings: 100)
        let planned = SharedState(
            memory: unsafe Memory(unsafe: UnsafeMutableRawPointer(bitPattern: 4096)!, size: 0), sizes: sizes)
        let memory = try Arena(name: "test", size: planned.size).memory
        mailbox = try Mailbox()
        state = SharedState(memory: memory, sizes: sizes)
        state.slots.initialize()
        ring = state.masterRing(to: .worker(0))
        shard = state.shard(0)
        turn = Turn(memory: memory, at: shard.turn)
        sender = MailSender(state: state, process: .master)
    }

    mutating func append(_ count: Int) {
        for _ in 0..<count {
            var mail = Mail(.request)
            mail.sender = .master
            mail.third = UInt64(appended)
            let fits = ring.append(mail)
            #expect(fits)
            appended += 1
        }
    }

    func flush() -> Bool { sender.flush(ring, to: .worker(0), descriptor: mailbox.writing.number) }

    mutating func receive() -> Int { MailReceiver.receive(from: mailbox.reading.number, into: turn) }

    /// Handles all that was received; the numbers of the new messages and the number of repeated ones.
    mutating func handle() -> (numbers: [UInt64], repeated: Int) {
        var numbers: [UInt64] = []
        var repeated = 0
        while let mail = turn.next() {
            turn.consume()
            if shard.seen.isNew(mail) { numbers.append(mail.third) } else { repeated += 1 }
        }
        return (numbers, repeated)
    }

    mutating func commit() {
        turn.commit()
        turn.finish()
    }
}

struct MailboxTests {
    @Test func isRaisedAboveTheNumberedDescriptors() throws {
        let mailbox = try Mailbox()
        #expect(mailbox.reading.number >= 100 && mailbox.writing.number >= 100)
        #expect(mailbox.reading.number != mailbox.writing.number)
    }

    /// Datagrams of 5, 32, 32, 3, and one message more: gaps in the array, order kept.
    @Test func receivesSeveralDatagramsInOrder() throws {
        var post = try Post()
        for count in [5, 67, 1] {
            post.append(count)
            let sent = post.flush()
            #expect(sent)
        }
        let places = post.receive()
        // The last datagram is the fifth and holds one message.
        #expect(places == 4 * Mail.batch + 1)
        let handled = post.handle()
        #expect(handled.numbers == (0..<73).map { UInt64($0) })
        #expect(handled.repeated == 0)
        post.commit()
        post.turn.clearInFlight(received: places)
        let rest = post.receive()
        #expect(rest == 0)
        let next = post.turn.next() == nil
        #expect(next)
        // Cleared to the last byte: what a shorter receive does not overwrite is not there.
        post.append(1)
        _ = post.flush()
        _ = post.receive()
        let last = post.handle()
        #expect(last.numbers == [73])
    }

    /// The same datagrams behind one another: no place is left out, however many they are.
    @Test func receivesManyDatagramsClose() throws {
        var post = try Post()
        for _ in 0..<100 {
            post.append(1)
            let sent = post.flush()
            #expect(sent)
        }
        post.append(67)
        let sent = post.flush()
        #expect(sent)
        let places = MailReceiver.receiveClose(from: post.mailbox.reading.number, into: post.turn)
        #expect(places == 167 && MailReceiver.hasRoom(behind: places))
        #expect(post.handle().numbers == (0..<167).map { UInt64($0) })
        post.commit()
        post.turn.clearInFlight(received: places)
        post.append(1000)
        _ = post.flush()
        let full = MailReceiver.receiveClose(from: post.mailbox.reading.number, into: post.turn)
        #expect(full == Turn.inFlightCapacity && !MailReceiver.hasRoom(behind: full))
        #expect(post.handle().numbers == (167..<167 + 256).map { UInt64($0) })
    }

    @Test func takesNoMoreThanItHasRoomFor() throws {
        var post = try Post()
        post.append(20 * Mail.batch)
        let sent = post.flush()
        #expect(sent)
        var numbers: [UInt64] = []
        var rounds = 0
        while true {
            let places = post.receive()
            if places == 0 { break }
            #expect(places <= Turn.inFlightCapacity)
            numbers += post.handle().numbers
            post.commit()
            post.turn.clearInFlight(received: places)
            rounds += 1
        }
        #expect(rounds == 3)
        #expect(numbers == (0..<UInt64(20 * Mail.batch)).map { $0 })
    }

    /// A full mailbox stops the sender, not the mail: it stays in the ring and goes when there is room.
    @Test func resumesAfterAFullMailbox() throws {
        var post = try Post()
        var sent = true
        while sent {
            // One message a datagram: the worst case.
            post.append(1)
            sent = post.flush()
            if post.appended > 100_000 { break }
        }
        #expect(!sent)
        #expect(post.appended > 250, "a mailbox holds a few hundred datagrams")
        #expect(post.ring.sent == post.ring.tail - 1)
        post.append(50)
        let refused = post.flush()
        #expect(!refused)
        var numbers: [UInt64] = []
        while true {
            let places = post.receive()
            if places == 0 {
                if post.ring.sent == post.ring.tail { break }
                let resumed = post.flush()
                #expect(resumed)
                continue
            }
            numbers += post.handle().numbers
            post.commit()
            post.turn.clearInFlight(received: places)
        }
        #expect(numbers == (0..<UInt64(post.appended)).map { $0 })
    }

    /// The sender dies between sending and noting it: its successor sends again, the receiver handles once.
    @Test(arguments: [0, 1, 31, 32, 40, 70])
    func handlesRepeatedMailOnce(_ noted: Int) throws {
        var post = try Post()
        post.append(70)
        _ = post.flush()
        post.ring.setSent(UInt64(noted))
        let again = post.flush()
        #expect(again)
        _ = post.receive()
        let handled = post.handle()
        #expect(handled.numbers == (0..<70).map { UInt64($0) })
        #expect(handled.repeated == 70 - noted)
    }

    /// The receiver dies with mail in its array and more in its mailbox: the successor handles all, once.
    @Test func losesNothingWithTheReceiver() throws {
        var post = try Post()
        post.append(300)
        _ = post.flush()
        _ = post.receive()
        // One turn is committed, the next is not.
        for _ in 0..<10 {
            let mail = post.turn.next()
            let new = post.shard.seen.isNew(mail!)
            #expect(new)
            post.turn.consume()
        }
        post.commit()
        let mail = post.turn.next()
        _ = post.shard.seen.isNew(mail!)
        post.turn.consume()
        // Died. The successor:
        post.turn = Turn(memory: post.state.memory, at: post.shard.turn)
        let recovery = post.turn.recover()
        #expect(recovery == .undone)
        var numbers: [UInt64] = []
        while true {
            let handled = post.handle()
            numbers += handled.numbers
            #expect(handled.repeated == 0)
            post.commit()
            post.turn.clearInFlight()
            if post.receive() == 0 { break }
        }
        #expect(numbers == (10..<300).map { UInt64($0) })
    }

    @Test func handsSlotsToTheReceiver() throws {
        var post = try Post()
        let slot = post.state.slots.take(4)
        var mail = Mail(.request)
        mail.slot = slot
        let fits = post.ring.append(mail)
        #expect(fits)
        #expect(post.state.slots.isHeld(slot, by: .master))
        // Also when the mailbox is full: the sender gives back what it holds after a flush.
        post.sender.handOver(post.ring, to: .worker(0))
        #expect(post.state.slots.isHeld(slot, by: .worker(0)))
        _ = post.flush()
        #expect(post.state.slots.isHeld(slot, by: .worker(0)))
        // A repeated flush does not take it back from whoever has it now.
        post.state.slots.hand(slot, from: .worker(0), to: .worker(1))
        post.ring.setHanded(0)
        post.ring.setSent(0)
        _ = post.flush()
        #expect(post.state.slots.isHeld(slot, by: .worker(1)))
        _ = post.receive()
        let received = post.turn.next()?.slot
        #expect(received == slot)
    }
}

/// What a loop does with a mailbox that is full.
struct PeerMailboxesTests {
    @Test func whatDoesNotFitWaitsUntilTheMailboxIsWritable() throws {
        var post = try Post()
        var poller = try Poller()
        var mailboxes = PeerMailboxes(state: post.state, process: .master, firstToken: 0x200)
        try mailboxes.add(.worker(0), post.mailbox.writing.number, poller)
        var inbox = PlainReceiver(mailbox: post.mailbox.reading.number)
        // Nobody reads, and what is free again in the ring is filled anew.
        var rounds = 0
        while post.ring.sent == post.ring.tail && rounds < 100 {
            post.append(1000)
            mailboxes.flush(post.ring, to: .worker(0), poller)
            rounds += 1
        }
        let sent = post.ring.sent
        #expect(sent < post.ring.tail && post.ring.handed == post.ring.tail)
        let early = poller.wait(milliseconds: 0)
        #expect(early == 0, "a full mailbox wakes nobody")
        // One datagram is read: a blocked mailbox is not tried again before it is said to be writable.
        let first = inbox.next()
        #expect(first?.third == 0)
        mailboxes.flush(post.ring, to: .worker(0), poller)
        #expect(post.ring.sent == sent)
        var expected: UInt64 = 1
        while expected < UInt64(post.appended), let mail = inbox.next() {
            #expect(mail.third == expected)
            expected += 1
            let events = poller.wait(milliseconds: 0)
            if events == 0 { continue }
            #expect(poller.event(0).token == 0x204 && poller.event(0).writable)
            mailboxes.resume(post.ring, to: .worker(0), poller)
        }
        #expect(expected == UInt64(post.appended), "all of it arrives, in order")
        let late = poller.wait(milliseconds: 0)
        #expect(post.ring.sent == post.ring.tail && late == 0)
    }
}

/// The master's inbox: no turn, no successor.
struct PlainReceiverTests {
    @Test func receivesEachMessageOnce() throws {
        var post = try Post()
        var inbox = PlainReceiver(mailbox: post.mailbox.reading.number)
        let nothing = inbox.next()
        #expect(nothing == nil)
        post.append(40)
        _ = post.flush()
        // The sender dies before it has noted what it sent, and another goes on.
        post.ring.setSent(35)
        post.append(2)
        _ = post.flush()
        var numbers: [UInt64] = []
        while let mail = inbox.next() { numbers.append(mail.third) }
        #expect(numbers == Array(0..<42))
    }

    @Test func sendersAreCountedApart() throws {
        let post = try Post()
        var inbox = PlainReceiver(mailbox: post.mailbox.reading.number)
        let sender = MailSender(state: post.state, process: .locator)
        for (process, number) in [(ProcessID.locator, UInt64(7)), (.worker(1), 8), (.locator, 9)] {
            var mail = Mail(.registered)
            mail.sender = process
            mail.third = number
            let ring =
                process == .locator
                ? post.state.locatorRing(to: .master) : post.state.shard(1).ring(to: .master)
            let fits = ring.append(mail)
            let sent = sender.flush(ring, to: .master, descriptor: post.mailbox.writing.number)
            #expect(fits && sent)
        }
        var numbers: [UInt64] = []
        while let mail = inbox.next() { numbers.append(mail.third) }
        #expect(numbers == [7, 8, 9])
    }
}

struct LogWriterTests {
    @Test func wakesOnceAndRespectsTheLevel() throws {
        let post = try Post()
        var log = LogWriter(state: post.state, process: .worker(0), level: 5)
        #expect(log.isWanted(.notice) && !log.isWanted(.info))
        log.note(.note, .info, "not wanted")
        #expect(post.state.log(.worker(0)).isEmpty)
        log.note(.note, .error, "wanted")
        #expect(!post.state.log(.worker(0)).isEmpty)
        let wakes = [log.takeWake(), log.takeWake()]
        #expect(wakes == [true, false])
        log.note(.note, .error, "again")
        let wake = log.takeWake()
        #expect(!wake, "the logger has not yet drained")
    }

    @Test func countsWhatItDrops() throws {
        let post = try Post()
        var log = LogWriter(state: post.state, process: .worker(1), level: 7)
        let text = String(repeating: "x", count: 900)
        for _ in 0..<LogRing.capacity / 900 + 1 { log.note(.note, .debug, text) }
        #expect(post.state.counters.total(.logEntriesDropped) > 0)
        #expect(post.state.counters.total(.logEntriesDropped) == post.state.log(.worker(1)).dropped)
    }
}
