import Platform
import SharedMemory
import SharedState

/// Overload (design §6): whether a worker, or the locator, has so much before it that new work is to be refused. What
/// belongs to work that was accepted passes: ACK, CANCEL, BYE, responses, and what comes again.
///
///     a message for worker w …                        server.max-delay 400
///     will wait, as fast as w is                      > 100 ms    new requests for w are refused
///     has waited                                      > 400 ms    likewise: w is dead, or stands still
///     together with all others fills the slots        > 3/8       for those with more than the average likewise
///     will wait, and has come by a stream             > 50 ms     it stays there until that is less
///
/// A quarter, because each call brings six messages more, and a round trip through the proxy waits twice: while that
/// is less than T1, nobody sends anything again, and all of a worker's time goes into calls that complete.
struct Overload: ~Copyable {
    private let state: SharedState
    private let processes: ProcessTable
    private let locatorSeen: SeenMail
    // Of each worker: what it has handled, what waits for it, what it has sent to the locator.
    private let seen: [SeenMail]
    private let waiting: [MailRing]
    private let registered: [MailRing]
    let recent: RecentRequests
    private var workers: [QueueDelay]
    /// From each worker to the locator.
    private var registers: [QueueDelay]
    // Milliseconds.
    private var mostDelay: UInt64 = 0
    private var life: UInt64 = 0
    private var measuredAt: UInt64 = 0
    /// Messages of one worker that are too many, since all workers together have too many; none: `UInt64.max`.
    private var mostDepth = UInt64.max
    private(set) var locatorDelay: UInt64 = 0
    /// New requests that were refused, and because of whom the last one was.
    private(set) var refused: UInt64 = 0
    private(set) var culprit = ProcessID.worker(0)

    init(_ state: SharedState) {
        self.state = state
        recent = state.recentRequests
        let locatorSeen = state.locatorSeen(log: Turn(memory: state.memory, at: state.locatorTurn).undo)
        self.locatorSeen = locatorSeen
        processes = state.processes
        let indices = 0..<Int(state.sizes.workers)
        let seen = indices.map { state.shard($0).seen }
        self.seen = seen
        waiting = indices.map { state.masterRing(to: .worker($0)) }
        registered = indices.map { state.shard($0).ring(to: .locator) }
        // Not from zero where the memory is a predecessor's: messages come before the first look.
        workers = indices.map { QueueDelay(handled: seen[$0].last(from: .master)) }
        registers = indices.map { QueueDelay(handled: locatorSeen.last(from: .worker($0))) }
        reconfigure()
    }

    /// Takes over the configuration that was published.
    mutating func reconfigure() {
        let snapshot = state.configuration.snapshot
        mostDelay = UInt64(snapshot.maxDelay)
        life = 64 * UInt64(snapshot.t1)
    }

    // MARK: measuring

    /// Looks at all queues; in each turn of the loop.
    mutating func measure(_ now: UInt64) {
        if now == measuredAt { return }
        measuredAt = now
        recent.age(now: now, life: life)
        let isLocatorServing = isServing(.locator)
        var depth: UInt64 = 0
        var worst: UInt64 = 0
        for index in workers.indices {
            let process = ProcessID.worker(index)
            let tail = waiting[index].tail
            workers[index].measure(
                handled: seen[index].last(from: .master), tail: tail, isServing: isServing(process), now: now)
            depth += workers[index].depth(tail)
            tell(max(workers[index].age, workers[index].expected(tail)), process)
            let registered = registered[index].tail
            registers[index].measure(
                handled: locatorSeen.last(from: process), tail: registered, isServing: isLocatorServing,
                now: now)
            worst = max(worst, registers[index].age, registers[index].expected(registered))
        }
        locatorDelay = worst
        tell(worst, .locator)
        // What was accepted must find slots: of each request that waits, six messages more are to come.
        let isCrowded = depth > UInt64(state.sizes.smallSlots) * 3 / 8
        mostDepth = isCrowded ? max(depth / UInt64(workers.count), 1) - 1 : .max
    }

    private mutating func isServing(_ process: ProcessID) -> Bool {
        processes.pid(process) != 0 && processes.isReady(process)
    }

    private mutating func tell(_ delay: UInt64, _ process: ProcessID) {
        if processes.delay(process) != delay { processes.setDelay(delay, process) }
    }

    // MARK: refusing

    /// Whoever has too much before it to get a new request that is for `worker`; nil where it is welcome.
    @inline(__always) mutating func refuser(worker: Int, isRegister: Bool) -> ProcessID? {
        let process = ProcessID.worker(worker)
        let tail = waiting[worker].tail
        if workers[worker].exceeds(tail, age: mostDelay, expected: mostDelay / 4, depth: mostDepth) {
            return process
        }
        // A REGISTER brings nothing after it.
        return isRegister && locatorDelay > mostDelay ? .locator : nil
    }

    /// True where new work that comes by a stream is to wait there, with half of what has it refused: one who floods a
    /// connection fills the queue for nobody else.
    @inline(__always) mutating func holdsStreams(worker: Int) -> Bool {
        workers[worker].expected(waiting[worker].tail) > mostDelay / 8
    }

    mutating func noteRefused(by process: ProcessID) {
        refused += 1
        culprit = process
    }
}
