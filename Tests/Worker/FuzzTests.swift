import Glibc
import Platform
import SharedMemory
import SharedState
import Testing

@testable import Worker

/// Random sequences of what may happen to workers, with deaths in between (design §5): the rules of
/// `FuzzRules` hold, and the peers receive what they would have received without a death.
///
/// `SIPFORK_FUZZ_SEQUENCES=N` runs N of them, from `SIPFORK_FUZZ_SEED` on. A sequence that fails is printed,
/// cut down to the steps that it takes. With `SIPFORK_FUZZ_VERBOSE=1` every seed and step is printed as it
/// begins, for sequences in which a worker traps.
@Suite struct FuzzTests {
    /// Seeds that are left out, each with the bug that it shows.
    private static let knownFailures: [UInt64: String] = [:]

    private static func number(_ variable: String, else value: UInt64) -> UInt64 {
        unsafe getenv(variable).flatMap { unsafe UInt64(String(cString: $0)) } ?? value
    }

    @Test func randomSequencesKeepTheRules() throws {
        let count = Self.number("SIPFORK_FUZZ_SEQUENCES", else: 30)
        let first = Self.number("SIPFORK_FUZZ_SEED", else: 0)
        let sockets = FuzzSockets()
        var failures = 0
        var deaths: Set<FaultPoint> = []
        for seed in first..<first + count where Self.knownFailures[seed] == nil {
            guard let fault = try Self.fault(FuzzPlan(seed: seed), sockets, &deaths) else { continue }
            let plan = try Self.shortened(FuzzPlan(seed: seed), sockets)
            let (last, story) = try Self.fault(plan, sockets) ?? fault
            Issue.record("seed \(seed): \(last)\n\(story.joined(separator: "\n"))")
            failures += 1
            if failures == 5 { break }
        }
        if count >= 1000 { #expect(Set(Seat.points).subtracting(deaths) == [], "nobody has died there") }
    }

    /// Every point of every turn of a sequence: who dies there leaves nothing that the peers would see. Of
    /// those that are passed often in a turn, as writes are, a few.
    @Test func aDeathAtEveryPointOfATurnChangesNothing() throws {
        let sockets = FuzzSockets()
        var reached: Set<FaultPoint> = []
        let first = Self.number("SIPFORK_FUZZ_SEED", else: 0)
        for seed in first..<first + 40 {
            var plan = FuzzPlan(seed: seed, steps: 7, crashes: false)
            let calm = try FuzzRun(plan, sockets)
            try calm.run()
            #expect(calm.violations() == [])
            // All that a first sequence passes; of others what it did not.
            let points = Seat.points.filter { !reached.contains($0) }
            for (turn, passes) in calm.passes.enumerated() {
                for death in Self.deaths(in: turn, passes, points) {
                    plan.death = death
                    let run = try FuzzRun(plan, sockets)
                    try run.run()
                    reached.formUnion(run.deaths)
                    let wrong = run.violations() + Self.differences(run, calm)
                    if wrong.isEmpty { continue }
                    Issue.record("seed \(seed), \(death): \(wrong[0])\n\(run.story.joined(separator: "\n"))")
                    return
                }
            }
        }
        #expect(Set(Seat.points).subtracting(reached) == [], "nobody has died there")
    }

    /// The deaths that are tried in a turn: at each of these points, and at each that only a successor passes.
    private static func deaths(
        in turn: Int, _ passes: [UInt64], _ points: [FaultPoint]
    ) -> [(turn: Int, place: Seat.Place, then: FaultPoint?)] {
        var deaths: [(turn: Int, place: Seat.Place, then: FaultPoint?)] = []
        for point in points {
            let count = Int(passes[point.rawValue])
            for place in places(count) { deaths.append((turn, Seat.Place(point: point, count: place), nil)) }
            guard Seat.pointsOfRecovery.contains(point), passes[FaultPoint.workerHandled.rawValue] > 0 else {
                continue
            }
            deaths.append((turn, Seat.Place(point: .workerHandled, count: 1), point))
        }
        return deaths
    }

    /// The first and the last of the times that a point is passed, and one between where there are many.
    private static func places(_ count: Int) -> Set<Int> {
        count == 0 ? [] : count > 8 ? [1, count / 2, count] : [1, count]
    }

    /// What is wrong with a sequence, and how it went; nil where it is right.
    private static func fault(
        _ plan: FuzzPlan, _ sockets: FuzzSockets, _ deaths: inout Set<FaultPoint>
    ) throws -> (String, [String])? {
        let run = try FuzzRun(plan, sockets)
        if number("SIPFORK_FUZZ_VERBOSE", else: 0) > 0 { print("seed \(plan.seed)") }
        do { try run.run() } catch let trap as FuzzTrap { return (trap.description, run.story) }
        deaths.formUnion(run.deaths)
        if let wrong = run.violations().first { return (wrong, run.story) }
        if plan.isRough { return nil }
        var calm = plan
        calm.crashes = false
        let other = try FuzzRun(calm, sockets)
        try other.run()
        if let wrong = other.violations().first { return (wrong + " (nobody died)", other.story) }
        return differences(run, other).first.map { ($0, run.story) }
    }

    private static func fault(_ plan: FuzzPlan, _ sockets: FuzzSockets) throws -> (String, [String])? {
        var deaths: Set<FaultPoint> = []
        return try fault(plan, sockets, &deaths)
    }

    /// What peers have received in one of two runs only.
    private static func differences(_ run: FuzzRun, _ calm: FuzzRun) -> [String] {
        let (with, without) = (run.received, calm.received)
        var wrong: [String] = []
        for peer in Set(with.keys).union(without.keys).sorted() {
            let (first, second) = (with[peer] ?? [], without[peer] ?? [])
            if let more = first.subtracting(second).sorted().first {
                wrong.append("\(peer) got only where workers died:\n\(more)")
            }
            if let less = second.subtracting(first).sorted().first {
                wrong.append("\(peer) did not get where workers died:\n\(less)")
            }
        }
        return wrong
    }

    /// The same with as few steps and deaths as still fail.
    private static func shortened(_ plan: FuzzPlan, _ sockets: FuzzSockets) throws -> FuzzPlan {
        var best = plan
        for step in (0..<plan.steps).reversed() {
            var fewer = best
            fewer.skipped.insert(step)
            if try fault(fewer, sockets) != nil { best = fewer }
        }
        for step in 0..<plan.steps where !best.skipped.contains(step) {
            var calmer = best
            calmer.spared.insert(step)
            if try fault(calmer, sockets) != nil { best = calmer }
        }
        return best
    }
}
