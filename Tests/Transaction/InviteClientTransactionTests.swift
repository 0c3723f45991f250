import Testing

@testable import Transaction

extension InviteClientTransaction: Machine {
    mutating func apply(_ happening: Happening, now: UInt64, reliable: Bool) -> Effects {
        switch happening {
        case .start: start(now: now, values: rfcValues, reliable: reliable)
        case .response(let status): receive(status: status, now: now, values: rfcValues, reliable: reliable)
        case .shortTimer, .longTimer: timeout(now: now, values: rfcValues, reliable: reliable)
        case .transportError: transportError(now: now, values: rfcValues, reliable: reliable)
        case .abandon: abandon(now: now, values: rfcValues, reliable: reliable)
        case .request, .ack, .answer: preconditionFailure("not for a client")
        }
    }
}

private typealias Row = Arrow<InviteClientTransaction>

private let calling: [Happening] = [.start]
private let proceeding: [Happening] = [.start, .response(180)]
private let completed: [Happening] = [.start, .response(486)]
private let accepted: [Happening] = [.start, .response(200)]

/// Figure 5 of RFC 3261 with RFC 6026.
private let figure5: [Row] = [
    Row("INVITE from TU: INVITE sent", [], .start, .calling, .sendRequest, short: 500, long: 32_000),
    Row("INVITE from TU: INVITE sent", [], .start, .calling, .sendRequest, long: 32_000, reliable: true),
    Row(
        "timer A fires: reset A, INVITE sent", calling, .shortTimer, .calling, .retransmitRequest,
        short: 1000, long: 31_500),
    Row(
        "timer A fires again", calling + [.shortTimer], .shortTimer, .calling, .retransmitRequest,
        short: 2000, long: 30_500),
    Row("timer B fires: inform TU", calling, .longTimer, .terminated, [.reportTimeout, .terminated]),
    Row(
        "timer B fires: inform TU", calling, .longTimer, .terminated, [.reportTimeout, .terminated],
        reliable: true),
    Row(
        "Calling, transport error: inform TU", calling, .transportError, .terminated,
        [.reportTransportError, .terminated]),
    Row("Calling, 1xx: to TU", calling, .response(180), .proceeding, .passResponse),
    Row("Calling, 100: to TU", calling, .response(100), .proceeding, .passResponse),
    Row(
        "Calling, 2xx: to TU", calling, .response(200), .accepted, [.passResponse, .forgetRequest],
        long: 32_000),
    Row(
        "Calling, 300-699: ACK sent, to TU", calling, .response(486), .completed, [.sendAck, .passResponse],
        long: 32_000),
    Row(
        "Calling, 300: ACK sent, to TU", calling, .response(300), .completed, [.sendAck, .passResponse],
        long: 32_000),
    Row(
        "Calling, 699: ACK sent, to TU", calling, .response(699), .completed, [.sendAck, .passResponse],
        long: 32_000),
    Row(
        "Calling, 300-699: timer D is zero", calling, .response(486), .terminated,
        [.sendAck, .passResponse, .terminated], reliable: true),
    Row("Proceeding, 1xx: to TU", proceeding, .response(180), .proceeding, .passResponse),
    Row(
        "Proceeding, 2xx: to TU", proceeding, .response(200), .accepted, [.passResponse, .forgetRequest],
        long: 32_000),
    Row(
        "Proceeding, 2xx: timer M also here", proceeding, .response(200), .accepted,
        [.passResponse, .forgetRequest], long: 32_000, reliable: true),
    Row(
        "Proceeding, 300-699: ACK sent, to TU", proceeding, .response(486), .completed,
        [.sendAck, .passResponse], long: 32_000),
    Row(
        "Proceeding, 300-699: timer D is zero", proceeding, .response(486), .terminated,
        [.sendAck, .passResponse, .terminated], reliable: true),
    Row("Completed, 300-699: ACK sent", completed, .response(486), .completed, .sendAck, long: 32_000),
    Row(
        "Completed, transport error: inform TU", completed, .transportError, .terminated,
        [.noteTransportError, .terminated]),
    Row("timer D fires", completed, .longTimer, .terminated, .terminated),
    Row("Accepted, 2xx: to TU", accepted, .response(200), .accepted, .passResponse, long: 32_000),
    Row("timer M fires", accepted, .longTimer, .terminated, .terminated),
    Row("timer M fires", accepted, .longTimer, .terminated, .terminated, reliable: true),
    Row("Calling, the core gives up (§16.8)", calling, .abandon, .terminated, .terminated),
    Row("Proceeding, the core gives up (§9.1)", proceeding, .abandon, .terminated, .terminated),
]

