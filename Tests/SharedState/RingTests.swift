import Platform
import SharedMemory
import SharedState
import Testing

struct MailRingTests {
    static func mail(_ number: Int) -> Mail {
        var mail = Mail(.forkStart)
        mail.sender = .worker(0)
        mail.third = UInt64(number)
        return mail
    }

    @Test func numbersAndWraps() throws {
        let ring = try TestArena().state.masterRing(to: .worker(0))
        var appended = 0
        var read = 0
        var random = SystemRandomNumberGenerator()
        for _ in 0..<5000 {
            for _ in 0..<Int.random(in: 0...12, using: &random)
            where ring.append(MailRingTests.mail(appended)) {
                appended += 1
            }
            let (offset, count) = ring.stretch(from: ring.sent)
            #expect(count <= Mail.batch && count <= appended - read)
            #expect(count > 0 || appended == read)
            for index in 0..<count {
                let mail: Mail = try TestArena.load(
                    ring, offset + index * Mail.bytes, ring.mail(ring.sent + UInt64(index)))
                #expect(mail.third == UInt64(read) && mail.sequence == UInt64(read + 1))
                read += 1
            }
            ring.setSent(UInt64(read))
        }
        #expect(appended > 2 * MailRing.capacity)
    }

    @Test func refusesWhenFull() throws {
        let arena = try TestArena()
        let shard = arena.state.shard(0)
        let ring = shard.ring(to: .locator)
        for number in 0..<MailRing.capacity {
            #expect(ring.append(MailRingTests.mail(number), undo: shard.undo))
        }
        shard.undo.forget()
        #expect(!ring.append(MailRingTests.mail(0), undo: shard.undo))
        #expect(!ring.append(MailRingTests.mail(0)))
        ring.setSent(1)
        #expect(ring.append(MailRingTests.mail(1), undo: shard.undo))
        #expect(!ring.append(MailRingTests.mail(2), undo: shard.undo))
        #expect(ring.mail(1).third == 1)
        // The stretch ends where the ring does.
        ring.setSent(UInt64(MailRing.capacity - 3))
        #expect(ring.stretch(from: ring.sent).count == 3)
    }

    @Test func forgetsWhatWasUndone() throws {
        let shard = try TestArena().state.shard(0)
        let ring = shard.ring(to: .worker(1))
        _ = ring.append(MailRingTests.mail(1), undo: shard.undo)
        shard.undo.forget()
        _ = ring.append(MailRingTests.mail(2), undo: shard.undo)
        shard.undo.undo()
        #expect(ring.tail == 1)
        _ = ring.append(MailRingTests.mail(3), undo: shard.undo)
        #expect(ring.mail(1).third == 3 && ring.mail(1).sequence == 2)
    }

    @Test func seesEachMessageOnce() throws {
        let shard = try TestArena().state.shard(0)
        var mail = MailRingTests.mail(0)
        mail.sequence = 1
        #expect(shard.seen.isNew(mail))
        #expect(!shard.seen.isNew(mail))
        mail.sender = .worker(63)
        #expect(shard.seen.isNew(mail))
        mail.sequence = 9
        #expect(shard.seen.isNew(mail))
        mail.sequence = 8
        #expect(!shard.seen.isNew(mail))
        shard.undo.undo()
        // The turn was taken back: the message is new again.
        mail.sequence = 1
        #expect(shard.seen.isNew(mail))
    }
}

extension TestArena {
    /// The mail at an offset; the same as `expected`, which the ring reads by position.
    static func load(_ ring: MailRing, _ offset: Int, _ expected: Mail) throws -> Mail {
        #expect(ring.stretch(from: expected.sequence - 1).offset == offset)
        return expected
    }
}

