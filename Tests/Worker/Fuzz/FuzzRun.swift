import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState

@testable import Worker

/// How a sequence is run.
struct FuzzPlan {
    var seed: UInt64
    var steps = 40
    var crashes = true
    /// Steps left out, to find the shortest sequence that still fails.
    var skipped: Set<Int> = []
    /// Steps in which nobody dies.
    var spared: Set<Int> = []
    /// The one death of a sequence without others, or two: `then` is where the successor dies.
    var death: (turn: Int, place: Seat.Place, then: FaultPoint?)?

    /// Some sequences have what a crash may change: failures of the kernel, successors that come late.
    var isRough: Bool { seed % 4 == 3 }
}

/// One world with its workers, and all that its peers have heard.
final class FuzzRun {
    let plan: FuzzPlan
    let world: World
    let sockets: FuzzSockets
    let seats: [Seat]
    var now = FuzzSockets.start
    var heard: [Heard] = []
    var calls: [Call] = []
    /// Responses that were delivered: the request, when, status.
    var answers: [(request: Heard, at: UInt64, status: Int, text: String)] = []
    var questions: [(mail: Mail, worker: Int)] = []
    var registers: [(mail: Mail, worker: Int)] = []
    var story: [String] = []
    var faults: [String] = []
    /// The points at which somebody has died.
    var deaths: Set<FaultPoint> = []
    /// How often each point was passed in each turn; for a sequence without deaths.
    private(set) var passes: [[UInt64]] = []
    private var turns = 0
    private var known: Set<String> = []
    private var asked: Set<[UInt64]> = []
    private var master: PlainReceiver
    private var locator: PlainReceiver
    private var resolver: PlainReceiver
    private var logger: PlainReceiver
    private var crashDice: Dice
    private let isVerbose = unsafe getenv("SIPFORK_FUZZ_VERBOSE") != nil

    static let names = ["gw0.example.net", "gw1.example.net"]
    static let streamPeer = SocketAddress(ipv4: 0x7F00_0002, port: 5070)

    init(_ plan: FuzzPlan, _ sockets: FuzzSockets) throws {
        (self.plan, self.sockets) = (plan, sockets)
        sockets.drain()
        var dice = Dice(plan.seed, 999_983)
        let workers = 1 + dice.below(3)
        let (byQ, recurses) = (dice.chance(30), dice.chance(30))
        let candidateTimeout: UInt32 = dice.chance(50) ? 4000 : 300
        world = try World(workers: workers, maxTransactions: 100 * workers, fixture: sockets.fixture) {
            $0.listeners[1] = $0.listeners[0]
            $0.advertised[1] = $0.advertised[0]
            $0.transports[1] = .tcp
            $0.listenerCount = 2
            $0.orderByQ = byQ ? 1 : 0
            $0.recurse = recurses ? 1 : 0
            $0.candidateTimeout = candidateTimeout
        }
        story = ["workers \(workers), by q \(byQ), recurse \(recurses), candidate \(candidateTimeout)"]
        let world = world
        seats = (0..<workers).map { Seat(world, $0) }
        master = PlainReceiver(mailbox: world.mailbox(of: .master))
        locator = PlainReceiver(mailbox: world.mailbox(of: .locator))
        resolver = PlainReceiver(mailbox: world.mailbox(of: .resolver))
        logger = PlainReceiver(mailbox: world.mailbox(of: .logger))
        crashDice = Dice(plan.seed, 0)
        let place = sockets.phones.map { "sip:bob@\($0.address.text)" }
        let stream = "sip:bob@\(FuzzRun.streamPeer.text);transport=tcp"
        world.register("u1@example.org", [place[2], place[3]])
        world.register("u2@example.org", [place[3], stream, place[4]])
        world.register("u3@example.org", [place[2], "sip:bob@\(FuzzRun.names[0])"])
        world.register("u4@example.org", ["sip:u1@example.org", place[4]])
        world.register("u5@example.org", [place[2], "sip:bob@240.0.0.1"])
    }

    // Thousands of arenas would make each fork slow.
    deinit { unsafe world.state.memory.unmap() }

    /// The whole sequence, and its end.
    func run() throws {
        for seat in seats { try seat.succeed(now) }
        for step in 0..<plan.steps where !plan.skipped.contains(step) {
            var dice = Dice(plan.seed, step + 1)
            crashDice = Dice(plan.seed, step + 1_000_003)
            mayCrash = plan.crashes && !plan.spared.contains(step)
            story.append("\(step) @\(now - FuzzSockets.start): ")
            try perform(&dice)
            if !dice.chance(30) { try settle() }
        }
        mayCrash = false
        story.append("end")
        try settle()
        try end()
    }

