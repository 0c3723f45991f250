import ArgumentParser
import Glibc
import SharedState

/// The commands (`sipforkctl(8)`): each reads a view of the shared memory and prints it; two have the server
/// change something before.
struct Sipforkctl: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "sipforkctl", abstract: "Look into a running sipforkd, and register users by hand.",
        version: version,
        subcommands: [
            Status.self, Workers.self, Registrations.self, Register.self, Unregister.self, Transactions.self,
            Trace.self, Ladder.self, Reload.self,
        ])

    /// What every command takes.
    struct Options: ParsableArguments {
        @Option(help: "The control socket of the server.")
        var socket = ControlClient.defaultPath

        @Flag(help: "Print JSON instead of text.")
        var json = false

        /// Reads a view of the shared memory and prints it.
        func show<V: View>(_ read: (SharedState) throws -> V) throws {
            try show { try read(ControlClient.attach(socket)) }
        }

        /// Prints what `answer` gives, or why there is none.
        func show<V: View>(_ answer: () throws -> V) throws {
            let view: V
            do {
                view = try answer()
            } catch let failure as ControlFailure {
                let line = Array("sipforkctl: \(failure.message)\n".utf8)
                _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress!, $0.count) }
                throw ExitCode(1)
            }
            print(json ? view.json.text + "\n" : view.text, terminator: "")
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "The whole service at a glance.")
        @OptionGroup var options: Options

        func run() throws { try options.show { StatusView(reading: $0) } }
    }

    struct Workers: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Each worker process.")
        @OptionGroup var options: Options

        func run() throws { try options.show { WorkersView(reading: $0) } }
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

        func run() throws { try options.show { TransactionsView(reading: $0) } }
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
