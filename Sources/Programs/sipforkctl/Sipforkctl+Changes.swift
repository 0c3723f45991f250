import ArgumentParser
import Registrar
import SharedState
import Syntax

/// The commands that change registrations: the server carries them out as a REGISTER. What the user's
/// registrations are then is shown, as `registrations` would.
extension Sipforkctl {
    struct Register: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add a contact to a user, or refresh it.")
        @OptionGroup var options: Options

        @Argument(help: "The user, such as alice@example.org; alice alone is of the first domain.")
        var addressOfRecord: String

        @Argument(help: "Where to reach the user, such as sip:alice@192.0.2.4:5062.")
        var contact: String

        @Option(help: "For how many seconds; the server's default otherwise.")
        var expires: UInt32?

        @Option(help: "Preference, 0 to 1.")
        var q: String?

        @Option(help: "Proxies on the way, as in a Path header: '<sip:edge.example.org;lr>'.")
        var path: String?

        func validate() throws {
            if expires == 0 { throw ValidationError("A contact is removed with unregister.") }
        }

        func run() throws {
            try options.change(addressOfRecord) { uri in
                var command = RegisterCommand(.register, uri, contact: contact)
                command.expires = expires.map { "\($0)" } ?? ""
                command.q = q ?? ""
                command.path = path ?? ""
                return command
            }
        }
    }

    struct Unregister: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a contact of a user, or all of them.")
        @OptionGroup var options: Options

        @Argument(help: "The user, such as alice@example.org; alice alone is of the first domain.")
        var addressOfRecord: String

        @Argument(help: "The contact, as registrations shows it; all where none is given.")
        var contact: String?

        func validate() throws {
            if contact == "" { throw ValidationError("The contact is empty.") }
        }

        func run() throws {
            try options.change(addressOfRecord) { RegisterCommand(.unregister, $0, contact: contact ?? "") }
        }
    }
}

extension Sipforkctl.Options {
    /// Has the server carry out a command, and shows the user's registrations.
    func change(_ addressOfRecord: String, _ command: (String) -> RegisterCommand) throws {
        try show { state in
            guard let uri = AddressOfRecord.uri(addressOfRecord, state) else {
                throw ValidationError(
                    "'\(addressOfRecord)' is no address of record such as alice@example.org.")
            }
            let command = command(uri)
            switch command.fault {
            case nil: break
            case .badContact?:
                throw ValidationError(
                    command.q.isEmpty
                        ? "'\(command.contact)' is no URI such as sip:alice@192.0.2.4:5062."
                        : "'\(command.contact)' is no URI, or '\(command.q)' no q such as 0.5.")
            case let fault?: throw ValidationError("\(fault.text).")
            }
            try ControlClient.order(command, socket)
            return RegistrationsView(reading: state, only: uri)
        }
    }
}
