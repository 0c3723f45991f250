import SharedMemory

/// One row per process. The master writes pid, restarts and delay; turn counter, heartbeat, readiness and
/// current event belong to the process.
package struct ProcessTable: BitwiseCopyable {
    private static let rowBytes = 128
    package static var bytes: Int { ProcessID.limit * rowBytes }

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    private func cell(_ process: ProcessID, _ index: Int) -> Int {
        base + process.index * ProcessTable.rowBytes + index * 8
    }

    /// 0: not running.
    package func pid(_ process: ProcessID) -> Int32 {
        Int32(truncatingIfNeeded: memory.loadAtomic(cell(process, 0)))
    }
    package func setPid(_ pid: Int32, _ process: ProcessID) {
        memory.storeAtomic(UInt64(pid), at: cell(process, 0))
    }

    package func restarts(_ process: ProcessID) -> UInt64 { memory.loadAtomic(cell(process, 1)) }
    package func countRestart(_ process: ProcessID) {
        memory.storeAtomic(restarts(process) + 1, at: cell(process, 1))
    }

    /// Odd while the process is in a turn: it may hold offsets into tables that others replace.
    package func turn(_ process: ProcessID) -> UInt64 { memory.loadAtomic(cell(process, 2)) }

    package func beginTurn(_ process: ProcessID) {
        // A full fence: the turn must be seen to have begun before any table is read.
        _ = memory.exchange(turn(process) | 1, at: cell(process, 2))
    }

    package func endTurn(_ process: ProcessID) {
        memory.storeAtomic((turn(process) | 1) &+ 1, at: cell(process, 2))
    }

    /// Monotonic milliseconds at which the process last began a turn.
    package func heartbeat(_ process: ProcessID) -> UInt64 { memory.loadAtomic(cell(process, 3)) }
    package func beat(_ now: UInt64, _ process: ProcessID) { memory.storeAtomic(now, at: cell(process, 3)) }

    /// True once the process has attached and serves.
    package func isReady(_ process: ProcessID) -> Bool { memory.loadAtomic(cell(process, 4)) != 0 }
    package func setReady(_ ready: Bool, _ process: ProcessID) {
        memory.storeAtomic(ready ? 1 : 0, at: cell(process, 4))
    }

    /// Milliseconds that what comes for a worker, or from workers for the locator, waits until it is handled.
    package func delay(_ process: ProcessID) -> UInt64 { memory.loadAtomic(cell(process, 5)) }
    package func setDelay(_ delay: UInt64, _ process: ProcessID) {
        memory.storeAtomic(delay, at: cell(process, 5))
    }

    /// What the process is handling; see `CurrentEvent`.
    package func event(_ process: ProcessID) -> UInt64 { memory.loadAtomic(cell(process, 8)) }
    @inline(__always) package func setEvent(_ event: UInt64, _ process: ProcessID) {
        memory.storeAtomic(event, at: cell(process, 8))
    }

    /// The word that is 1 once the process has trapped: for a signal handler, where nobody waits for the process.
    @unsafe package func trapMark(_ process: ProcessID) -> UnsafeMutableRawPointer {
        unsafe memory.address(cell(process, 9), count: 8)
    }

    /// True where it has trapped since the last time that this was asked.
    package func takeTrapped(_ process: ProcessID) -> Bool { memory.exchange(0, at: cell(process, 9)) != 0 }
}
