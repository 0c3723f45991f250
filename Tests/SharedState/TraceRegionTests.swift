import Platform
import SharedMemory
import Testing

@testable import SharedState

/// Which calls are traced.
struct TraceRegionTests {
    private func region() throws -> TraceRegion {
        let region = try TestArena().state.trace
        try region.initialize()
        return region
    }

    private func isMarked(_ region: TraceRegion, _ callID: String) -> Bool {
        region.isMarked(Array(callID.utf8).span)
    }

    private func note(_ region: TraceRegion, _ callID: String) { region.note(Array(callID.utf8).span) }

    @Test func isOffAtFirst() throws {
        let region = try region()
        #expect(!region.isOn && region.filter == nil && region.calls == 0)
        #expect(!isMarked(region, "") && !isMarked(region, "a"))
    }

    @Test func remembersCallsUntilItIsTurned() throws {
        let region = try region()
        region.begin(Array("alice".utf8), since: 77)
        #expect(region.isOn && region.filter == Array("alice".utf8) && region.since == 77)
        note(region, "a")
        note(region, "b")
        note(region, "a")
        #expect(isMarked(region, "a") && isMarked(region, "b") && !isMarked(region, "c"))
        #expect(region.calls == 2)
        // Also messages without a Call-ID.
        note(region, "")
        #expect(isMarked(region, "") && region.calls == 3)
        region.begin([], since: 78)
        #expect(region.isOn && region.filter == [] && region.calls == 0 && !isMarked(region, "a"))
        note(region, "a")
        region.end()
        #expect(!region.isOn && region.filter == nil && !isMarked(region, "a"))
    }

    @Test func keepsTheLastOfManyCalls() throws {
        let region = try region()
        region.begin([UInt8](repeating: 0x78, count: TraceRegion.longestFilter), since: 1)
        #expect(region.filter?.count == TraceRegion.longestFilter)
        for number in 0..<10_000 {
            note(region, "call \(number)")
            #expect(isMarked(region, "call \(number)"))
        }
        #expect(region.calls == 10_000)
        let kept = (0..<10_000).count { isMarked(region, "call \($0)") }
        #expect(kept > 900 && kept <= TraceRegion.markCount)
    }
}
