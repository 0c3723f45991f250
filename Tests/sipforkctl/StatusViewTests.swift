import Glibc
import Platform
import Testing

@testable import sipforkctl

/// Both forms of `status`, from plain values.
struct StatusViewTests {
    static var status: StatusView {
        var view = StatusView()
        view.pid = 4711
        view.uptime = 273_906
        view.listeners = ["udp:127.0.0.1:5060", "udp:[::1]:5060"]
        view.master = .init(
            name: "master", pid: 4711, restarts: 0, isReady: true, load: 31, processorTime: 1234)
        view.workers = [
            .init(
                name: "worker 0", pid: 4713, restarts: 0, isReady: true, load: 125, processorTime: 60_000,
                transactions: 1234, mailWaiting: 7, queue: 42, delay: 67),
            .init(name: "worker 1", pid: 0, restarts: 12, isReady: false, transactions: 0),
        ]
        view.locator = .init(name: "locator", pid: 4712, restarts: 1, isReady: true, load: 0)
        view.resolver = .init(name: "resolver", pid: 4715, restarts: 2, isReady: true, load: 1000)
        view.logger = .init(name: "logger", pid: 4714, restarts: 0, isReady: false, load: 2)
        view.calls = 37
        view.rates = .init(started: 12_449, answered: 11_950, failed: 500, received: 1_234_567, sent: 0)
        view.transactions = 1234
        view.bindings = 12_345
        view.connections = 5
        view.records = 7
        view.slots = 1
        view.stored = 9
        view.limits = .init(transactions: 1_048_574, bindings: 1_048_576, connections: 16_384, slots: 8384)
        view.lastErrors = [
            .init(
                time: 1_795_378_500, process: "master", event: "child-died",
                message: "worker 1 (pid 4716) died: killed by signal 9 (SIGKILL); its successor takes over"),
            .init(
                time: 1_795_378_499, process: "worker 0", event: "hop-failed",
                message: "next hop sip:gw1.example.net;transport=tcp of route 1 does not answer: skipped for"
                    + " 30 s and \u{1B} longer"),
        ]
        view.counters = [
            .init(name: "messages_received", value: 1_234_567), .init(name: "messages_sent", value: 0),
            .init(name: "calls_started", value: 12), .init(name: "retransmissions_absorbed", value: 3),
        ]
        return view
    }

    static func setUTC() {
        unsafe setenv("TZ", "UTC", 1)
        tzset()
    }

    /// What the manual shows: a next hop has failed, a worker was replaced.
    static var example: StatusView {
        var view = StatusView()
        view.pid = 812
        view.uptime = 273_906
        view.startedAt = 1_795_104_594
        view.listeners = ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060", "udp:[2001:db8::1]:5060"]
        func process(_ name: String, _ pid: Int, _ load: Int, restarts: Int = 0, _ transactions: Int? = nil)
            -> StatusView.Process
        {
            .init(
                name: name, pid: pid, restarts: restarts, isReady: true, load: load,
                transactions: transactions)
        }
        view.master = process("master", 812, 31)
        view.workers = [
            process("worker 0", 818, 58, 312), process("worker 1", 2210, 61, restarts: 1, 305),
        ]
        view.locator = process("locator", 816, 4)
        view.resolver = process("resolver", 817, 1)
        view.logger = process("logger", 815, 2)
        view.calls = 37
        view.rates = .init(started: 12_400, answered: 11_900, failed: 500, received: 96_300, sent: 104_800)
        view.transactions = 617
        view.bindings = 2345
        view.connections = 57
        view.slots = 4
        view.limits = .init(
            transactions: 1_048_576, bindings: 1_048_576, connections: 16_384, slots: 8320)
        view.lastErrors = [
            .init(
                time: 1_795_378_500, process: "worker 0", event: "hop-failed",
                message: "next hop sip:gw1.example.net of route 1 is silent: skipped for 30 s"),
            .init(
                time: 1_795_313_474, process: "master", event: "child-died",
                message: "worker 1 (pid 819) died: killed by signal 11 (SIGSEGV); its successor takes over"),
        ]
        view.counters = [
            .init(name: "messages_received", value: 2_630_412),
            .init(name: "messages_sent", value: 2_861_007),
            .init(name: "calls_started", value: 338_612), .init(name: "calls_answered", value: 324_190),
            .init(name: "calls_failed", value: 14_385),
        ]
        return view
    }

    @Test func writesJSON() {
        #expect(
            StatusViewTests.status.json.text
                == #"{"pid":4711,"uptime_seconds":273906,"mode":"stateful","version":"\#(Version.text)","#
                + #""listeners":["udp:127.0.0.1:5060","udp:[::1]:5060"],"load":0.031,"#
                + #""workers":[{"index":0,"pid":4713,"restarts":0,"load":0.125,"queue":42,"delay_ms":67},"#
                + #"{"index":1,"pid":0,"restarts":12,"load":null,"queue":0,"delay_ms":0}],"#
                + #""processes":{"locator":{"pid":4712,"restarts":1,"load":0},"#
                + #""resolver":{"pid":4715,"restarts":2,"load":1},"logger":{"pid":4714,"restarts":0,"load":0.002}},"#
                + #""calls":{"now":37,"started_per_second":12.449,"answered_per_second":11.95,"#
                + #""failed_per_second":0.5},"#
                + #""transactions":1234,"bindings":12345,"connections":5,"#
                + #""arena":{"records":7,"slots":1,"stored":9},"#
                + #""last_errors":[{"time":1795378500,"process":"master","event":"child-died","#
                + #""message":"worker 1 (pid 4716) died: killed by signal 9 (SIGKILL); its successor takes over"},"#
                + #"{"time":1795378499,"process":"worker 0","event":"hop-failed","message":"next hop "#
                + #"sip:gw1.example.net;transport=tcp of route 1 does not answer: skipped for 30 s and \u001b longer"}],"#
                + #""counters":{"messages_received":1234567,"messages_sent":0,"calls_started":12,"#
                + #""retransmissions_absorbed":3}}"#)
    }

