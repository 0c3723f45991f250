import SharedMemory
import Testing

@testable import SharedState

struct GuardedRingTests {
    @Test func keepsTheLastOnes() throws {
        let ring = try TestArena().state.remarks
        #expect(ring.count == 0 && ring.numbers.isEmpty && ring.element(0) == nil)
        for number in 0..<20 {
            var remark = Remark()
            remark.time = UInt64(number)
            ring.append(remark)
        }
        #expect(ring.numbers == 12..<20)
        #expect(ring.numbers.map { ring.element($0)?.time } == (12..<20).map { UInt64($0) })
        // Replaced, and not there yet.
        #expect(ring.element(11) == nil && ring.element(20) == nil)
    }

    /// The cell says 0 while it is being written; a writer that dies then leaves the count, and its successor
    /// writes the same cell.
    @Test func whatIsHalfWrittenDoesNotCount() throws {
        let memory = try Arena(name: "test", size: 4096).memory
        let ring = GuardedRing<UInt64>(memory: memory, at: 0, capacity: 4)
        for number in 0..<6 { ring.append(UInt64(100 + number)) }
        let cell = 8 + 2 * GuardedRing<UInt64>.cellBytes
        memory.storeAtomic(0, at: cell)
        #expect((2..<6).map { ring.element($0) } == [nil, 103, 104, 105])
        ring.append(106)
        #expect(ring.numbers.map { ring.element($0) } == [103, 104, 105, 106])
    }

    @Test func remarksHaveAText() {
        var remark = Remark()
        #expect(remark.text == "" && remark.eventName == "none")
        remark.event = LogEvent.hopFailed.rawValue
        setText(&remark, Array("next hop é".utf8))
        #expect(remark.text == "next hop é" && remark.eventName == "hop-failed")
        setText(&remark, [UInt8](repeating: 0x61, count: 300))
        #expect(remark.text.utf8.count == Remark.maximumText)
        remark.event = Remark.logDropped
        #expect(remark.eventName == "log-dropped")
        #expect(LogEvent(rawValue: Remark.logDropped) == nil, "no event has its number")
    }

    // Spans cannot go through the macros of the tests.
    private func setText(_ remark: inout Remark, _ bytes: [UInt8]) { remark.setText(bytes.span) }

    @Test func everyProcessHasItsTimeInASample() {
        #expect(LoadSample().processorTime.count == ProcessID.limit)
    }
}

struct CounterTests {
    @Test func cellsDoNotMeet() throws {
        let counters = try TestArena().state.counters
        for counter in Counter.allCases { counters.add(counter, .master) }
        for gauge in Gauge.allCases { counters.set(gauge, 7) }
        for counter in Counter.allCases { #expect(counters.total(counter) == 1, "\(counter)") }
    }

    @Test func helpIsASentenceOfItsOwn() {
        #expect(Set(Counter.allCases.map(\.help)).count == Counter.allCases.count)
        for counter in Counter.allCases {
            #expect(counter.help.first?.isUppercase == true && counter.help.last != ".", "\(counter)")
        }
    }
}
