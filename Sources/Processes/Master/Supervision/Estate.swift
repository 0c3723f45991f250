import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Systemd

/// What outlives a master (design §5.5): the shared memory, the keys, and both ends of every mailbox; the descriptors
/// are open as long as the process lives.
struct Estate {
    let memory: Memory
    let arena: Int32
    let keyMemory: Memory
    let keys: Int32
    /// By process number, -1 where there is no such process.
    let reading: [Int32]
    let writing: [Int32]
    /// A master before this one has made it.
    let isInherited: Bool

    var header: ArenaHeader { memory.load(0) }

    /// Masters in a row that took it over and did not come to serve: then it is given up, for the reason may lie in
    /// it.
    private static let mostFailedStarts: UInt64 = 3

    /// All fresh; the keys are drawn.
    init(_ sizes: ArenaSizes) throws(SystemError) {
        var reading = [Int32](repeating: -1, count: ProcessID.limit)
        var writing = reading
        for process in ProcessID.all(workers: Int(sizes.workers)) {
            let ends = try Mailbox().takeEnds()
            reading[process.index] = ends.reading
            writing[process.index] = ends.writing
        }
        let arena = try Arena(name: "sipfork", size: SharedState.bytes(sizes))
        var header = ArenaHeader(layoutHash: StateLayout.hash, sizes: sizes)
        header.masters = 1
        let keyArena = try Arena(name: "sipfork-keys", size: Keys.bytes)
        try Keys.generate(in: keyArena.memory)
        arena.memory.store(header, at: 0)
        (memory, self.arena) = arena.keep()
        (keyMemory, keys) = keyArena.keep()
        self.reading = reading
        self.writing = writing
        isInherited = false
    }

    /// That of a former master, once no process of its time lives any more; throws where it cannot be used.
    init(_ left: inout Inheritance) throws(Unusable) {
        let arena = try Estate.arena(left.take(Inheritance.arena))
        let keyArena = try Estate.attach(left.take(Inheritance.keys))
        guard keyArena.memory.size == Keys.bytes else { throw Unusable(reason: "its keys are damaged") }
        var reading = [Int32](repeating: -1, count: ProcessID.limit)
        var writing = reading
        var header: ArenaHeader = arena.memory.load(0)
        let processes = ProcessID.all(workers: Int(header.sizes.workers))
        for process in processes {
            for name in [Inheritance.reading(process), Inheritance.writing(process)]
            where !left.hasMailbox(name) {
                throw Unusable(reason: "its mailbox \"\(name)\" is missing")
            }
        }
        for process in processes {
            reading[process.index] = try left.take(Inheritance.reading(process))
            writing[process.index] = try left.take(Inheritance.writing(process))
        }
        // Before anything else of it is read: that may be what ends this process.
        header.masters &+= 1
        header.failedStarts &+= 1
        arena.memory.store(header, at: 0)
        (memory, self.arena) = arena.keep()
        (keyMemory, keys) = keyArena.keep()
        self.reading = reading
        self.writing = writing
        isInherited = true
    }

    /// - Parameter count: starts on this memory that have failed, this one included as long as it does not serve.
    func setFailedStarts(_ count: UInt64) {
        var header = header
        header.failedStarts = count
        memory.store(header, at: 0)
    }

    private static func attach(_ number: Int32) throws(Unusable) -> Arena {
        do throws(SystemError) {
            return try Arena(attaching: Descriptor(owning: number))
        } catch {
            throw Unusable(reason: "\(error)")
        }
    }

    private static func arena(_ number: Int32) throws(Unusable) -> Arena {
        let arena = try attach(number)
        do throws(SystemError) { try arena.endClaimants() } catch { throw Unusable(reason: "\(error)") }
        do throws(Unusable) { try check(arena) } catch {
            // Or as much memory again would be held as long as this process lives.
            unsafe arena.memory.unmap()
            throw error
        }
        return arena
    }

    private static func check(_ arena: borrowing Arena) throws(Unusable) {
        guard arena.memory.size >= SharedState.headerBytes else { throw Unusable(reason: "it is damaged") }
        let header: ArenaHeader = arena.memory.load(0)
        guard header.magic == ArenaHeader.magic, header.layoutHash == StateLayout.hash else {
            throw Unusable(reason: "it has the layout of another version")
        }
        guard header.sizes.isPlausible, SharedState.bytes(header.sizes) == arena.memory.size else {
            throw Unusable(reason: "it is damaged")
        }
        guard header.failedStarts < mostFailedStarts else {
            throw Unusable(reason: "\(header.failedStarts) starts on it have failed")
        }
    }

    /// Has systemd keep all of it for the next master.
    func store(in store: DescriptorStore) {
        store.keep(arena, Inheritance.arena)
        store.keep(keys, Inheritance.keys)
        for number in reading.indices where reading[number] >= 0 {
            let process = ProcessID(rawValue: UInt8(number))
            store.keep(reading[number], Inheritance.reading(process))
            store.keep(writing[number], Inheritance.writing(process))
        }
    }
}
