import Glibc
import Platform
import SharedMemory
import Testing

struct ArenaTests {
    @Test func isSharedByWhoAttaches() throws {
        let arena = try Arena(name: "test", size: 1 << 20)
        #expect(arena.descriptor.number >= 100)
        let number = arena.descriptor.number
        let writer = try Arena(attaching: Descriptor(owning: try check("dup") { dup(number) }))
        let reader = try Arena(
            attaching: Descriptor(owning: try check("dup") { dup(number) }), writable: false)
        #expect(writer.memory.size == 1 << 20)
        writer.memory.storeAtomic(42, at: 4096)
        #expect(arena.memory.loadAtomic(4096) == 42)
        #expect(reader.memory.loadAtomic(4096) == 42)
        #expect(arena.memory.exchange(43, at: 4096) == 42)
        #expect(reader.memory.load(4096, as: UInt64.self) == 43)
    }

    @Test func isPrivateToItsUser() throws {
        let arena = try Arena(name: "test", size: 4096)
        var status = stat()
        #expect(unsafe fstat(arena.descriptor.number, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func placesRegionsApart() {
        var planner = LayoutPlanner(reserved: 4096)
        #expect(planner.place(1) == 4096)
        #expect(planner.place(8, alignment: 8) == 4104)
        #expect(planner.place(0) == 4160)
        #expect(planner.placeRegion(10) == 8192)
        #expect(planner.placeRegion(0) == 12288)
        #expect(planner.size == 12288)
    }

    @Test func copiesAndZeroes() throws {
        let memory = try Arena(name: "test", size: 4096).memory
        var writer = memory.writer(100, capacity: 5)
        writer.append("hello!")
        #expect(writer.overflowed)
        writer.reset()
        writer.append("hello")
        memory.copy(from: 100, to: 4091, count: 5)
        let bytes = memory.bytes(4091, count: 5)
        #expect(unsafe bytes.withUnsafeBufferPointer { unsafe Array($0) } == Array("hello".utf8))
        memory.zero(4091, count: 5)
        #expect(memory.load(4091, as: UInt8.self) == 0)
    }

    /// Offsets are ours: one outside is a bug that must not be survived.
    @Test func trapsOutsideOfTheArena() async {
        await #expect(processExitsWith: .failure) {
            let memory = try Arena(name: "test", size: 4096).memory
            _ = memory.load(4089, as: UInt64.self)
        }
        await #expect(processExitsWith: .failure) {
            let memory = try Arena(name: "test", size: 4096).memory
            memory.store(0 as UInt64, at: -8)
        }
        await #expect(processExitsWith: .failure) {
            let memory = try Arena(name: "test", size: 4096).memory
            _ = memory.bytes(Int.max, count: 8)
        }
    }
}
