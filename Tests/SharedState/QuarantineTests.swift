import Platform
import SharedMemory
import Testing

@testable import SharedState

@Suite struct QuarantineTests {
    private let quarantine: Quarantine

    init() throws {
        quarantine = try TestArena().state.quarantine
        try quarantine.initialize()
    }

    @Test func theSecondStrikeCounts() {
        #expect(!quarantine.isActive && quarantine.strikes(7) == 0)
        #expect(quarantine.blame(7, .event, now: 10) == 1)
        #expect(!quarantine.isActive && quarantine.strikes(7) == 1)
        #expect(quarantine.blame(8, .event, now: 20) == 1)
        #expect(!quarantine.isActive)
        #expect(quarantine.blame(7, .event, now: 30) == 2)
        #expect(quarantine.isActive && !quarantine.hasMessages)
        #expect(quarantine.strikes(7) == 2 && quarantine.strikes(8) == 1 && quarantine.strikes(9) == 0)
    }

    @Test func messagesToTheMasterAreCountedApart() {
        for _ in 0..<2 { quarantine.blame(7, .message, now: 10) }
        #expect(quarantine.isActive && quarantine.hasMessages)
    }

    @Test func whatIsLongAgoIsForgotten() {
        for _ in 0..<2 { quarantine.blame(7, .event, now: 1000) }
        quarantine.blame(8, .message, now: 500_000)
        quarantine.forget(now: 1000 + Quarantine.memory - 1)
        #expect(quarantine.isActive && quarantine.strikes(7) == 2)
        quarantine.forget(now: 1000 + Quarantine.memory)
        #expect(!quarantine.isActive && quarantine.strikes(7) == 0 && quarantine.strikes(8) == 1)
        #expect(quarantine.blame(7, .event, now: 700_000) == 1, "from the start")
    }

    /// The oldest go, and with them what they count for.
    @Test func thereIsRoomForSoMany() {
        for hash in UInt64(1)...UInt64(Quarantine.capacity) {
            for _ in 0..<2 { quarantine.blame(hash, .message, now: 10) }
        }
        #expect(quarantine.strikes(1) == 2)
        for hash in UInt64(1000)..<UInt64(1000 + Quarantine.capacity) {
            quarantine.blame(hash, .event, now: 10)
        }
        #expect(quarantine.strikes(1) == 0 && quarantine.strikes(1000) == 1)
        #expect(!quarantine.isActive && !quarantine.hasMessages)
    }

    /// Whatever is read of an event tells it from others; its number in the ring does not.
    @Test func whatMailIsKnownBy() {
        var mail = Mail(.forkStart)
        (mail.sender, mail.fork, mail.transaction) = (.worker(1), 3, TransactionReference(rawValue: 77))
        let hash = quarantine.hash(ofFields: mail)
        var again = mail
        again.sequence = 99
        #expect(quarantine.hash(ofFields: again) == hash)
        let others: [(inout Mail) -> Void] = [
            { $0.rawKind = 4 }, { $0.sender = .worker(2) }, { $0.fork = 4 }, { $0.attempt = 1 },
            { $0.status = 1 }, { $0.flags = 1 }, { $0.transaction = .none },
            { $0.first = StoredReference(rawValue: 1) }, { $0.second = 1 }, { $0.third = 1 },
            { $0.fourth = 1 },
        ]
        var known: Set = [hash]
        for change in others {
            var other = mail
            change(&other)
            known.insert(quarantine.hash(ofFields: other))
        }
        #expect(known.count == 1 + others.count)
    }

    @Test func sortsOfEventsAreToldApart() {
        let text = [UInt8](repeating: 65, count: Quarantine.messageBytes + 1)
        let shorter = [UInt8](text.dropLast())
        #expect(quarantine.hash(ofMessage: text.span) == quarantine.hash(ofMessage: shorter.span))
        #expect(quarantine.hash(ofMessage: shorter.span) != quarantine.hash(ofQuestion: shorter.span))
        #expect(quarantine.hash(ofQuestion: shorter.span) != 0)
        let timer = quarantine.hash(ofTimer: 5, generation: 6, worker: 7)
        #expect(timer != quarantine.hash(ofTimer: 5, generation: 6, worker: 8))
        #expect(timer != quarantine.hash(ofTimer: 5, generation: 7, worker: 7))
        #expect(timer != quarantine.hash(ofTimer: 6, generation: 6, worker: 7))
    }

    @Test(arguments: [
        CurrentEvent.mail(place: 0), .mail(place: 255), .timer(cell: 1, generation: 0xFF_FFFF),
        .timer(cell: .max, generation: 0),
    ])
    func eventsFitAWord(event: CurrentEvent) {
        #expect(event.rawValue != 0 && CurrentEvent(rawValue: event.rawValue) == event)
        #expect(CurrentEvent(rawValue: 0) == nil)
    }
}
