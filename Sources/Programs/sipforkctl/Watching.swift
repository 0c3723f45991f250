import ArgumentParser
import Glibc
import SharedState

/// `--watch`: shows the same again and again.
struct Watching: ParsableArguments {
    // As text: of what is no number, the library would make the default.
    @Option(
        defaultAsFlag: "2", parsing: .next,
        help: ArgumentHelp("Show it again every so many seconds, until Ctrl-C.", valueName: "seconds"))
    var watch: String?

    /// Nil: once.
    var seconds: Int? { watch.flatMap { Int($0) } }

    func validate() throws {
        if watch != nil && !(1...86_400).contains(seconds ?? 0) {
            throw ValidationError("--watch takes seconds, from 1 to 86400.")
        }
    }
}

extension Sipforkctl.Options {
    /// Reads a view and prints it, once or for ever.
    func show(_ watching: Watching, _ read: (SharedState) throws -> some View) throws {
        guard let seconds = watching.seconds else {
            try show(read)
            return
        }
        let isScreen = Terminal.isThere && !form.json
        // The first look must succeed: a socket that one may not use is no service that is away.
        var text = form.text(try server.read(read))
        if isScreen { Terminal.write(Terminal.clear) }
        var complaint: String?
        while true {
            Terminal.write(isScreen ? Terminal.drawing(text, rows: Terminal.rows) : text)
            repeat {
                sleep(UInt32(seconds))
                do {
                    text = form.text(try server.attempt(read))
                    complaint = nil
                } catch let failure as ControlFailure {
                    let news = "\(failure.message); trying again every \(seconds) s"
                    if isScreen {
                        Terminal.write(Terminal.drawing("sipforkctl: \(news)\n", rows: Terminal.rows))
                    } else if news != complaint {
                        Terminal.complain(news)
                    }
                    complaint = news
                }
            } while complaint != nil
        }
    }
}
