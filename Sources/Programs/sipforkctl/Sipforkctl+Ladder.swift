import ArgumentParser
import Glibc
import Platform

extension Sipforkctl {
    struct Ladder: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Draw a traced call from the journal as a sequence diagram.")
        @OptionGroup var options: Options

        @Argument(help: "The Call-ID, as in the messages.")
        var callID: String

        @Option(help: "Read this journal file instead of the journal; may be repeated.")
        var file: [String] = []

        func validate() throws {
            if callID.isEmpty { throw ValidationError("The Call-ID is empty.") }
        }

        func run() throws {
            try options.show {
                var view = try LadderView(reading: callID, files: file)
                guard let first = view.entries.first else { throw nothing("no entry") }
                view.style = LadderStyle(width: Terminal.columns, isUnicode: Terminal.isUnicode)
                view.start = "\(Layout.date(Int(first.time / 1_000_000), zone: true))"
                if !view.hasMessages && !options.form.json {
                    print(view.text, terminator: "")
                    throw nothing("no message")
                }
                return view
            }
        }

        private func nothing(_ what: String) -> ControlFailure {
            let readers = "; the journal is for root and the groups adm and systemd-journal"
            return ControlFailure(
                message:
                    "\(what) of call \(Layout.printable(callID)) is in the journal: a call is traced while"
                    + " it goes on, by sipforkctl trace on"
                    + (geteuid() == 0 || !file.isEmpty ? "" : readers))
        }
    }
}
