import Platform
import SharedMemory
import SharedState
import Testing

/// A worker reduced to its turn: each message adds its number to a cell of the shard and sends one datagram.
struct TinyWorker {
    let state: SharedState
    let shard: Shard
    var turn: Turn
    /// Offset of a record that stands for the shard's data.
    let cell: Int
    /// What was flushed, by whichever process: numbers of messages.
    var left: [UInt64] = []

    /// Where the process dies.
    enum Death: Int, CaseIterable {
        case never, afterHandling, afterCommit, afterFlush, betweenForgetAndStore, afterFinish, whileClearing
    }

    init() throws {
        state = try TestArena(workers: 1).state
        shard = state.shard(0)
        turn = Turn(memory: state.memory, at: shard.turn)
        cell = shard.table.offset(1)
    }

    var sum: UInt64 { state.memory.load(cell) }

    func put(_ number: UInt64, at place: Int) {
        var mail = Mail(.forkDone)
        mail.third = number
        unsafe (turn.mailAddress + place * Mail.bytes).storeBytes(of: mail, as: Mail.self)
    }

    mutating func handle(_ mail: Mail) {
        shard.undo.write(sum + mail.third, at: cell)
        let sent = turn.send(
            OutboxEntry(offset: Int(mail.third), count: 0, to: Endpoint()))
        #expect(sent)
        turn.consume()
    }

    mutating func flush() {
        for index in 0..<turn.entryCount { left.append(turn.entry(index).first) }
    }

    /// Handles `perTurn` messages a turn until none is left, or until the process dies in turn `fatal`; true
    /// where it came to the end.
    mutating func run(perTurn: Int, fatal: Int, death: Death) -> Bool {
        var number = 0
        while true {
            var handled = 0
            while handled < perTurn, let mail = turn.next() {
                handle(mail)
                handled += 1
            }
            let dies = number == fatal
            number += 1
            if dies && death == .afterHandling { return false }
            turn.commit()
            if dies && death == .afterCommit { return false }
            flush()
            if dies && death == .afterFlush { return false }
            if dies && death == .betweenForgetAndStore {
                shard.undo.forget()
                return false
            }
            turn.finish()
            if dies && death == .afterFinish { return false }
            if turn.next() == nil {
                if death == .whileClearing {
                    state.memory.zero(shard.turn + 64, count: 40 * Mail.bytes)
                    return false
                }
                turn.clearInFlight()
                return true
            }
        }
    }

    /// The successor: a new process has nothing but the arena.
    mutating func restart() -> Turn.Recovery {
        turn = Turn(memory: state.memory, at: shard.turn)
        let recovery = turn.recover()
        if recovery == .flush {
            flush()
            turn.finish()
        }
        return recovery
    }
}

struct TurnTests {
    /// Three datagrams of 3, 32 and 1 messages, and one more behind an empty place.
    static let places = [0, 1, 2] + Array(32..<64) + [64, 128]

    @Test func skipsToTheNextDatagram() throws {
        var worker = try TinyWorker()
        for place in TurnTests.places { worker.put(UInt64(place + 1), at: place) }
        var found: [UInt64] = []
        while let mail = worker.turn.next() {
            found.append(mail.third)
            worker.turn.consume()
        }
        // The place of the datagram at 96 was never filled: what lies behind an empty datagram is found as
        // well.
        #expect(found == TurnTests.places.map { UInt64($0 + 1) })
        worker.turn.commit()
        worker.turn.finish()
        worker.turn.clearInFlight()
        do {
            let number = worker.turn.nextNumber()
            #expect(number == nil)
        }
        do {
            let recovery = worker.turn.recover()
            #expect(recovery == .clean)
        }
    }

    /// Slots are given back behind it: what a successor sent again from one could be another's message.
    @Test func whatHasLeftIsForgottenBeforeTheTurnEnds() throws {
        var worker = try TinyWorker()
        worker.put(5, at: 0)
        worker.handle(worker.turn.next()!)
        worker.turn.commit()
        worker.turn.forgetOutbox()
        do {
            let recovery = worker.restart()
            #expect(recovery == .flush)
        }
        #expect(worker.left.isEmpty && worker.sum == 5)
        do {
            let number = worker.turn.nextNumber()
            #expect(number == nil)
        }
    }

