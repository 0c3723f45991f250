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
                view.style = Terminal.style
                view.start = "\(StatusView.date(Int(first.time / 1_000_000)))"
                if !view.hasMessages && !options.json {
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

/// What the terminal can show.
enum Terminal {
    static var style: LadderStyle { LadderStyle(width: width, isUnicode: isUnicode) }

    /// Columns: $COLUMNS, what the terminal says, or 80.
    static var width: Int {
        if let text = variable("COLUMNS"), let columns = Int(text), columns > 0 { return max(columns, 40) }
        var size = winsize()
        if unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
            return max(Int(size.ws_col), 40)
        }
        return 80
    }

    /// The first of the variables that is set says which characters there are.
    private static var isUnicode: Bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(variable).first { !$0.isEmpty } ?? "C"
        return locale.lowercased().contains("utf-8") || locale.lowercased().contains("utf8")
    }

    private static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }
}