@Suite struct InviteClientTransactionTests {
    @Test(arguments: figure5) fileprivate func arrow(_ row: Row) { row.check() }

    @Test func nothingElseMatters() {
        checkThatNothingElseMatters(
            figure5, paths: [[], calling, proceeding, completed, accepted, completed + [.longTimer]],
            happenings: [
                .start, .response(0), .response(99), .response(180), .response(200), .response(486),
                .response(700),
                .response(.max), .shortTimer, .longTimer, .transportError, .abandon,
            ])
    }

    @Test func timerADoublesWithoutACapUntilTimerB() {
        #expect(
            schedule(InviteClientTransaction.self, calling) == [
                Firing(500, .retransmitRequest), Firing(1500, .retransmitRequest),
                Firing(3500, .retransmitRequest), Firing(7500, .retransmitRequest),
                Firing(15_500, .retransmitRequest), Firing(31_500, .retransmitRequest),
                Firing(32_000, [.reportTimeout, .terminated]),
            ])
    }

    @Test func overAReliableTransportOnlyTimerBRuns() {
        #expect(
            schedule(InviteClientTransaction.self, calling, reliable: true) == [
                Firing(32_000, [.reportTimeout, .terminated])
            ])
    }

    @Test func timersDAndM() {
        #expect(schedule(InviteClientTransaction.self, completed) == [Firing(32_000, .terminated)])
        #expect(schedule(InviteClientTransaction.self, accepted) == [Firing(32_000, .terminated)])
        #expect(
            schedule(InviteClientTransaction.self, accepted, reliable: true) == [Firing(32_000, .terminated)])
    }

    @Test func proceedingHasNoTimer() { #expect(schedule(InviteClientTransaction.self, proceeding) == []) }

    @Test func timerDIsAtLeast32Seconds() {
        #expect(TimerValues(t1: 10).d == 32_000)
        #expect(TimerValues(t1: 1000).d == 64_000)
        let values = TimerValues(t1: 10)
        var machine = InviteClientTransaction()
        _ = machine.start(now: 5, values: values, reliable: false)
        _ = machine.receive(status: 404, now: 6, values: values, reliable: false)
        #expect(machine.timers.next == 32_006)
    }

    @Test func afterAStallOneCopyLeavesAndTheIntervalStaysLong() {
        var machine = InviteClientTransaction()
        _ = machine.start(now: 1000, values: rfcValues, reliable: false)
        #expect(machine.timeout(now: 9000, values: rfcValues, reliable: false) == .retransmitRequest)
        #expect(machine.timeout(now: 9000, values: rfcValues, reliable: false) == [])
        #expect(machine.timers.next == 10_000)
    }

    @Test func theLargestValuesDoNotTrap() {
        let values = TimerValues(t1: .max, t2: .max, t4: .max, c: .max, tryingAfter: .max)
        var machine = InviteClientTransaction()
        _ = machine.start(now: 1, values: values, reliable: false)
        for _ in 0..<40 { _ = machine.timeout(now: machine.timers.next, values: values, reliable: false) }
        #expect(machine.timers.interval == .max || machine.state == .terminated)
    }
}
