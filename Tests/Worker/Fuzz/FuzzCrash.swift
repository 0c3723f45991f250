import CPlatform
import Glibc
import SharedMemory
import SharedState

@testable import Worker

/// What a worker of a test does besides dying where it was told to: it traps, or does not come to an end.
struct FuzzTrap: Error, CustomStringConvertible {
    let description: String
}

/// A worker's place: it dies, and its successor sits down at the same memory.
///
/// Deaths are real: a turn that somebody is to die in is done by a child of the test's process, which kills
/// itself at one of the `FaultPoint`s, or at its end. Nothing of it is left but what lies in shared memory
/// and in sockets.
final class Seat {
    /// Where somebody dies: at a point when it is passed for the `count`th time.
    struct Place {
        let point: FaultPoint
        let count: Int
    }

    /// Those that a turn of a worker passes.
    static let points: [FaultPoint] = [
        .undoNoted, .undoLogged, .undoWritten, .undoTaken, .undoForgotten, .turnCommitted, .outboxForgotten,
        .turnForgotten, .turnFinished, .arrayHalfCleared, .arrayCleared, .mailPlaced, .mailAppended,
        .slotHanded,
        .ringHanded, .mailSent, .mailNoted, .slotReleased, .entryWritten, .entryAppended, .loggerTold,
        .workerAttached, .workerRecovered, .workerReceived, .workerBegun, .workerHandled, .workerExpired,
        .workerWorked, .workerFlushed, .workerEnded, .datagramsSent, .outboxSent,
    ]
    /// Those that only a successor passes.
    static let pointsOfRecovery: Set<FaultPoint> = [.undoTaken, .workerAttached, .workerRecovered]

    let index: Int
    /// Where somebody has died in the last crash.
    private(set) var deaths: Set<FaultPoint> = []
    private let world: World
    private var worker: WorkerProcess?

    init(_ world: World, _ index: Int) { (self.world, self.index) = (world, index) }

    var isEmpty: Bool { worker == nil }
    private var shard: Shard { world.state.shard(index) }

    /// Somebody who has done nothing yet.
    private func fill(_ now: UInt64) throws {
        worker = try world.worker(index)
        worker!.virtualTime = now
    }

    /// A new worker takes over.
    func succeed(_ now: UInt64) throws {
        try fill(now)
        worker!.recover()
    }

    /// A turn that goes well.
    func turn(_ now: UInt64) throws {
        if isEmpty { try succeed(now) }
        worker!.virtualTime = now
        worker!.receive()
        worker!.handleTurn()
    }

    var isWanted: Bool {
        var descriptor = pollfd(fd: world.mailbox(of: .worker(index)), events: Int16(POLLIN), revents: 0)
        return unsafe poll(&descriptor, 1, 0) > 0
    }

    /// Milliseconds until a timer is due; nil where none runs.
    func wait(_ now: UInt64) -> UInt64? {
        let wait = shard.wheel.wait(now: now)
        return wait < 0 ? nil : UInt64(wait)
    }

    /// Begins a turn and dies somewhere in it; the next one may die over what it finds.
    func crash(_ now: UInt64, _ dice: inout Dice) throws -> String {
        deaths = []
        if isEmpty { try succeed(now) }
        var story = try crash(
            now, at: Seat.place(&dice, Seat.points.filter { !Seat.pointsOfRecovery.contains($0) }))
        while dice.chance(25) {
            story += try crashAgain(now, at: Seat.place(&dice, Seat.points))
        }
        return story
    }

    private static func place(_ dice: inout Dice, _ points: [FaultPoint]) -> Place {
        let point = dice.pick(points)
        return Place(point: point, count: 1 + dice.below(dice.pick([1, 1, 3, 10, 60])))
    }

    /// Begins a turn and dies there.
    func crash(_ now: UInt64, at place: Place) throws -> String {
        if isEmpty { try succeed(now) }
        worker!.virtualTime = now
        let story = try die(at: place) {
            $0.receive()
            $0.handleTurn()
        }
        worker = nil
        return story
    }

    /// The successor dies there as well.
    func crashAgain(_ now: UInt64, at place: Place) throws -> String {
        try fill(now)
        let story = try die(at: place) { $0.recover() }
        worker = nil
        return ", then " + story
    }

    /// Seconds that a turn may take.
    private static let patience: UInt32 = 20

    private func die(at place: Place, _ deed: (inout WorkerProcess) -> Void) throws -> String {
        let memory = world.state.memory
        let child = cp_fork()
        precondition(child >= 0, "no process can be had")
        if child == 0 {
            alarm(Seat.patience)
            place.point.arm(memory, count: place.count)
            deed(&worker!)
            _exit(0)
        }
        var status: Int32 = 0
        while unsafe waitpid(child, &status, 0) < 0 {}
        let isReached = FaultPoint.current(memory) == nil
        FaultPoint.disarm(memory)
        switch cp_exit_signal(status) {
        case SIGKILL where isReached:
            deaths.insert(place.point)
            return "\(place.point.name) \(place.count)"
        case 0: return "at the end"
        case let signal: throw FuzzTrap(description: "worker \(index) ends by signal \(signal)")
        }
    }
}
