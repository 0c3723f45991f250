import CPlatform
import Glibc
import Platform
import Proxy
import SharedState
import Testing

@testable import Master

/// The master traps on a message: its successor knows which one it was.
@Suite struct BlamedMessageTests {
    private static let text =
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCall-ID: c\r\n\r\n"

    /// A master ends while it reads a message in a slot.
    private func end(_ bench: EdgeBench, trapped: Bool) throws {
        let bytes = Array(BlamedMessageTests.text.utf8)
        let kept = bench.reception.keep(bytes.span)
        let slot = try #require(kept)
        bench.state.processes.setEvent(slot.rawValue, .master)
        if trapped { unsafe bench.state.processes.trapMark(.master).storeBytes(of: 1, as: UInt64.self) }
        bench.state.blameMaster(now: 5)
        #expect(bench.state.processes.event(.master) == 0)
        bench.reception.giveBack(slot)
    }

    private func receive(_ bench: EdgeBench, _ text: String = text) -> Dispatch {
        let bytes = Array(text.utf8)
        let endpoint = Endpoint(.tcp, bench.listener.address, listener: 3)
        return bench.reception.receive(bytes.span, from: endpoint, fault: nil)
    }

    @Test func theSameMessageIsDroppedUnread() throws {
        let bench = try EdgeBench()
        try end(bench, trapped: true)
        #expect(receive(bench) == .handed && bench.handed().count == 1)
        try end(bench, trapped: true)
        #expect(receive(bench) == .dropped)
        #expect(bench.state.counters.total(.quarantined) == 1)
        #expect(
            receive(bench, BlamedMessageTests.text.replacing("Call-ID: c", with: "Call-ID: d")) == .handed)
        #expect(bench.handed().count == 1 && bench.state.processes.event(.master) == 0)
    }

    @Test func aMasterThatWasKilledBlamesNothing() throws {
        let bench = try EdgeBench()
        for _ in 0..<3 { try end(bench, trapped: false) }
        #expect(!bench.state.quarantine.isActive)
        #expect(receive(bench) == .handed)
    }

    /// The slot was handed on, or has another message by now.
    @Test func aSlotOfAnotherIsNotBlamed() throws {
        let bench = try EdgeBench()
        for _ in 0..<2 {
            let bytes = Array(BlamedMessageTests.text.utf8)
            let kept = bench.reception.keep(bytes.span)
            let slot = try #require(kept)
            bench.state.processes.setEvent(slot.rawValue, .master)
            unsafe bench.state.processes.trapMark(.master).storeBytes(of: 1, as: UInt64.self)
            bench.reception.giveBack(slot)
            bench.state.blameMaster(now: 5)
        }
        #expect(!bench.state.quarantine.isActive)
    }
}

/// What the signal handler of `cp_mark_traps` leaves to whoever was there before.
@Suite struct TrapMarkTests {
    nonisolated(unsafe) private static var mark: UInt64 = 0

    @Test func whatWasThereBeforeFollows() async {
        await #expect(processExitsWith: .exitCode(42)) {
            signal(SIGABRT) { _ in _exit(unsafe TrapMarkTests.mark == 1 ? 42 : 1) }
            _ = unsafe cp_mark_traps(&TrapMarkTests.mark)
            kill(getpid(), SIGABRT)
            while true { sleep(1) }
        }
    }

    @Test func aProcessStillEndsByTheSignal() async {
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            _ = unsafe cp_mark_traps(&TrapMarkTests.mark)
            kill(getpid(), SIGSEGV)
            while true { sleep(1) }
        }
        await #expect(processExitsWith: .signal(SIGSEGV)) {
            _ = unsafe cp_mark_traps(&TrapMarkTests.mark)
            unsafe UnsafeMutablePointer<UInt64>(bitPattern: 64)!.pointee = 1
        }
        await #expect(processExitsWith: .failure) {
            _ = unsafe cp_mark_traps(&TrapMarkTests.mark)
            fatalError("a trap of Swift")
        }
    }
}
