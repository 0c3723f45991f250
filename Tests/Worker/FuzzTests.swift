import Glibc
import Platform
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
        for seed in first..<first + count where Self.knownFailures[seed] == nil {
            guard let fault = try Self.fault(FuzzPlan(seed: seed), sockets) else { continue }
            let plan = try Self.shortened(FuzzPlan(seed: seed), sockets)
            let (last, story) = try Self.fault(plan, sockets) ?? fault
            Issue.record("seed \(seed): \(last)\n\(story.joined(separator: "\n"))")
            failures += 1
            if failures == 5 { break }
        }
    }

    /// A REGISTER on a connection, and a locator that says nothing for 64·T1: the worker trapped, and so did its
    /// successors.
    @Test func aRegisterOnAConnectionWithoutAnswerEnds() async {
        await #expect(processExitsWith: .success) {
            let sockets = FuzzSockets()
            let run = try FuzzRun(FuzzPlan(seed: 0, steps: 0, crashes: false), sockets)
            var source = Endpoint(.tcp, SocketAddress(ipv4: 0x7F00_0003, port: 40_000), listener: 1)
            source.connection = ConnectionReference(index: 1, generation: 1)
            let text = request("REGISTER", "sip:example.org", from: sockets.phones[0], branch: "r").replacing(
                "SIP/2.0/UDP", with: "SIP/2.0/TCP")
            run.world.deliver(text, from: source, to: 0)
            try run.run()
            precondition(run.violations().isEmpty)
        }
    }

    /// What is wrong with a sequence, and how it went; nil where it is right.
    private static func fault(_ plan: FuzzPlan, _ sockets: FuzzSockets) throws -> (String, [String])? {
        let run = try FuzzRun(plan, sockets)
        if number("SIPFORK_FUZZ_VERBOSE", else: 0) > 0 { print("seed \(plan.seed)") }
        try run.run()
        if let wrong = run.violations().first { return (wrong, run.story) }
        if plan.isRough { return nil }
        var calm = plan
        calm.crashes = false
        let other = try FuzzRun(calm, sockets)
        try other.run()
        if let wrong = other.violations().first { return (wrong + " (nobody died)", other.story) }
        let (with, without) = (run.received, other.received)
        for peer in Set(with.keys).union(without.keys).sorted() {
            let (first, second) = (with[peer] ?? [], without[peer] ?? [])
            if let more = first.subtracting(second).sorted().first {
                return ("\(peer) got only where workers died:\n\(more)", run.story)
            }
            if let less = second.subtracting(first).sorted().first {
                return ("\(peer) did not get where workers died:\n\(less)", run.story)
            }
        }
        return nil
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
