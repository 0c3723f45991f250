import ArgumentParser

extension Sipforkctl {
    struct Reload: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Have the server read its configuration again.")
        @OptionGroup var options: Options

        /// Seconds: each child has ten to be replaced in.
        private static let patience = 120

        func run() throws {
            try options.show {
                // One that hangs is known at once.
                _ = try ControlClient.attach(options.socket)
                let request = Array("reload\n".utf8)
                return ReloadView(
                    lines: try ControlClient.ask(
                        request, name: "reload", options.socket, patience: Reload.patience,
                        doubt: "; what it has done, its journal tells"
                    ).split(separator: "\n").map(String.init))
            }
        }
    }
}

/// What has come of a reload: what has changed first, then what waits, and warnings.
struct ReloadView: View, Equatable {
    let lines: [String]

    var json: JSON { ["outcome": .array(lines.map { .string($0) })] }
    var text: String { lines.map { Layout.printable($0) + "\n" }.joined() }
}
