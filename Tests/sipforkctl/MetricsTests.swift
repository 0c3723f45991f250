import Platform
import SharedState
import Testing

@testable import sipforkctl

/// The text of `metrics`, from plain values; the acceptance tests parse that of a running service.
struct MetricsTests {
    @Test func writesFamilies() {
        let view = MetricsView(families: [
            .init(
                name: "a", kind: .counter, unit: nil, help: "A \"word\", a \\ and\na line",
                samples: [.init(value: "7")]),
            .init(
                name: "b_seconds", kind: .gauge, unit: "seconds", help: "Time",
                samples: [
                    .init(label: .init(name: "process", value: "x\"\\\n"), value: "0.5"),
                    .init(label: .init(name: "process", value: "y"), value: "1"),
                ]),
            .init(
                name: "c", kind: .info, unit: nil, help: "Of it",
                samples: [.init(label: .init(name: "version", value: "1"), value: "1")]),
            .init(name: "d", kind: .gauge, unit: nil, help: "None", samples: []),
        ])
        #expect(
            view.text == #"""
                # TYPE a counter
                # HELP a A "word", a \\ and\na line
                a_total 7
                # TYPE b_seconds gauge
                # UNIT b_seconds seconds
                # HELP b_seconds Time
                b_seconds{process="x\"\\\n"} 0.5
                b_seconds{process="y"} 1
                # TYPE c info
                # HELP c Of it
                c_info{version="1"} 1
                # TYPE d gauge
                # HELP d None
                # EOF

                """#)
    }

    @Test func hasEveryCounterAndProcess() throws {
        let view = MetricsView(StatusViewTests.status)
        let names = view.families.map(\.name)
        #expect(Set(names).count == names.count)
        for counter in Counter.allCases { #expect(names.contains("sipfork_\(counter.name)")) }
        let text = view.text
        for line in [
            "sipfork_build_info{version=\"\(Version.text)\"} 1", "sipfork_messages_received_total 1234567",
            "sipfork_calls_failed_total 0", "sipfork_calls_in_setup 37", "sipfork_transactions 1234",
            "sipfork_transactions_limit 1048574", "sipfork_bindings 12345", "sipfork_connections_limit 16384",
            "sipfork_process_cpu_seconds_total{process=\"master\"} 1.234",
            "sipfork_process_cpu_seconds_total{process=\"worker 0\"} 60",
            "sipfork_process_restarts_total{process=\"worker 1\"} 12",
            "sipfork_process_ready{process=\"worker 1\"} 0", "sipfork_process_ready{process=\"resolver\"} 1",
            "sipfork_process_mail_waiting{process=\"worker 0\"} 7",
            "sipfork_process_transactions{process=\"worker 0\"} 1234",
            "sipfork_process_queue{process=\"worker 0\"} 42",
            "sipfork_process_delay_seconds{process=\"worker 0\"} 0.067",
        ] { #expect(text.contains("\n\(line)\n"), "\(line)") }
        // What is not known has no sample.
        #expect(!text.contains("cpu_seconds_total{process=\"worker 1\"}"))
    }

    /// OpenMetrics: the unit is the end of the name, and the reserved suffixes are not.
    @Test func namesAreAsOpenMetricsWantsThem() {
        for family in MetricsView(StatusView()).families {
            if let unit = family.unit { #expect(family.name.hasSuffix("_\(unit)"), "\(family.name)") }
            for suffix in ["_total", "_created", "_info", "_bucket", "_count", "_sum"] {
                #expect(!family.name.hasSuffix(suffix), "\(family.name)")
            }
        }
    }
}
