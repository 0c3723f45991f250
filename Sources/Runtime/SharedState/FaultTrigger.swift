#if DEBUG
    import Glibc
    import Platform
    import SharedMemory

    /// A handler that, in debug builds, traps or hangs on what a test says: on messages that contain a name.
    ///
    ///     first page of the arena, from 3584 on:  | handler : 63, hangs : 1 | length : 64 | name : 64 bytes |
    ///
    /// It stays armed: the successor, which does the same again, meets the same.
    package enum FaultTrigger: UInt64, CaseIterable {
        case worker = 1
        /// Of a worker: timers of forks.
        case timer
        case locator, resolver, master

        private static let armed = 3584
        private static let name = 3600
        private static let longestName = 64

        package static func disarm(_ memory: Memory) { memory.storeAtomic(0, at: armed) }

        package func arm(_ memory: Memory, name: [UInt8], hangs: Bool = false) {
            FaultTrigger.disarm(memory)
            let count = min(name.count, FaultTrigger.longestName)
            for index in 0..<count { memory.store(name[index], at: FaultTrigger.name + index) }
            memory.storeAtomic(UInt64(count), at: FaultTrigger.armed + 8)
            memory.storeAtomic(rawValue << 1 | (hangs ? 1 : 0), at: FaultTrigger.armed)
        }

        /// Does nothing, but where this handler is armed and the text contains the name.
        package func meet(_ text: Span<UInt8>, _ memory: Memory) {
            let word = memory.loadAtomic(FaultTrigger.armed)
            guard word >> 1 == rawValue else { return }
            let count = min(Int(memory.loadAtomic(FaultTrigger.armed + 8)), FaultTrigger.longestName)
            let name = memory.bytes(FaultTrigger.name, count: count)
            guard FaultTrigger.contains(text, name) else { return }
            if word & 1 == 0 { fatalError("as a test wants it") }
            while true { sleep(1) }
        }

        private static func contains(_ text: Span<UInt8>, _ name: Span<UInt8>) -> Bool {
            if name.isEmpty || text.count < name.count { return false }
            for start in 0...text.count - name.count {
                var length = 0
                while length < name.count && text[start + length] == name[length] { length += 1 }
                if length == name.count { return true }
            }
            return false
        }
    }
#endif
