import ArgumentParser
import SharedState

/// Following one call: `trace` has the server write its messages to the journal, `ladder` draws them.
extension Sipforkctl {
    struct Trace: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write each message of some calls to the journal; alone, show what is on.",
            subcommands: [Show.self, On.self, Off.self], defaultSubcommand: Show.self)

        struct Show: ParsableCommand {
            static let configuration = CommandConfiguration(abstract: "What is traced.")
            @OptionGroup var options: Options

            func run() throws { try options.show { TraceView(reading: $0) } }
        }

        struct On: ParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Trace these calls from now on, and no others.")
            @OptionGroup var options: Options

            @Argument(
                help: """
                    A Call-ID (call-id=…), user (user=alice or user=alice@example.org), or where messages come \
                    from (source=192.0.2.7 or a network); it may do without the name of its kind.
                    """)
            var filter: String

            func validate() throws {
                if filter.isEmpty { throw ValidationError("The filter is empty.") }
                if filter.utf8.count > TraceRegion.longestFilter {
                    throw ValidationError("The filter is longer than \(TraceRegion.longestFilter) bytes.")
                }
                if filter.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F }) {
                    throw ValidationError("The filter has a blank or a control character.")
                }
            }

            func run() throws { try options.trace("on \(filter)") }
        }

        struct Off: ParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Trace nothing.")
            @OptionGroup var options: Options

            func run() throws { try options.trace("off") }
        }
    }
}

extension Sipforkctl.Options {
    /// Has the server trace something else, and shows what it traces then.
    fileprivate func trace(_ order: String) throws {
        try show { state in
            _ = try ControlClient.ask(
                Array("trace \(order)\n".utf8), name: "trace", socket, patience: ControlClient.patience)
            return TraceView(reading: state)
        }
    }
}

/// `trace`: what is traced now.
struct TraceView: View, Equatable {
    /// As it was given; nil: nothing is traced.
    var filter: String?
    /// Seconds since 1970.
    var since = 0
    /// Calls that it has met.
    var calls = 0

    var json: JSON {
        [
            "filter": .optional(filter), "since": filter == nil ? .null : .number(since),
            "calls": .number(calls),
        ]
    }

    var text: String {
        guard let filter else { return "tracing is off\n" }
        let met = calls == 1 ? "1 call" : "\(calls) calls"
        return "tracing \(Layout.printable(filter)) since \(Layout.date(since, zone: true)): \(met) so far\n"
    }
}

extension TraceView {
    init(reading state: SharedState) {
        guard let filter = state.trace.filter else { return }
        self.filter = String(decoding: filter, as: UTF8.self)
        since = Int(clamping: state.trace.since)
        calls = Int(clamping: state.trace.calls)
    }
}
