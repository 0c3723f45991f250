import ArgumentParser
import Configuration

extension Sipforkctl {
    /// The judgement of `sipforkd -t`, without the server.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Whether a configuration is good, before it is used.")
        @OptionGroup var form: Form

        @Argument(help: "The configuration.", completion: .file(extensions: ["toml"]))
        var file = Configuration.defaultPath

        /// EX_CONFIG of sysexits(3), as `sipforkd -t` has it.
        private static let refused = ExitCode(78)

        func run() throws {
            let view = CheckView(file: file)
            if form.json {
                Terminal.write(form.text(view))
            } else {
                for line in view.lines { Terminal.say(line) }
                Terminal.write(view.text)
            }
            if !view.isGood { throw Check.refused }
        }
    }
}
