import Testing

@testable import Transaction

extension InviteServerTransaction: Machine {
    mutating func apply(_ happening: Happening, now: UInt64, reliable: Bool) -> Effects {
        switch happening {
        case .start: start(now: now, values: rfcValues, reliable: reliable)
        case .request: receiveRequest(now: now, values: rfcValues, reliable: reliable)
        case .ack: receiveAck(now: now, values: rfcValues, reliable: reliable)
        case .answer(let status): respond(status: status, now: now, values: rfcValues, reliable: reliable)
        case .shortTimer, .longTimer: timeout(now: now, values: rfcValues, reliable: reliable)
        case .transportError: transportError(now: now, values: rfcValues, reliable: reliable)
        case .response, .abandon: preconditionFailure("not for a server")
        }
    }
}

private typealias Row = Arrow<InviteServerTransaction>

private let fresh: [Happening] = [.start]
private let proceeding: [Happening] = [.start, .answer(180)]
private let completed: [Happening] = [.start, .answer(486)]
private let confirmed: [Happening] = [.start, .answer(486), .ack]
private let accepted: [Happening] = [.start, .answer(200)]

/// Figure 7 of RFC 3261 with RFC 6026.
private let figure7: [Row] = [
    Row("INVITE: pass INV to TU", [], .start, .proceeding, .passRequest, short: 200),
    Row("send 100 if TU won't in 200 ms", fresh, .shortTimer, .proceeding, .sendTrying),
    Row("INVITE before the 100: send it", fresh, .request, .proceeding, .sendTrying),
    Row(
        "INVITE after the 100: send response", fresh + [.shortTimer], .request, .proceeding,
        .retransmitResponse),
    Row("Proceeding, INVITE: send response", proceeding, .request, .proceeding, .retransmitResponse),
    Row("101-199 from TU before the 100: send response", fresh, .answer(180), .proceeding, .sendResponse),
    Row("101-199 from TU: send response", proceeding, .answer(180), .proceeding, .sendResponse),
    Row(
        "Proceeding, transport error: inform TU", proceeding, .transportError, .proceeding,
        .noteTransportError),
    Row(
        "300-699 from TU: send response", proceeding, .answer(486), .completed,
        [.sendResponse, .forgetRequest],
        short: 500, long: 32_000),
    Row(
        "300-699 from TU before the 100: send response", fresh, .answer(600), .completed,
        [.sendResponse, .forgetRequest], short: 500, long: 32_000),
    Row(
        "a 408 to INVITE is sent", proceeding, .answer(408), .completed, [.sendResponse, .forgetRequest],
        short: 500, long: 32_000),
    Row(
        "300-699 from TU: no timer G", proceeding, .answer(486), .completed, [.sendResponse, .forgetRequest],
        long: 32_000, reliable: true),
    Row(
        "2xx from TU: send response", proceeding, .answer(200), .accepted,
        [.sendResponse, .forgetRequest, .forgetResponse], long: 32_000),
    Row(
        "2xx from TU: timer L also here", fresh, .answer(200), .accepted,
        [.sendResponse, .forgetRequest, .forgetResponse], long: 32_000, reliable: true),
    Row(
        "Completed, INVITE: send response", completed, .request, .completed, .retransmitResponse,
        short: 500, long: 32_000),
    Row(
        "timer G fires: send response", completed, .shortTimer, .completed, .retransmitResponse,
        short: 1000, long: 31_500),
    Row(
        "Completed, transport error: inform TU", completed, .transportError, .completed, .noteTransportError,
        short: 500, long: 32_000),
    Row("timer H fires", completed, .longTimer, .terminated, [.noteMissingAck, .terminated]),
    Row("timer H fires", completed, .longTimer, .terminated, [.noteMissingAck, .terminated], reliable: true),
    Row("Completed, ACK", completed, .ack, .confirmed, .forgetResponse, long: 5000),
    Row(
        "Completed, ACK: timer I is zero", completed, .ack, .terminated, [.forgetResponse, .terminated],
        reliable: true),
    Row("timer I fires", confirmed, .longTimer, .terminated, .terminated),
    Row(
        "Accepted, 2xx from TU: send response", accepted, .answer(200), .accepted,
        [.sendResponse, .forgetResponse], long: 32_000),
    Row("Accepted, ACK: to TU", accepted, .ack, .accepted, .passAck, long: 32_000),
    Row("Accepted, INVITE: -", accepted, .request, .accepted, [], long: 32_000),
    Row(
        "Accepted, transport error: inform TU", accepted, .transportError, .accepted, .noteTransportError,
        long: 32_000),
    Row("timer L fires", accepted, .longTimer, .terminated, .terminated),
    Row("timer L fires", accepted, .longTimer, .terminated, .terminated, reliable: true),
]

@Suite struct InviteServerTransactionTests {
    @Test(arguments: figure7) fileprivate func arrow(_ row: Row) { row.check() }

    @Test func nothingElseMatters() {
        checkThatNothingElseMatters(
            figure7, paths: [[], proceeding, completed, confirmed, accepted, confirmed + [.longTimer]],
            happenings: [
                .start, .request, .ack, .answer(0), .answer(180), .answer(200), .answer(486), .answer(700),
                .shortTimer, .longTimer, .transportError,
            ])
    }

    @Test func timerGDoublesUpToT2UntilTimerH() {
        let retransmissions: [UInt64] = [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ]
        #expect(
            schedule(InviteServerTransaction.self, completed)
                == retransmissions.map { Firing($0, .retransmitResponse) } + [
                    Firing(32_000, [.noteMissingAck, .terminated])
                ])
    }

    @Test func overAReliableTransportOnlyTimerHRuns() {
        #expect(
            schedule(InviteServerTransaction.self, completed, reliable: true) == [
                Firing(32_000, [.noteMissingAck, .terminated])
            ])
    }

    @Test func timersIAndL() {
        #expect(schedule(InviteServerTransaction.self, confirmed) == [Firing(5000, .terminated)])
        #expect(schedule(InviteServerTransaction.self, accepted) == [Firing(32_000, .terminated)])
    }

    @Test func the100ComesOnceAndOnlyWhileTheCoreIsSilent() {
        #expect(schedule(InviteServerTransaction.self, fresh) == [Firing(200, .sendTrying)])
        #expect(schedule(InviteServerTransaction.self, proceeding) == [])
    }

    @Test func the100AtOnceWhenConfigured() {
        var machine = InviteServerTransaction()
        let values = TimerValues(tryingAfter: 0)
        #expect(machine.start(now: 7, values: values, reliable: false) == [.passRequest, .sendTrying])
        #expect(machine.timers.next == 0)
        #expect(machine.tryingAt == 0)
        #expect(machine.receiveRequest(now: 8, values: values, reliable: false) == .retransmitResponse)
    }

    @Test func tryingAtIsKnownInProceedingOnly() {
        var machine = InviteServerTransaction()
        _ = machine.start(now: 1000, values: rfcValues, reliable: false)
        #expect(machine.tryingAt == 1200)
        _ = machine.respond(status: 404, now: 1001, values: rfcValues, reliable: false)
        #expect(machine.tryingAt == 0)
        #expect(machine.timers.retransmitAt == 1501)
    }
}
