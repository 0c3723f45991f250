import Testing

@testable import Transaction

extension NonInviteServerTransaction: Machine {
    mutating func apply(_ happening: Happening, now: UInt64, reliable: Bool) -> Effects {
        switch happening {
        case .start: start(now: now, values: rfcValues, reliable: reliable)
        case .request: receiveRequest(now: now, values: rfcValues, reliable: reliable)
        case .answer(let status): respond(status: status, now: now, values: rfcValues, reliable: reliable)
        case .shortTimer, .longTimer: timeout(now: now, values: rfcValues, reliable: reliable)
        case .transportError: transportError(now: now, values: rfcValues, reliable: reliable)
        case .response, .ack, .abandon: preconditionFailure("not for this machine")
        }
    }
}

private typealias Row = Arrow<NonInviteServerTransaction>

private let trying: [Happening] = [.start]
private let proceeding: [Happening] = [.start, .shortTimer]
private let completed: [Happening] = [.start, .answer(200)]
private let silenced: [Happening] = [.start, .shortTimer, .answer(408)]

/// Figure 8 of RFC 3261 with RFC 4320 and RFC 6026.
private let figure8: [Row] = [
    Row("request received: pass to TU", [], .start, .trying, .passRequest, short: 3500),
    Row("request received: pass to TU", [], .start, .trying, .passRequest, short: 3500, reliable: true),
    Row("Trying, request: -", trying, .request, .trying, [], short: 3500),
    Row(
        "Trying, 100 over UDP before timer E is T2: - (RFC 4320)", trying, .answer(100), .trying, [],
        short: 3500),
    Row(
        "Trying, 100 over TCP: send response (RFC 4320)", trying, .answer(100), .proceeding, .sendResponse,
        reliable: true),
    Row("Trying, other 1xx: - (RFC 4320)", trying, .answer(183), .trying, [], short: 3500),
    Row("Trying, other 1xx: - (RFC 4320)", trying, .answer(183), .trying, [], short: 3500, reliable: true),
    Row("Trying, timer E is T2: send 100 (RFC 4320)", trying, .shortTimer, .proceeding, .sendTrying),
    Row(
        "Trying, timer E is T2: send 100 (RFC 4320)", trying, .shortTimer, .proceeding, .sendTrying,
        reliable: true),
    Row(
        "Trying, 200-699 from TU: send response", trying, .answer(200), .completed,
        [.sendResponse, .forgetRequest], long: 32_000),
    Row(
        "Trying, 200-699 from TU: timer J is zero", trying, .answer(200), .terminated,
        [.sendResponse, .forgetRequest, .terminated], reliable: true),
    Row(
        "Trying, 408 from TU: - (RFC 4320)", trying, .answer(408), .completed,
        [.forgetRequest, .forgetResponse],
        long: 32_000),
    Row(
        "Trying, transport error: inform TU (RFC 6026)", trying, .transportError, .trying,
        .noteTransportError,
        short: 3500),
    Row("Proceeding, request: send response", proceeding, .request, .proceeding, .retransmitResponse),
    Row("Proceeding, 100 from TU: send response", proceeding, .answer(100), .proceeding, .sendResponse),
    Row("Proceeding, other 1xx: - (RFC 4320)", proceeding, .answer(183), .proceeding, []),
    Row(
        "Proceeding, 200-699 from TU: send response", proceeding, .answer(200), .completed,
        [.sendResponse, .forgetRequest], long: 32_000),
    Row(
        "Proceeding, 408 from TU: - (RFC 4320)", proceeding, .answer(408), .completed,
        [.forgetRequest, .forgetResponse], long: 32_000),
    Row(
        "Proceeding, 408 from TU: timer J is zero", proceeding, .answer(408), .terminated,
        [.forgetRequest, .forgetResponse, .terminated], reliable: true),
    Row(
        "Proceeding, transport error: inform TU (RFC 6026)", proceeding, .transportError, .proceeding,
        .noteTransportError),
    Row(
        "Completed, request: send response", completed, .request, .completed, .retransmitResponse,
        long: 32_000),
    Row("Completed by a 408, request: -", silenced, .request, .completed, [], long: 32_000),
    Row(
        "Completed, transport error: inform TU (RFC 6026)", completed, .transportError, .completed,
        .noteTransportError, long: 32_000),
    Row("Completed, other final response from TU: -", completed, .answer(404), .completed, [], long: 32_000),
    Row("timer J fires", completed, .longTimer, .terminated, .terminated),
]

@Suite struct NonInviteServerTransactionTests {
    @Test(arguments: figure8) fileprivate func arrow(_ row: Row) { row.check() }

    @Test func nothingElseMatters() {
        checkThatNothingElseMatters(
            figure8, paths: [[], trying, proceeding, completed, silenced, completed + [.longTimer]],
            happenings: [
                .start, .request, .answer(0), .answer(100), .answer(183), .answer(200), .answer(408),
                .answer(700),
                .shortTimer, .longTimer, .transportError,
            ])
    }

    @Test func timerJ() {
        #expect(schedule(NonInviteServerTransaction.self, completed) == [Firing(32_000, .terminated)])
        #expect(schedule(NonInviteServerTransaction.self, silenced) == [Firing(32_000, .terminated)])
    }

    @Test(arguments: [false, true]) func the100ComesOnceAfterThreeAndAHalfSeconds(reliable: Bool) {
        #expect(
            schedule(NonInviteServerTransaction.self, trying, reliable: reliable) == [
                Firing(3500, .sendTrying)
            ])
    }

    /// The rule itself: the 100 comes when a client that sent the request at the same time resets timer E to
    /// T2.
    @Test(arguments: [
        TimerValues(), TimerValues(t1: 100), TimerValues(t1: 300, t2: 1000), TimerValues(t1: 4000),
        TimerValues(t1: 1, t2: 30),
    ])
    func the100IsDueWhenTimerEIsResetToT2(values: TimerValues) {
        var client = NonInviteClientTransaction()
        _ = client.start(now: 1000, values: values, reliable: false)
        var resetAt: UInt64 = 1000
        while client.timers.interval < values.t2 && client.state == .trying {
            resetAt = client.timers.next
            _ = client.timeout(now: resetAt, values: values, reliable: false)
        }
        #expect(values.nonInviteTryingAfter == resetAt - 1000)
    }

    @Test func aCoreThatIsAskedLateMaySend100OverUDP() {
        var machine = NonInviteServerTransaction()
        _ = machine.start(now: 1000, values: rfcValues, reliable: false)
        #expect(machine.respond(status: 100, now: 4499, values: rfcValues, reliable: false) == [])
        #expect(machine.respond(status: 100, now: 4500, values: rfcValues, reliable: false) == .sendResponse)
        #expect(machine.state == .proceeding)
        #expect(machine.timers.next == 0)
    }
}
