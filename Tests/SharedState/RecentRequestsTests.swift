import Platform
import SharedMemory
import Testing

@testable import SharedState

/// Which requests are known when they come again.
struct RecentRequestsTests {
    private let hash = KeyedHash(key0: 3, key1: 4)

    private func key(_ number: Int, cseq: UInt32 = 1, method: UInt8 = 0) -> UInt64 {
        var call = hash
        call.combine(UInt64(number))
        return RecentRequests.key(call: call.finalize(), cseq: cseq, method: method)
    }

    @Test func knowsWhatWasAdded() throws {
        let recent = try TestArena().state.recentRequests
        recent.age(now: 100_000, life: 32_000)
        #expect(!recent.contains(key(1)))
        recent.add(key(1))
        #expect(recent.contains(key(1)))
        #expect(!recent.contains(key(2)))
        #expect(!recent.contains(key(1, cseq: 2)), "the next request of the same call")
        #expect(!recent.contains(key(1, method: 1)))
    }

    @Test func forgetsAfterOnceToTwiceTheTime() throws {
        let recent = try TestArena().state.recentRequests
        recent.age(now: 100_000, life: 32_000)
        recent.add(key(1))
        recent.age(now: 131_999, life: 32_000)
        recent.add(key(2))
        recent.age(now: 132_000, life: 32_000)
        recent.add(key(3))
        #expect(recent.contains(key(1)) && recent.contains(key(2)) && recent.contains(key(3)))
        recent.age(now: 163_999, life: 32_000)
        #expect(recent.contains(key(2)), "within its time")
        recent.age(now: 164_000, life: 32_000)
        #expect(!recent.contains(key(1)) && !recent.contains(key(2)) && recent.contains(key(3)))
    }

    @Test func forgetsAllAfterASilence() throws {
        let recent = try TestArena().state.recentRequests
        recent.age(now: 100_000, life: 3200)
        recent.add(key(1))
        recent.age(now: 103_200, life: 3200)
        recent.add(key(2))
        recent.age(now: 109_600, life: 3200)
        #expect(!recent.contains(key(1)) && !recent.contains(key(2)))
    }

    /// Two masters, one after the other.
    @Test func survivesItsWriter() throws {
        let arena = try TestArena()
        arena.state.recentRequests.age(now: 100_000, life: 32_000)
        arena.state.recentRequests.add(key(1))
        let next = SharedState(attaching: arena.state.memory).recentRequests
        next.age(now: 120_000, life: 32_000)
        #expect(next.contains(key(1)))
    }

    /// 5,000 a second for 64·T1.
    @Test func mistakesFew() throws {
        let recent = try TestArena().state.recentRequests
        for number in 0..<160_000 { recent.add(key(number)) }
        #expect((0..<160_000).allSatisfy { recent.contains(key($0)) })
        let mistaken = (0..<100_000).count { recent.contains(key(1_000_000 + $0)) }
        #expect(mistaken < 200, "\(mistaken) of 100,000")
    }
}
