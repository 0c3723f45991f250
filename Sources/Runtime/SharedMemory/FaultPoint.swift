#if DEBUG
    import Glibc
#endif

/// A place between two steps of a turn, where a debug build can be told to die. Nothing in a release build.
///
///     first page of the arena, from 2048 on:
///     | armed : 64 | countdown : 64 | pid : 64 | next : 64 | … | hits of point 0 : 64 | hits of 1 : 64 | …
///
/// `armed` is a point's number and 1; 0: none. Who passes it for the `countdown`th time kills itself; with
/// `pid`, only that process counts. With the deed `next`, a number likewise, is armed for all, or none, so
/// that the successor lives.
package enum FaultPoint: Int, CaseIterable {
    // Every write to a worker's shard or to the location table.
    case undoNoted, undoLogged, undoWritten, undoTaken, undoForgotten
    // A turn's end, of workers and the locator.
    case turnCommitted, outboxForgotten, turnForgotten, turnFinished, arrayHalfCleared, arrayCleared
    // Mail, of all who send some.
    case mailPlaced, mailAppended, slotHanded, ringHanded, mailSent, mailNoted, slotReleased
    // Mail outside of turns: master and resolver.
    case mailTaken
    // Log entries, of all who make some.
    case entryWritten, entryAppended, loggerTold
    case workerAttached, workerRecovered, workerReady, workerWoken, workerReceived, workerBegun
    case workerHandled, workerExpired, workerWorked, workerFlushed, workerEnded
    case datagramsSent, outboxSent
    case locatorAttached, locatorRecovered, locatorOpened, locatorReady, locatorReceived, locatorHandled
    case locatorStoring, locatorStored, locatorPublished, locatorAnswered, locatorSettled, locatorEnded
    case locatorSwept
    case resolverReady, resolverWoken, resolverAsked, resolverAdvanced, resolverFinished, resolverTold
    case cacheOpened, cacheFilled, cacheKept
    case loggerReady, loggerWoken, loggerRearmed, entryRead, entryRemarked, entryPrinted, entryDropped
    case masterWoken, slotTaken, datagramsReceived, messagePlaced, messageScanned, messageMailed, batchTaken
    case sendTaken, sendDone, sendReleased, connectionAccepted, streamRead, streamFramed, streamWritten
    case childReaped, childStarted, childNoted
    case reloadPublished, reloadTold, reloadReplaced, reloadListening, reloadDone
    // A new master takes over what an old one has left.
    case masterAttached, masterPublished, masterFollowed, masterHanded, masterRead, masterDispatched
    case masterReclaimed, masterDrained, masterReady

    /// What a text of the control socket calls it.
    package var name: String { "\(self)" }

    /// Does nothing, but where this point is armed.
    @inline(__always) package func pass(_ memory: Memory) {
        #if DEBUG
            die(memory)
        #endif
    }
}

#if DEBUG
    extension FaultPoint {
        private static let armed = 2048
        private static let countdown = 2056
        private static let pid = 2064
        private static let next = 2072
        private static let hits = 2112

        private var hitCell: Int { FaultPoint.hits + rawValue * 8 }

        /// Tests have memory of other kinds.
        private static func isArena(_ memory: Memory) -> Bool {
            memory.size >= 4096 && memory.load(0, as: UInt64.self) == Arena.magic
        }

        private func die(_ memory: Memory) {
            guard FaultPoint.isArena(memory) else { return }
            _ = memory.addAtomic(1, at: hitCell)
            guard memory.loadAtomic(FaultPoint.armed) == UInt64(rawValue) + 1 else { return }
            let wanted = memory.loadAtomic(FaultPoint.pid)
            guard wanted == 0 || wanted == UInt64(getpid()) else { return }
            // One of those who pass meets the last one.
            guard memory.addAtomic(.max, at: FaultPoint.countdown) == 1 else { return }
            let next = memory.exchange(0, at: FaultPoint.next)
            memory.storeAtomic(0, at: FaultPoint.pid)
            memory.storeAtomic(1, at: FaultPoint.countdown)
            memory.storeAtomic(next, at: FaultPoint.armed)
            kill(getpid(), SIGKILL)
        }

        /// Lets whoever passes the point for the `count`th time die; with a pid other than 0, that process.
        /// Then whoever passes `next`.
        package func arm(_ memory: Memory, count: Int = 1, pid: Int32 = 0, next: FaultPoint? = nil) {
            FaultPoint.disarm(memory)
            memory.storeAtomic(UInt64(max(count, 1)), at: FaultPoint.countdown)
            memory.storeAtomic(UInt64(max(pid, 0)), at: FaultPoint.pid)
            memory.storeAtomic(UInt64((next?.rawValue ?? -1) + 1), at: FaultPoint.next)
            memory.storeAtomic(UInt64(rawValue) + 1, at: FaultPoint.armed)
        }

        package static func disarm(_ memory: Memory) { memory.storeAtomic(0, at: armed) }

        /// The point that is armed and was not reached yet.
        package static func current(_ memory: Memory) -> FaultPoint? {
            FaultPoint(rawValue: Int(memory.loadAtomic(armed)) - 1)
        }

        /// How often it was passed, by all processes.
        package func hits(_ memory: Memory) -> UInt64 { memory.loadAtomic(hitCell) }
    }
#endif
