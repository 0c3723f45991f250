import Testing

@testable import Transaction

private enum Step: Hashable, Sendable {
    case start
    case provisional(UInt16)
    case cancel, final, timeout
}

/// One arrow of the figure; `left` is the deadline after the event in milliseconds, 0: none.
private struct Row: Sendable, CustomTestStringConvertible {
    let name: String
    let path: [Step]
    let event: Step
    let state: InviteFork.State
    let effect: InviteFork.Effect
    let left: UInt64

    init(
        _ name: String, _ path: [Step], _ event: Step, _ state: InviteFork.State, _ effect: InviteFork.Effect,
        left: UInt64 = 0
    ) {
        self.name = name
        self.path = path
        self.event = event
        self.state = state
        self.effect = effect
        self.left = left
    }

    var testDescription: String { name }
}

/// A fork with its clock; each step comes a second after the one before, a timeout at its deadline.
private struct ForkDriver {
    var fork = InviteFork()
    var now: UInt64 = 1_000_000

    mutating func apply(_ step: Step) -> InviteFork.Effect {
        now = step == .timeout ? max(now, fork.next) : now + 1000
        switch step {
        case .start:
            fork.start(now: now, values: rfcValues)
            return .none
        case .provisional(let status): return fork.provisional(status: status, now: now, values: rfcValues)
        case .cancel: return fork.cancel(now: now, values: rfcValues)
        case .final:
            fork.final()
            return .none
        case .timeout: return fork.timeout(now: now, values: rfcValues)
        }
    }
}

private let calling: [Step] = [.start]
private let proceeding: [Step] = [.start, .provisional(180)]
private let cancelWanted: [Step] = [.start, .cancel]
private let cancelled: [Step] = [.start, .provisional(180), .cancel]
private let done: [Step] = [.start, .final]

private let arrows: [Row] = [
    Row("INVITE sent: start timer C", [], .start, .calling, .none, left: 185_000),
    Row("Calling, 100: timer C runs on", calling, .provisional(100), .proceeding, .none, left: 184_000),
    Row("Calling, 101-199: restart timer C", calling, .provisional(101), .proceeding, .none, left: 185_000),
    Row(
        "Calling, cancel: wait for a provisional (§9.1)", calling, .cancel, .cancelWanted, .none,
        left: 184_000),
    Row("Calling, timer C: as a 408 (§16.8)", calling, .timeout, .done, .giveUp),
    Row("Calling, final", calling, .final, .done, .none),
    Row("Proceeding, 100: timer C runs on", proceeding, .provisional(100), .proceeding, .none, left: 184_000),
    Row(
        "Proceeding, 101-199: restart timer C", proceeding, .provisional(199), .proceeding, .none,
        left: 185_000),
    Row("Proceeding, cancel: send CANCEL", proceeding, .cancel, .cancelled, .sendCancel, left: 32_000),
    Row(
        "Proceeding, timer C: send CANCEL (§16.8)", proceeding, .timeout, .cancelled, .sendCancel,
        left: 32_000),
    Row("Proceeding, final", proceeding, .final, .done, .none),
    Row(
        "CancelWanted, 100: send CANCEL", cancelWanted, .provisional(100), .cancelled, .sendCancel,
        left: 32_000),
    Row(
        "CancelWanted, 1xx: send CANCEL", cancelWanted, .provisional(180), .cancelled, .sendCancel,
        left: 32_000),
    Row("CancelWanted, timer C: as a 408", cancelWanted, .timeout, .done, .giveUp),
    Row("CancelWanted, final: no CANCEL", cancelWanted, .final, .done, .none),
    Row("CancelWanted, cancel again", cancelWanted, .cancel, .cancelWanted, .none, left: 183_000),
    Row("Cancelled, 1xx: the wait goes on", cancelled, .provisional(180), .cancelled, .none, left: 31_000),
    Row("Cancelled, cancel again: one CANCEL", cancelled, .cancel, .cancelled, .none, left: 31_000),
    Row("Cancelled, 64·T1: as a 408 (§9.1)", cancelled, .timeout, .done, .giveUp),
    Row("Cancelled, final", cancelled, .final, .done, .none),
    Row("Done, start again", done, .start, .done, .none),
    Row("Done, 1xx", done, .provisional(180), .done, .none),
    Row("Done, cancel: no CANCEL after a final response", done, .cancel, .done, .none),
    Row("Done, timeout", done, .timeout, .done, .none),
    Row("a repeated start", calling, .start, .calling, .none, left: 184_000),
    Row("a final response is no provisional", calling, .provisional(200), .calling, .none, left: 184_000),
    Row("before the start: cancel", [], .cancel, .idle, .none),
    Row("before the start: 1xx", [], .provisional(180), .idle, .none),
]

@Suite struct InviteForkTests {
    @Test(arguments: arrows) fileprivate func arrow(_ row: Row) {
        var driver = ForkDriver()
        for step in row.path { _ = driver.apply(step) }
        #expect(driver.apply(row.event) == row.effect)
        #expect(driver.fork.state == row.state)
        #expect(driver.fork.next == (row.left == 0 ? 0 : driver.now + row.left))
    }

    @Test func nothingIsDueBeforeTheDeadline() {
        var fork = InviteFork()
        fork.start(now: 1000, values: rfcValues)
        let before = fork
        #expect(fork.timeout(now: 185_999, values: rfcValues) == .none)
        #expect(fork == before)
        #expect(fork.timeout(now: 186_000, values: rfcValues) == .giveUp)
    }

    @Test func isCancelledFromTheWishOn() {
        for (path, expected) in [
            (calling, false), (proceeding, false), (cancelWanted, true), (cancelled, true), (done, false),
        ] {
            var driver = ForkDriver()
            for step in path { _ = driver.apply(step) }
            #expect(driver.fork.isCancelled == expected)
        }
    }
}