    @Test func takesBackWhatWasNotCommitted() throws {
        var worker = try TinyWorker()
        worker.put(5, at: 0)
        worker.handle(worker.turn.next()!)
        #expect(worker.sum == 5)
        do {
            let recovery = worker.restart()
            #expect(recovery == .undone)
        }
        #expect(worker.sum == 0 && worker.turn.entryCount == 0 && worker.left.isEmpty)
        do {
            let number = worker.turn.nextNumber()
            #expect(number == 5)
        }
    }

    @Test func flushesAgainWhatWasCommitted() throws {
        var worker = try TinyWorker()
        worker.put(5, at: 0)
        worker.put(6, at: 1)
        worker.handle(worker.turn.next()!)
        worker.turn.commit()
        do {
            let recovery = worker.restart()
            #expect(recovery == .flush)
        }
        #expect(worker.left == [5] && worker.sum == 5)
        do {
            let number = worker.turn.nextNumber()
            #expect(number == 6)
        }
        do {
            let recovery = worker.restart()
            #expect(recovery == .undone)
        }
        do {
            let number = worker.turn.nextNumber()
            #expect(number == 6)
        }
    }

    /// Received, and died before anything was handled: the mail is there.
    @Test func keepsMailThatWasNeverLookedAt() throws {
        var worker = try TinyWorker()
        worker.put(5, at: 32)
        do {
            let recovery = worker.restart()
            #expect(recovery == .undone)
        }
        do {
            let number = worker.turn.nextNumber()
            #expect(number == 5)
        }
    }

    /// Every death in every turn, with every number of messages a turn: the shard ends as if nothing had
    /// happened, all datagrams left, at most those of one turn twice.
    @Test(arguments: TinyWorker.Death.allCases, [1, 2, 5, 32, 100])
    func survivesEveryDeath(_ death: TinyWorker.Death, _ perTurn: Int) throws {
        let numbers = TurnTests.places.map { UInt64($0 + 1) }
        for fatal in 0...(numbers.count / perTurn + 1) {
            var worker = try TinyWorker()
            for place in TurnTests.places { worker.put(UInt64(place + 1), at: place) }
            if !worker.run(perTurn: perTurn, fatal: fatal, death: death) {
                _ = worker.restart()
                let ended = worker.run(perTurn: perTurn, fatal: -1, death: .never)
                #expect(ended)
            }
            #expect(worker.sum == numbers.reduce(0, +))
            #expect(Set(worker.left) == Set(numbers))
            #expect(worker.left.count <= numbers.count + perTurn)
            do {
                let recovery = worker.turn.recover()
                #expect(recovery == .clean)
            }
            // The next mail is seen.
            worker.put(1, at: 0)
            do {
                let number = worker.turn.nextNumber()
                #expect(number == 1)
            }
        }
    }

    /// A turn that only a timer began finds no mail; what is received after it is seen.
    @Test func isNotMovedByLooking() throws {
        var worker = try TinyWorker()
        for _ in 0..<2 {
            let nothing = worker.turn.next() == nil
            #expect(nothing)
            worker.turn.commit()
            worker.turn.finish()
        }
        worker.put(7, at: 0)
        do {
            let number = worker.turn.nextNumber()
            #expect(number == 7)
        }
    }

    @Test func countsItsRoom() throws {
        var worker = try TinyWorker()
        let entry = OutboxEntry(offset: 0, count: 0, to: Endpoint())
        for _ in 0..<Turn.outboxCapacity {
            let sent = worker.turn.send(entry)
            #expect(sent)
        }
        #expect(worker.turn.isFilling)
        let refused = !worker.turn.send(entry)
        #expect(refused)
        worker.turn.commit()
        worker.turn.finish()
        #expect(!worker.turn.isFilling && worker.turn.entryCount == 0)
        let first = worker.turn.scratchOffset()
        worker.turn.keepScratch(5)
        #expect(worker.turn.scratchOffset() == first + 8)
        while worker.turn.scratchRoom >= 1000 { worker.turn.keepScratch(worker.turn.scratchRoom) }
        #expect(worker.turn.isFilling)
        #expect(worker.turn.scratchOffset() + worker.turn.scratchRoom <= first + Turn.scratchBytes)
        worker.turn.commit()
        worker.turn.finish()
        #expect(worker.turn.scratchOffset() == first)
    }
}
