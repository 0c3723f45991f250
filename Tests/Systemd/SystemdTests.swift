import Foundation
import Glibc
import Systemd
import Testing

/// Everything here goes through the environment of this process: one test after the other.
@Suite("What systemd is told", .serialized)
struct SystemdTests {
    /// A socket as systemd makes one, named in `$NOTIFY_SOCKET` while `body` runs; what arrived on it.
    private func notifications(_ body: () -> Void) -> [String] {
        let path = "/tmp/sipfork-notify-\(getpid()).sock"
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer {
            close(socket)
            unsafe unlink(path)
            unsafe unsetenv("NOTIFY_SOCKET")
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let bound = unsafe withUnsafePointer(to: address) {
            unsafe bind(
                socket, UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self),
                socklen_t(MemoryLayout<sockaddr_un>.size))
        }
        #expect(bound == 0)
        unsafe setenv("NOTIFY_SOCKET", path, 1)
        body()
        var texts: [String] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = unsafe recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0 { return texts }
            texts.append(String(decoding: buffer[..<count], as: UTF8.self))
        }
    }

    @Test("each notification is one datagram with its assignments")
    func notifications() {
        let texts = notifications {
            let notifier = Notifier()
            notifier.ready(status: "2 workers")
            notifier.status("3 calls")
            notifier.watchdog()
            notifier.mainPID(42)
            notifier.stopping()
        }
        #expect(
            texts == [
                "READY=1\nSTATUS=2 workers", "STATUS=3 calls", "WATCHDOG=1", "MAINPID=42", "STOPPING=1",
            ])
    }

    @Test("a descriptor to be kept comes with its name, unwatched; one to be dropped by its name")
    func store() {
        let texts = notifications {
            let store = DescriptorStore()
            store.keep(2, "arena")
            store.drop("listener-3")
        }
        #expect(texts == ["FDSTORE=1\nFDNAME=arena\nFDPOLL=0", "FDSTOREREMOVE=1\nFDNAME=listener-3"])
    }

    @Test("nothing was kept for a process that systemd did not start")
    func nothingKept() throws {
        unsafe setenv("LISTEN_FDS", "2", 1)
        unsafe setenv("LISTEN_PID", "1", 1)
        defer {
            unsafe unsetenv("LISTEN_FDS")
            unsafe unsetenv("LISTEN_PID")
        }
        #expect(try DescriptorStore().take().isEmpty)
    }

    @Test("a status cannot smuggle in an assignment")
    func oneLine() {
        #expect(notifications { Notifier().status("a\nSTOPPING=1\r\nb") } == ["STATUS=a STOPPING=1 b"])
    }

    /// sd_notify would wait here for good: the socket's queue is full and nobody reads.
    @Test("a manager that does not listen holds nobody up")
    func fullQueue() {
        let texts = notifications {
            let notifier = Notifier()
            for number in 0..<2000 { notifier.status("\(number)") }
            notifier.watchdog()
        }
        #expect(texts.first == "STATUS=0")
        #expect(texts.count < 2000)
    }

    @Test("without systemd nothing happens")
    func withoutSystemd() {
        unsafe unsetenv("NOTIFY_SOCKET")
        Notifier().ready(status: "nobody listens")
    }

    @Test(
        "the watchdog's interval, when it is for this process",
        arguments: [
            ("20000000", nil, 20_000), ("20000000", "\(getpid())", 20_000), ("20000000", "1", nil),
            (nil, nil, nil),
            ("many", nil, nil), ("1", nil, 1),
        ] as [(String?, String?, Int?)])
    func watchdog(microseconds: String?, pid: String?, interval: Int?) {
        if let microseconds { unsafe setenv("WATCHDOG_USEC", microseconds, 1) }
        if let pid { unsafe setenv("WATCHDOG_PID", pid, 1) }
        #expect(Notifier().watchdogInterval == interval)
        unsafe unsetenv("WATCHDOG_USEC")
        unsafe unsetenv("WATCHDOG_PID")
    }

    @Test("the journal is connected where $JOURNAL_STREAM names standard error")
    func journalStream() {
        var status = stat()
        unsafe fstat(STDERR_FILENO, &status)
        #expect(!Journal.isConnected)
        unsafe setenv("JOURNAL_STREAM", "\(status.st_dev):\(status.st_ino)", 1)
        #expect(Journal.isConnected)
        unsafe setenv("JOURNAL_STREAM", "\(status.st_dev):\(status.st_ino + 1)", 1)
        #expect(!Journal.isConnected)
        unsafe setenv("JOURNAL_STREAM", "journal", 1)
        #expect(!Journal.isConnected)
        unsafe unsetenv("JOURNAL_STREAM")
    }

    @Test("an entry has 24 fields at most; one more is left out and noted")
    func overflow() {
        var fields = JournalFields()
        let text = Array("MESSAGE=x".utf8)
        unsafe text.withUnsafeBytes { bytes in
            for _ in 0..<24 { unsafe fields.append(unsafe: bytes) }
            #expect(fields.count == 24 && !fields.overflowed)
            unsafe fields.append(unsafe: bytes)
            #expect(fields.count == 24 && fields.overflowed)
        }
        fields.removeAll()
        #expect(fields.count == 0 && !fields.overflowed)
    }

    @Test("message identifiers are 32 lower-case hexadecimal digits, no two alike")
    func messageIDs() {
        let all = [
            MessageID.started, MessageID.stopped, MessageID.childStarted, MessageID.childDied,
            MessageID.configurationRefused, MessageID.configurationWarning, MessageID.callFailed,
            MessageID.callAnswered, MessageID.callEnded, MessageID.malformedMessage, MessageID.logDropped,
            MessageID.limitReached, MessageID.storageFailed, MessageID.tookOver, MessageID.memoryDiscarded,
        ].map { "\($0)" }
        #expect(Set(all).count == all.count)
        for text in all { #expect(text.count == 32 && text.allSatisfy { "0123456789abcdef".contains($0) }) }
    }
}
