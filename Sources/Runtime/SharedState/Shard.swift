import Platform
import SharedMemory

/// What one worker owns: records, timers, stored messages, mail on its way, and the turn that guards them
/// all.
package struct Shard: BitwiseCopyable {
    package let undo: UndoLog
    package let table: TransactionTable
    package let wheel: TimerWheel
    package let stored: StoredMessages
    package let seen: SeenMail
    /// Offset of the turn region.
    package let turn: Int
    private let memory: Memory
    private let header: Int
    private let rings: Int

    /// Where a shard of `records` records has its parts.
    package struct Plan: BitwiseCopyable {
        private(set) var header: Int
        private(set) var buckets: Int
        private(set) var cells: Int
        private(set) var stored: Int
        private(set) var rings: Int
        private(set) var turn: Int
        let records: Int

        package init(_ planner: inout LayoutPlanner, records: Int) {
            self.records = records
            header = planner.placeRegion(8192)
            buckets = planner.placeRegion(TransactionTable.bucketCount(records: records) * 4)
            cells = planner.placeRegion(records * TransactionTable.recordBytes)
            stored = planner.placeRegion(StoredMessages.bytes(records: records))
            rings = planner.placeRegion(ProcessID.limit * MailRing.bytes)
            turn = planner.placeRegion(Turn.bytes)
        }

        /// The same parts `distance` bytes on.
        func moved(by distance: Int) -> Plan {
            var copy = self
            copy.header += distance
            copy.buckets += distance
            copy.cells += distance
            copy.stored += distance
            copy.rings += distance
            copy.turn += distance
            return copy
        }
    }

    package init(memory: Memory, plan: Plan) {
        self.memory = memory
        header = plan.header
        rings = plan.rings
        turn = plan.turn
        undo = Turn(memory: memory, at: plan.turn).undo
        // Header page: live count, master, buckets, pools, timer wheel, sequence numbers.
        var planner = LayoutPlanner(reserved: plan.header + 64)
        let pool = planner.place(Pool.headerBytes, alignment: 8)
        let classes = planner.place(StoredMessages.headerBytes, alignment: 8)
        let timers = planner.place(TimerWheel.bytes, alignment: 8)
        let numbers = planner.place(SeenMail.bytes, alignment: 8)
        precondition(planner.size <= plan.header + 8192)
        table = TransactionTable(
            log: undo, header: pool, cells: plan.cells, records: plan.records, buckets: plan.buckets,
            grown: plan.header + 16)
        stored = StoredMessages(log: undo, headers: classes, cells: plan.stored, records: plan.records)
        wheel = TimerWheel(table: table, at: timers)
        seen = SeenMail(log: undo, at: numbers)
    }

    package func initialize(now: UInt64) { wheel.initialize(now: now) }

    /// Mail from this worker to `receiver`.
    package func ring(to receiver: ProcessID) -> MailRing {
        MailRing(memory: memory, at: rings + receiver.index * MailRing.bytes)
    }

    /// Server transactions alive.
    package var serverTransactions: Int { Int(memory.loadAtomic(header)) }
    package func setServerTransactions(_ count: Int) { undo.write(UInt64(count), at: header) }

    /// The master under which this worker last recovered: `ArenaHeader.masters`.
    package var master: UInt64 { memory.loadAtomic(header + 8) }
    package func setMaster(_ number: UInt64) { undo.write(number, at: header + 8) }

    /// Lets the new turn use what earlier turns freed.
    package func recycle() {
        table.pool.recycle()
        stored.recycle()
    }
}
