import ArgumentParser
import Platform
import SharedState

/// The commands (`sipforkctl(8)`): most read a view of the shared memory and print it; some have the server do
/// something, `check` reads a file and `ladder` the journal.
struct Sipforkctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sipforkctl", abstract: "Look into a running sipforkd, and register users by hand.",
        version: Version.text,
        subcommands: [
            Status.self, Workers.self, Registrations.self, Register.self, Unregister.self, Transactions.self,
            Metrics.self, Check.self, Trace.self, Ladder.self, Reload.self,
        ])

    /// Which server is asked.
    struct Server: ParsableArguments {
        @Option(help: "The control socket of the server.")
        var socket = ControlClient.defaultPath

        /// Runs `read` on a view of the shared memory; complains and ends where there is none.
        func read<Result>(_ read: (SharedState) throws -> Result) throws -> Result {
            try complaining { try attempt(read) }
        }

        /// Says why a server refuses, and ends.
        func complaining<Result>(_ body: () throws -> Result) throws -> Result {
            do {
                return try body()
            } catch let failure as ControlFailure {
                Terminal.complain(failure.message)
                throw ExitCode(1)
            }
        }

        /// Runs `read` on a view; nothing of its result may point into that.
        func attempt<Result>(_ read: (SharedState) throws -> Result) throws -> Result {
            let state = try ControlClient.attach(socket)
            // What is gone shall not keep its memory because it is watched.
            defer { unsafe state.memory.unmap() }
            return try read(state)
        }
    }

    /// In which form something is shown.
    struct Form: ParsableArguments {
        @Flag(help: "Print JSON instead of text.")
        var json = false

        func text(_ view: some View) -> String { json ? view.json.text + "\n" : view.text }
    }

    /// What most commands take.
    struct Options: ParsableArguments {
        @OptionGroup var server: Server
        @OptionGroup var form: Form

        var socket: String { server.socket }

        /// Reads a view and prints it.
        func show(_ read: (SharedState) throws -> some View) throws {
            Terminal.write(form.text(try server.read(read)))
        }

        /// Prints what `answer` gives, or why there is none.
        func show(_ answer: () throws -> some View) throws {
            Terminal.write(form.text(try server.complaining(answer)))
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The whole service at a glance.")
        @OptionGroup var options: Options
        @OptionGroup var watching: Watching

        func run() throws { try options.show(watching) { StatusView(reading: $0) } }
    }

    struct Workers: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Each worker process.")
        @OptionGroup var options: Options
        @OptionGroup var watching: Watching

        func run() throws { try options.show(watching) { WorkersView(reading: $0) } }
    }

    struct Registrations: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Who is registered, and where.")
        @OptionGroup var options: Options

        @Argument(help: "Only this user, such as alice@example.org.")
        var addressOfRecord: String?

        func run() throws {
            if let addressOfRecord, AddressOfRecord.canonical(addressOfRecord) == nil {
                throw ValidationError(
                    "'\(addressOfRecord)' is no address of record such as alice@example.org.")
            }
            try options.show { RegistrationsView(reading: $0, only: addressOfRecord) }
        }
    }

    struct Transactions: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Each request in progress, with its forks.")
        @OptionGroup var options: Options
        @OptionGroup var watching: Watching

        func run() throws { try options.show(watching) { TransactionsView(reading: $0) } }
    }

    struct Metrics: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Counters and gauges as OpenMetrics text, for a monitoring system.")
        @OptionGroup var server: Server

        func run() throws { Terminal.write(try server.read { MetricsView(StatusView(reading: $0)) }.text) }
    }
}

/// What a command shows, in both its forms; read from shared memory elsewhere.
protocol View {
    var json: JSON { get }
    /// Lines, each with its newline.
    var text: String { get }
}

/// Moves the options in front of the command behind it, where its parser looks for them.
enum ArgumentOrder {
    static func optionsLast(_ arguments: [String]) -> [String] {
        var options: [String] = []
        var rest = arguments[...]
        while let first = rest.first, first == "--json" || first == "--socket" || first.hasPrefix("--socket=")
        {
            options.append(rest.removeFirst())
            if first == "--socket", let value = rest.popFirst() { options.append(value) }
        }
        // Without a command there is nothing to move behind.
        return rest.isEmpty || rest.first!.hasPrefix("-") ? options + rest : rest + options
    }
}
