import Testing

@testable import Transaction

extension NonInviteClientTransaction: Machine {
    mutating func apply(_ happening: Happening, now: UInt64, reliable: Bool) -> Effects {
        switch happening {
        case .start: start(now: now, values: rfcValues, reliable: reliable)
        case .response(let status): receive(status: status, now: now, values: rfcValues, reliable: reliable)
        case .shortTimer, .longTimer: timeout(now: now, values: rfcValues, reliable: reliable)
        case .transportError: transportError(now: now, values: rfcValues, reliable: reliable)
        case .request, .ack, .answer, .abandon: preconditionFailure("not for this machine")
        }
    }
}

private typealias Row = Arrow<NonInviteClientTransaction>

private let trying: [Happening] = [.start]
private let proceeding: [Happening] = [.start, .response(100)]
private let completed: [Happening] = [.start, .response(200)]

/// Figure 6 of RFC 3261.
private let figure6: [Row] = [
    Row("request from TU: send request", [], .start, .trying, .sendRequest, short: 500, long: 32_000),
    Row("request from TU: send request", [], .start, .trying, .sendRequest, long: 32_000, reliable: true),
    Row(
        "Trying, timer E: send request", trying, .shortTimer, .trying, .retransmitRequest,
        short: 1000, long: 31_500),
    Row("Trying, timer F: inform TU", trying, .longTimer, .terminated, [.reportTimeout, .terminated]),
    Row(
        "Trying, transport error: inform TU", trying, .transportError, .terminated,
        [.reportTransportError, .terminated]),
    Row(
        "Trying, 1xx: resp. to TU", trying, .response(100), .proceeding, .passResponse, short: 500,
        long: 32_000),
    Row(
        "Trying, 1xx: resp. to TU", trying, .response(199), .proceeding, .passResponse, long: 32_000,
        reliable: true),
    Row(
        "Trying, 200-699: resp. to TU", trying, .response(200), .completed, [.passResponse, .forgetRequest],
        long: 5000),
    Row(
        "Trying, 200-699: resp. to TU", trying, .response(699), .completed, [.passResponse, .forgetRequest],
        long: 5000),
    Row(
        "Trying, 200-699: timer K is zero", trying, .response(200), .terminated,
        [.passResponse, .forgetRequest, .terminated], reliable: true),
    Row(
        "Proceeding, timer E: send request, reset to T2", proceeding, .shortTimer, .proceeding,
        .retransmitRequest, short: 4000, long: 31_500),
    Row(
        "Proceeding, timer F: inform TU", proceeding, .longTimer, .terminated, [.reportTimeout, .terminated]),
    Row(
        "Proceeding, transport error: inform TU", proceeding, .transportError, .terminated,
        [.reportTransportError, .terminated]),
    Row(
        "Proceeding, 1xx: resp. to TU", proceeding, .response(100), .proceeding, .passResponse,
        short: 500, long: 32_000),
    Row(
        "Proceeding, 200-699: resp. to TU", proceeding, .response(200), .completed,
        [.passResponse, .forgetRequest], long: 5000),
    Row(
        "Proceeding, 200-699: timer K is zero", proceeding, .response(404), .terminated,
        [.passResponse, .forgetRequest, .terminated], reliable: true),
    Row("Completed, timer K", completed, .longTimer, .terminated, .terminated),
]

@Suite struct NonInviteClientTransactionTests {
    @Test(arguments: figure6) fileprivate func arrow(_ row: Row) { row.check() }

    @Test func nothingElseMatters() {
        checkThatNothingElseMatters(
            figure6, paths: [[], trying, proceeding, completed, completed + [.longTimer]],
            happenings: [
                .start, .response(0), .response(99), .response(100), .response(200), .response(700),
                .shortTimer,
                .longTimer, .transportError,
            ])
    }

    @Test func timerEDoublesUpToT2UntilTimerF() {
        let retransmissions: [UInt64] = [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ]
        #expect(
            schedule(NonInviteClientTransaction.self, trying)
                == retransmissions.map { Firing($0, .retransmitRequest) } + [
                    Firing(32_000, [.reportTimeout, .terminated])
                ])
    }

    @Test func inProceedingTimerEIsT2AfterTheOneThatRuns() {
        let retransmissions: [UInt64] = [500, 4500, 8500, 12_500, 16_500, 20_500, 24_500, 28_500]
        #expect(
            schedule(NonInviteClientTransaction.self, proceeding)
                == retransmissions.map { Firing($0, .retransmitRequest) } + [
                    Firing(32_000, [.reportTimeout, .terminated])
                ])
    }

    @Test func overAReliableTransportOnlyTimerFRuns() {
        let expected = [Firing(32_000, [.reportTimeout, .terminated])]
        #expect(schedule(NonInviteClientTransaction.self, trying, reliable: true) == expected)
        #expect(schedule(NonInviteClientTransaction.self, proceeding, reliable: true) == expected)
    }

    @Test func timerK() {
        #expect(schedule(NonInviteClientTransaction.self, completed) == [Firing(5000, .terminated)])
    }
}
