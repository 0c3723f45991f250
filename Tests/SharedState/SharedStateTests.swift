import Platform
import SharedMemory
import SharedState
import Testing

struct SharedStateTests {
    @Test(arguments: [(1, 1), (2, 5000), (64, 1_048_576)])
    func attachesToTheSamePlaces(_ workers: Int, _ transactions: Int) throws {
        let made = try TestArena(workers: workers, transactions: transactions).state
        let attached = SharedState(attaching: made.memory)
        #expect(attached.size == made.size)
        #expect(attached.size <= made.memory.size)
        #expect(attached.sizes == made.sizes)
        #expect(attached.header.layoutHash == SharedState.layoutHash)
        #expect(attached.header.magic == ArenaHeader.magic)
        #expect(attached.locatorTurn == made.locatorTurn)
        for worker in [0, workers - 1] {
            #expect(attached.shard(worker).turn == made.shard(worker).turn)
            #expect(attached.shard(worker).table.offset(1) == made.shard(worker).table.offset(1))
        }
        // The last cell of every structure of the last worker lies inside.
        let shard = attached.shard(workers - 1)
        let records = Int(attached.sizes.records)
        #expect(shard.table.offset(UInt32(records)) + TransactionTable.recordBytes <= attached.size)
        #expect(Turn(memory: made.memory, at: shard.turn).undo.count == 0)
        let slots = attached.slots
        for index in [0, slots.smallCount - 1, slots.smallCount, slots.count - 1] {
            #expect(slots.bytesOffset(index) + slots.capacity(index) <= attached.size)
        }
        // What one writes the other reads.
        attached.counters.add(.messagesSent, .worker(workers - 1), 5)
        #expect(made.counters.total(.messagesSent) == 5)
        attached.log(.logger).rearm()
        #expect(made.log(.logger).wantsWake())
        #expect(!attached.log(.logger).wantsWake())
    }

    /// A damaged header must not have a master plan what no memory holds.
    @Test func sizesOfNoBuildAreRecognised() {
        #expect(ArenaSizes(workers: 1, transactions: 1, bindings: 1).isPlausible)
        #expect(ArenaSizes(workers: 64, transactions: 16_777_216, bindings: 16_777_216).isPlausible)
        let changes: [(inout ArenaSizes) -> Void] = [
            { $0.workers = 0 }, { $0.workers = 65 }, { $0.records = .max }, { $0.bindings = .max },
            { $0.transactions = .max }, { $0.smallSlots = 1 }, { $0.largeSlots = .max },
        ]
        for change in changes {
            var sizes = ArenaSizes(workers: 2, transactions: 1000, bindings: 1000)
            change(&sizes)
            #expect(!sizes.isPlausible)
        }
    }

