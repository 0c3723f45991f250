import Glibc

/// What stdout is.
enum Terminal {
    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

    /// Lines of it; nil where it does not say.
    static var rows: Int? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0 else { return nil }
        return Int(size.ws_row)
    }

    /// At once, also into a pipe.
    static func write(_ text: String) {
        print(text, terminator: "")
        fflush(nil)
    }

    static func complain(_ text: String) { say("sipforkctl: \(text)") }

    /// A line on stderr.
    static func say(_ text: String) {
        let line = Array("\(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
    }

    /// Takes the place of what was drawn before: from the upper left corner on, each line to its end. What has no
    /// room below is left out.
    static func drawing(_ text: String, rows: Int?) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
        if let rows { lines = lines.prefix(max(rows - 1, 1)) }
        return "\u{1B}[H" + lines.map { $0 + "\u{1B}[K\n" }.joined() + "\u{1B}[J"
    }

    static let clear = "\u{1B}[2J"
}