    @Test func writesAScreen() {
        StatusViewTests.setUTC()
        #expect(
            StatusViewTests.status.text == """
                sipfork \(Version.text), stateful, pid 4711, up 3d 04:05:06
                listening on udp:127.0.0.1:5060 udp:[::1]:5060

                                   NOW      LIMIT        IN THE LAST 10 s  PER SECOND
                calls in setup      37          -        calls started           12.4
                transactions     1,234  1,048,574        calls answered          12.0
                registrations   12,345  1,048,576        calls failed             0.5
                connections          5     16,384        messages in          1,234.6
                message slots        1      8,384        messages out             0.0

                PROCESS    PID    LOAD  TRANSACTIONS  MAIL WAITING  RESTARTS  STATE
                master    4711    3.1%             -             0         0  ready
                worker 0  4713   12.5%         1,234             7         0  ready
                worker 1     -       -             0             0        12  not running
                locator   4712    0.0%             -             0         1  ready
                resolver  4715  100.0%             -             0         2  ready
                logger    4714    0.2%             -             0         0  starting

                LAST WARNINGS AND ERRORS
                2026-11-22 20:15:00  master    worker 1 (pid 4716) died: killed by signal 9
                                               (SIGKILL); its successor takes over
                2026-11-22 20:14:59  worker 0  next hop sip:gw1.example.net;transport=tcp of
                                               route 1 does not answer: skipped for 30 s and ?
                                               longer

                COUNTER                VALUE      COUNTER                   VALUE
                messages_received  1,234,567      retransmissions_absorbed      3
                calls_started             12

                """)
    }

    @Test func foldsWhatIsSaidAgain() {
        StatusViewTests.setUTC()
        var view = StatusView()
        func error(_ time: Int, _ process: String, _ message: String) -> StatusView.LastError {
            .init(time: 1_795_378_500 - time, process: process, event: "limit-reached", message: message)
        }
        view.lastErrors = [
            error(0, "worker 0", "full"), error(1, "worker 0", "full"), error(2, "worker 0", "full"),
            error(3, "worker 1", "full"), error(4, "worker 0", "full"), error(5, "worker 0", "empty"),
        ]
        #expect(
            view.text.contains(
                """
                LAST WARNINGS AND ERRORS
                2026-11-22 20:15:00  worker 0  full (3 times)
                2026-11-22 20:14:57  worker 1  full
                2026-11-22 20:14:56  worker 0  full
                2026-11-22 20:14:55  worker 0  empty

                """), "\(view.text)")
        #expect(view.json.text.components(separatedBy: "\"full\"").count == 6, "each in the JSON form")
    }

    @Test func saysWhereNothingIsKnown() {
        let text = StatusView().text
        #expect(
            text.contains("\ncalls in setup    0      -        calls started              -\n"), "\(text)")
        #expect(text.contains("\nLAST WARNINGS AND ERRORS: none\n"))
        #expect(!text.contains("COUNTER"))
    }

    /// Whatever there is: a hundred columns.
    @Test func fitsATerminal() {
        var view = StatusViewTests.status
        view.startedAt = 1_795_000_000
        view.pid = 4_194_303
        view.listeners = (0..<16).map { "udp:[2001:db8:1234:5678:9abc:def0:1234:\($0)]:5060" }
        view.counters = (0..<35).map {
            .init(name: "retransmissions_absorbed", value: 1_000_000_000_000 + $0)
        }
        for line in view.text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
    }

    @Test func breaksLinesBetweenWords() {
        #expect(Layout.wrapped("one two", indentation: 4) == "one two\n")
        let long = String(repeating: "x", count: 120)
        #expect(Layout.wrapped("a  b \(long) c", indentation: 2) == "a  b\n  \(long)\n  c\n")
        #expect(Layout.wrapped(long, indentation: 4) == "\(long)\n")
        let words = Layout.wrapped(Array(repeating: "word", count: 50).joined(separator: " "), indentation: 3)
        #expect(words.split(separator: "\n").allSatisfy { $0.count <= 80 })
        #expect(words.split { $0 == " " || $0 == "\n" }.count == 50)
    }

    @Test(arguments: [
        (0, "0"), (999, "999"), (1000, "1,000"), (1_048_576, "1,048,576"), (-1234, "-1,234"),
        (.min, "-9,223,372,036,854,775,808"),
    ])
    func groupsThousands(_ value: Int, _ text: String) {
        #expect(Layout.thousands(value) == text)
    }

    @Test(arguments: [
        (0, "0.0"), (49, "0.0"), (50, "0.1"), (999, "1.0"), (1_234_567, "1,234.6"), (-5, "0.0"),
    ])
    func roundsToTenths(_ value: Int, _ text: String) {
        #expect(Layout.tenths(value) == text)
    }

    @Test func putsTablesSideBySide() {
        #expect(Layout.besides("a\nbcd\n", "x\ny\nz\n", gap: 2) == "a    x\nbcd  y\n     z\n")
        #expect(Layout.besides("a\nb\n", "x\n", gap: 1) == "a x\nb\n")
    }
}