    /// Every cell and ring of every part is written once with a number of its own and read again: nothing
    /// overlaps.
    @Test func overlapsNowhere() throws {
        let state = try TestArena(workers: 3, transactions: 300).state
        func end(_ ring: MailRing) -> Int {
            ring.stretch(from: 0).offset + (MailRing.capacity - 1) * Mail.bytes
        }
        let marks = { () -> [(Int, String)] in
            var places: [(Int, String)] = []
            for index in 0..<ProcessID.limit {
                let process = ProcessID(rawValue: UInt8(index))
                _ = state.log(process)
                for worker in 0..<3 {
                    let ring = state.shard(worker).ring(to: process)
                    places.append((ring.stretch(from: 0).offset, "ring \(worker) \(index)"))
                    places.append((end(ring), "ring end \(worker) \(index)"))
                }
                places.append((end(state.masterRing(to: process)), "master ring \(index)"))
                places.append(
                    (state.locatorRing(to: process).stretch(from: 0).offset, "locator ring \(index)"))
            }
            for worker in 0..<3 {
                for cell in 1...state.sizes.records {
                    places.append((state.shard(worker).table.offset(cell), "record \(worker) \(cell)"))
                    places.append(
                        (state.shard(worker).table.offset(cell) + 312, "record end \(worker) \(cell)"))
                }
            }
            for slot in 0..<state.slots.count {
                places.append((state.slots.bytesOffset(slot), "slot \(slot)"))
                places.append(
                    (state.slots.bytesOffset(slot) + state.slots.capacity(slot) - 8, "slot end \(slot)"))
            }
            return places
        }()
        for (number, place) in marks.enumerated() { state.memory.store(UInt64(number + 1), at: place.0) }
        for (number, place) in marks.enumerated() {
            #expect(state.memory.load(place.0, as: UInt64.self) == UInt64(number + 1), "\(place.1)")
        }
        #expect(state.header.layoutHash == SharedState.layoutHash)
        for worker in 0..<3 { #expect(state.shard(worker).table.pool.inUse == 0) }
    }

    @Test func hasTheSizesThatItsLayoutSays() {
        #expect(MemoryLayout<Mail>.size == Mail.bytes)
        #expect(MemoryLayout<OutboxEntry>.size == OutboxEntry.bytes)
        #expect(MemoryLayout<RecordHeader>.size == RecordHeader.bytes)
        #expect(MemoryLayout<SlotHeader>.size <= Slots.headerBytes)
        #expect(MemoryLayout<SlotHeader>.size % 8 == 0)
        #expect(Counter.allCases.count <= 64)
        #expect(Slots.smallCapacity == 3328)
    }

    @Test func namesItsCounters() {
        #expect(Counter.messagesReceived.name == "messages_received")
        #expect(Counter.droppedNotSip.name == "dropped_not_sip")
        #expect(Set(Counter.allCases.map(\.name)).count == Counter.allCases.count)
    }

    @Test func countsPerProcess() throws {
        let counters = try TestArena().state.counters
        counters.add(.callsFailed, .worker(0))
        counters.add(.callsFailed, .worker(63), 2)
        counters.add(.callsFailed, .master)
        counters.add(.callsAnswered, .master, 100)
        #expect(counters.total(.callsFailed) == 4)
        #expect(counters.total(.forksStarted) == 0)
    }

    @Test func knowsItsProcesses() throws {
        let processes = try TestArena().state.processes
        processes.setPid(4711, .worker(1))
        processes.countRestart(.worker(1))
        processes.countRestart(.worker(1))
        processes.setReady(true, .worker(1))
        processes.beat(1234, .worker(1))
        #expect(
            processes.pid(.worker(1)) == 4711 && processes.pid(.worker(0)) == 0
                && processes.pid(.worker(2)) == 0)
        #expect(processes.restarts(.worker(1)) == 2)
        #expect(processes.isReady(.worker(1)) && !processes.isReady(.locator))
        #expect(processes.heartbeat(.worker(1)) == 1234)
        #expect(processes.turn(.worker(1)) == 0)
        processes.beginTurn(.worker(1))
        #expect(processes.turn(.worker(1)) == 1)
        // A successor of one that died in a turn.
        processes.beginTurn(.worker(1))
        #expect(processes.turn(.worker(1)) == 1)
        processes.endTurn(.worker(1))
        #expect(processes.turn(.worker(1)) == 2)
    }

    @Test func packsReferences() {
        let transaction = TransactionReference(worker: 63, cell: .max, generation: 0xFF_FFFF)
        #expect(transaction.worker == 63 && transaction.cell == .max && transaction.generation == 0xFF_FFFF)
        #expect(TransactionReference(worker: 0, cell: 1, generation: 0x100_0000).generation == 0)
        let stored = StoredReference(sizeClass: 9, cell: 7, generation: 0x1FF_FFFF)
        #expect(stored.sizeClass == 9 && stored.cell == 7 && stored.generation == 0xFF_FFFF)
        let slot = SlotReference(index: 0, generation: 0)
        #expect(!slot.isNone && slot.index == 0 && slot.generation == 0)
        #expect(SlotReference.none.isNone && StoredReference.none.isNone && TransactionReference.none.isNone)
    }

    @Test func knowsWhoMaySendWhat() {
        let all = (0..<UInt8(ProcessID.limit)).map { ProcessID(rawValue: $0) }
        for sender in all {
            for receiver in all {
                #expect(!MailGraph.allows(.none, from: sender, to: receiver))
                #expect(
                    MailGraph.allows(.request, from: sender, to: receiver)
                        == (sender == .master && receiver.rawValue >= 4))
                #expect(
                    MailGraph.allows(.forkStart, from: sender, to: receiver)
                        == (sender.rawValue >= 4 && receiver.rawValue >= 4))
                #expect(
                    MailGraph.allows(.register, from: sender, to: receiver)
                        == ((sender.rawValue >= 4 || sender == .master) && receiver == .locator))
                #expect(
                    MailGraph.allows(.registered, from: sender, to: receiver)
                        == (sender == .locator && (receiver.rawValue >= 4 || receiver == .master)))
                #expect(MailGraph.allows(.logged, from: sender, to: receiver) == (receiver == .logger))
            }
        }
    }

    /// Who holds the writing end of whose mailbox.
    @Test func knowsWhoIsConnected() {
        let all: [ProcessID] = [.master, .locator, .resolver, .logger, .worker(0), .worker(1)]
        func receivers(_ sender: ProcessID) -> [ProcessID] { all.filter { MailGraph.connects(sender, $0) } }
        #expect(receivers(.master) == [.locator, .resolver, .logger, .worker(0), .worker(1)])
        #expect(receivers(.locator) == [.master, .logger, .worker(0), .worker(1)])
        #expect(receivers(.worker(0)) == [.master, .locator, .resolver, .logger, .worker(1)])
        #expect(receivers(.resolver) == [.master, .logger, .worker(0), .worker(1)])
        #expect(receivers(.logger) == [])
    }
}
