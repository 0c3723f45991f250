import Testing

@testable import Transaction

/// The machines live in shared memory records.
@Suite struct LayoutTests {
    @Test func machinesAreSmall() {
        #expect(MemoryLayout<InviteClientTransaction>.size <= 32)
        #expect(MemoryLayout<NonInviteClientTransaction>.size <= 32)
        #expect(MemoryLayout<InviteServerTransaction>.size <= 32)
        #expect(MemoryLayout<NonInviteServerTransaction>.size <= 32)
        #expect(MemoryLayout<InviteFork>.size <= 16)
    }

    /// Untouched memory reads as a machine that has not started.
    @Test func zeroBytesAreIdle() {
        #expect(zeroed(InviteClientTransaction.self) == InviteClientTransaction())
        #expect(zeroed(NonInviteClientTransaction.self) == NonInviteClientTransaction())
        #expect(zeroed(InviteServerTransaction.self) == InviteServerTransaction())
        #expect(zeroed(NonInviteServerTransaction.self) == NonInviteServerTransaction())
        #expect(zeroed(InviteFork.self) == InviteFork())
    }

    private func zeroed<T: BitwiseCopyable>(_: T.Type) -> T {
        let bytes = [UInt8](repeating: 0, count: MemoryLayout<T>.size)
        return unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: T.self) }
    }

    @Test func noTimerValuesHangOrTrap() {
        for values in [
            TimerValues(t1: 0, t2: 0, t4: 0, c: 0), TimerValues(t1: 0, t2: .max),
            TimerValues(t1: .max, t2: 0, t4: .max),
        ] {
            var client = NonInviteClientTransaction()
            _ = client.start(now: 0, values: values, reliable: false)
            #expect(client.timers.next > 0)
            _ = client.timeout(now: .max, values: values, reliable: false)
            #expect(client.state == .terminated)
            var server = NonInviteServerTransaction()
            _ = server.start(now: 0, values: values, reliable: false)
            #expect(server.timers.next > 0)
        }
    }
}