struct LogRingTests {
    static func entry(_ number: Int, _ length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: number &+ $0) }
    }

    static func take(_ ring: LogRing) -> [UInt8]? {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LogRing.maximumEntry, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var writer = unsafe ByteWriter(buffer)
        guard ring.peek(into: &writer) else { return nil }
        #expect(!writer.overflowed)
        ring.drop()
        return writer.written.array
    }

    @Test func wrapsAndKeepsOrder() throws {
        let ring = try TestArena().state.log(.worker(0))
        var random = SystemRandomNumberGenerator()
        var model: [[UInt8]] = []
        var bytes = 0
        var number = 0
        while number < 600 {
            for _ in 0..<Int.random(in: 0...20, using: &random) {
                let entry = LogRingTests.entry(
                    number, Int.random(in: 2...(number % 40 == 0 ? 90_000 : 2500), using: &random))
                if ring.append(array: entry) {
                    model.append(entry)
                    bytes += entry.count + 4
                    number += 1
                }
            }
            for _ in 0..<Int.random(in: 0...20, using: &random) {
                let taken = LogRingTests.take(ring)
                #expect(taken == model.first)
                if !model.isEmpty { model.removeFirst() }
            }
        }
        #expect(bytes > LogRing.capacity)
        while let entry = LogRingTests.take(ring) { #expect(entry == model.removeFirst()) }
        #expect(model.isEmpty && ring.isEmpty)
    }

    @Test func dropsAndCountsWhenFull() throws {
        let ring = try TestArena().state.log(.logger)
        let entry = LogRingTests.entry(1, 4000)
        var count = 0
        while ring.append(array: entry) { count += 1 }
        #expect(count == LogRing.capacity / 4004)
        #expect(ring.dropped == 1)
        #expect(!ring.append(array: LogRingTests.entry(1, LogRing.maximumEntry + 1)))
        #expect(ring.dropped == 2)
        _ = LogRingTests.take(ring)
        #expect(ring.append(array: entry))
        for _ in 0..<count { #expect(LogRingTests.take(ring) == entry) }
        #expect(LogRingTests.take(ring) == nil)
        ring.drop()
        #expect(ring.isEmpty)
    }

    @Test func wakesTheLoggerOnce() throws {
        let ring = try TestArena().state.log(.locator)
        #expect(ring.wantsWake())
        #expect(!ring.wantsWake())
        ring.rearm()
        #expect(ring.wantsWake())
    }

    @Test func formsEntries() throws {
        let ring = try TestArena().state.log(.worker(0))
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
        defer { unsafe buffer.deallocate() }
        var entry = LogEntry(.callFailed, .notice, into: unsafe ByteWriter(buffer))
        entry.add(.message, "no")
        entry.add(.callID, Array("a@b".utf8).span)
        entry.add(.status, number: 486)
        entry.add(.branch, number: -10)
        entry.add(.rawMessage) { $0.append("SIP") }
        #expect(entry.append(to: ring))
        let now = Clock.epochMicroseconds()
        let expected: [UInt8] =
            [1, 2, 0, 0] + Array("no".utf8) + [2, 3, 0, 0] + Array("a@b".utf8) + [4, 3, 0, 0]
            + Array("486".utf8) + [7, 3, 0, 0] + Array("-10".utf8) + [12, 3, 0, 0] + Array("SIP".utf8)
        let taken = try #require(LogRingTests.take(ring))
        #expect(Array(taken[10...]) == expected)
        #expect(Array(taken[..<2]) == [LogEvent.callFailed.rawValue, 5])
        let time = (0..<8).reduce(UInt64(0)) { $0 | UInt64(taken[2 + $1]) << UInt64(8 * $1) }
        #expect(time <= now && now - time < 60_000_000)
        var long = LogEntry(.note, .info, into: unsafe ByteWriter(buffer))
        long.add(.message, string: String(repeating: "x", count: 64))
        #expect(!long.append(to: ring))
        #expect(ring.isEmpty)
        #expect(LogEvent.configurationRefused.name == "configuration-refused")
    }
}