    func note(_ text: String) {
        story[story.count - 1] += text
        if isVerbose { print(story.last ?? "") }
    }

    // MARK: turns and time

    private var mayCrash = false

    private func turn(_ seat: Seat) throws {
        turns += 1
        if let death = plan.death, turns == death.turn + 1 {
            var how = try seat.crash(now, at: death.place)
            if let then = death.then {
                how += try seat.crashAgain(now, at: Seat.Place(point: then, count: 1))
            }
            deaths.formUnion(seat.deaths)
            note(" [worker \(seat.index) dies: \(how)]")
            try seat.succeed(now)
        } else if mayCrash && crashDice.chance(25) {
            let how = try seat.crash(now, &crashDice)
            deaths.formUnion(seat.deaths)
            note(" [worker \(seat.index) dies: \(how)]")
            if plan.isRough && crashDice.chance(50) { return }
            try seat.succeed(now)
        } else {
            let before = plan.crashes ? [] : FaultPoint.allCases.map { $0.hits(world.state.memory) }
            try seat.turn(now)
            if plan.crashes { return }
            passes.append(zip(FaultPoint.allCases, before).map { $0.hits(world.state.memory) - $1 })
        }
    }

    /// Turns until nobody has anything to do.
    func settle() throws {
        for round in 0..<60 {
            var isQuiet = true
            for seat in seats where seat.isWanted || seat.wait(now) == 0 || round == 0 || seat.isEmpty {
                if seat.isEmpty && mayCrash && plan.isRough && crashDice.chance(50) { continue }
                try turn(seat)
                isQuiet = false
            }
            if collect() { isQuiet = false }
            if isQuiet { return }
        }
        if !plan.isRough { faults.append("the workers do not come to rest") }
    }

    /// Time goes by, each timer at its time.
    func wait(_ milliseconds: UInt64) throws {
        let target = now + milliseconds
        for _ in 0..<2000 {
            guard let next = seats.compactMap({ $0.wait(now) }).min(), now + next <= target else { break }
            now += max(next, 1)
            try settle()
        }
        now = max(now, target)
        try settle()
    }

    private func end() throws {
        for _ in 0..<3000 {
            guard let next = seats.compactMap({ $0.wait(now) }).min() else { return }
            now += max(next, 1)
            try settle()
        }
        faults.append("timers without end")
    }

    // MARK: what leaves

    /// Takes what the peers and the other processes have got; true where the server has sent to itself.
    private func collect() -> Bool {
        for phone in sockets.phones.indices {
            while let text = sockets.hear(phone) {
                add(Heard(text, at: Endpoint(.udp, sockets.phones[phone].address, listener: 0), now: now))
            }
        }
        while let mail = master.next() {
            guard mail.kind == .send else { continue }
            guard world.state.slots.isHeld(mail.slot, by: .master) else {
                faults.append("mail to the master with a slot that is not its own")
                continue
            }
            let peer = world.state.slots.header(mail.slot.index).endpoint
            let text = world.text(in: mail.slot)
            world.state.slots.release(mail.slot, by: .master)
            add(Heard(text, at: peer, now: now, mail: mail, worker: mail.sender.workerIndex!))
        }
        while let mail = locator.next() {
            guard mail.kind == .register, asked.insert([0, mail.transaction.rawValue]).inserted else {
                continue
            }
            registers.append((mail, mail.sender.workerIndex!))
        }
        while let mail = resolver.next() {
            let key = [1, mail.transaction.rawValue, UInt64(mail.fork), mail.third]
            guard mail.kind == .resolve, asked.insert(key).inserted else { continue }
            questions.append((mail, mail.sender.workerIndex!))
        }
        while logger.next() != nil {}
        var hasSpiral = false
        while let text = sockets.hearOurselves() {
            if !known.insert("ourselves " + text).inserted { continue }
            hasSpiral = true
            world.deliver(text, from: world.listenerAddress, to: worker(for: text))
        }
        return hasSpiral
    }

    private func add(_ message: Heard) {
        if known.insert(message.place + " " + message.text).inserted { heard.append(message) }
    }

    /// Which worker the master would choose.
    func worker(for text: String) -> Int {
        if text.hasPrefix("SIP/2.0"), let branch = StreamTests.branch(text), !branch.isStateless {
            return ForkPlacement.worker(
                owner: branch.transaction.worker, fork: branch.fork, workers: seats.count)
        }
        var sum = 0
        for byte in Heard.field("Call-ID", text).utf8 { sum = sum &* 31 &+ Int(byte) }
        return abs(sum) % seats.count
    }
}
