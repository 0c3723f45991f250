import Platform
import Testing

@testable import Syntax

/// Hostile input: nothing traps, and time grows with length only.
@Suite struct RobustnessTests {
    /// All that looks at a message, as the fuzz target does.
    private func exercise(_ bytes: [UInt8]) {
        let scanned = Scanned(bytes)
        guard scanned.result != .notSIP else { return }
        #expect(Int(scanned.index.end) <= bytes.count)
        let via = Array("Via: SIP/2.0/UDP us;branch=z9hG4bK1\r\n".utf8)
        let tag = Array("t".utf8)
        let peer = SocketAddress("192.0.2.1", 5060)
        _ = written(200_000) { writer in
            let message = Message(scanned.bytes.span, scanned.index)
            LocalResponse.write(request: message, status: 400, toTag: tag.span, peer: peer, to: &writer)
            for dropsLast in [false, true] {
                var edits = ForwardedRequest.Edits()
                edits.maxBreadth = 60
                edits.routesToDrop = 1
                edits.dropsLastRoute = dropsLast
                edits.received = peer
                ForwardedRequest.write(
                    message: message, requestURI: nil, via: via.span, recordRoute: via.span,
                    appendRoute: tag.span, edits, to: &writer)
            }
            ForwardedResponse.write(message, to: &writer)
            CancelRequest.write(forwarded: message, to: &writer)
            _ = message.secondVia()
        }
    }

    @Test func everyTruncationIsSurvived() {
        let whole = wire(inviteText)
        for count in 0..<whole.count - 6 {
            let bytes = Array(whole[..<count])
            #expect(Scanned(bytes).result != .complete)
            exercise(bytes)
        }
    }

    @Test func everyChangedByteIsSurvived() {
        let whole = wire(inviteText)
        for place in whole.indices {
            for byte in [
                0, 0x09, 0x0A, 0x0D, 0x20, 0x22, 0x25, 0x2C, 0x3A, 0x3B, 0x3C, 0x3E, 0x40, 0x5C, 0xFF,
            ] as [UInt8] {
                var bytes = whole
                bytes[place] = byte
                exercise(bytes)
            }
        }
    }

    @Test func nulsAndBinaryAreDroppedOrFaulty() {
        for count in [1, 7, 8, 9, 1500, 65_535, 65_536, 200_000] {
            #expect(Scanned([UInt8](repeating: 0, count: count)).result == .notSIP)
            #expect(Scanned([UInt8](repeating: 0xFF, count: count)).result == .notSIP)
            #expect(Scanned([UInt8](repeating: 0x0D, count: count)).result == .notSIP)
        }
        let nuls = wire("INVITE sip:a@b SIP/2.0\n") + [UInt8](repeating: 0, count: 3000)
        #expect(Scanned(nuls).result == .faulty(.headerNotTerminated))
    }

    @Test func manyViasScanInLinearTime() {
        let lines = String(repeating: "v:SIP/2.0/UDP a\n", count: 3_500)
        let values = String(repeating: "SIP/2.0/UDP a,", count: 4_500) + "SIP/2.0/UDP a\n"
        let rest = "f:<sip:a@b>\nt:<sip:a@b>\ni:1\nCSeq:1 OPTIONS\n\n"
        for vias in [lines, "v:" + values, String(repeating: "v:\n", count: 10_000)] {
            let bytes = wire("OPTIONS sip:a@b SIP/2.0\n" + vias + rest)
            let clock = ContinuousClock()
            let time = clock.measure { exercise(bytes) }
            #expect(time < .seconds(2))
        }
        let scanned = Scanned("OPTIONS sip:a@b SIP/2.0\n" + lines + rest)
        #expect(scanned.result == .complete && scanned.index.first(.via).count == 3_500)
    }

    @Test func tenThousandViasAreCounted() {
        let bytes = wire(
            "OPTIONS sip:a@b SIP/2.0\nv:SIP/2.0/UDP a\n" + String(repeating: "v:\n", count: 9_999)
                + "f:<sip:a@b>\nt:<sip:a@b>\ni:1\nCSeq:1 OPTIONS\n\n")
        let scanned = Scanned(bytes)
        #expect(scanned.result == .complete && scanned.index.first(.via).count == 10_000)
    }

    @Test func endlessHeadersAndOversizeAreFaults() {
        let start = "INVITE sip:a@b SIP/2.0\n"
        #expect(
            Scanned(wire(start + "X: " + String(repeating: "a", count: 65_000))).result
                == .faulty(.headerNotTerminated))
        #expect(
            Scanned(wire(start + String(repeating: "X:\n", count: 12_000))).result
                == .faulty(.headerNotTerminated))
        #expect(
            Scanned(wire(start + "X:" + String(repeating: "\n ", count: 16_000))).result
                == .faulty(.headerNotTerminated))
        let large = Scanned(
            wire(inviteText.replacing("Content-Length: 4", with: "X: 1"))
                + [UInt8](repeating: 1, count: 70_000))
        #expect(large.result == .faulty(.messageTooLarge))
        #expect(large.index.end == 65_535)
    }

    @Test func theLargestMessageIsComplete() {
        var bytes = wire(inviteText.replacing("Content-Length: 4", with: "X: 1"))
        bytes += [UInt8](repeating: 0x41, count: 65_535 - bytes.count)
        let scanned = Scanned(bytes)
        #expect(scanned.result == .complete && scanned.index.end == 65_535)
        exercise(bytes)
    }

    @Test func writersThatAreTooSmallOverflowOnly() {
        let scanned = Scanned(inviteText)
        for capacity in stride(from: 1, through: 400, by: 7) {
            let bytes = written(capacity) { writer in
                ForwardedResponse.write(Message(scanned.bytes.span, scanned.index), to: &writer)
            }
            #expect(bytes.count <= capacity)
        }
    }
}
