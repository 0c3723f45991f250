import Glibc

/// What stdout is.
enum Terminal {
    static var isThere: Bool { isatty(STDOUT_FILENO) == 1 }

    private static var size: winsize {
        var size = winsize()
        return unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 ? size : winsize()
    }

    /// Lines of it; nil where it does not say.
    static var rows: Int? { size.ws_row > 0 ? Int(size.ws_row) : nil }

    /// $COLUMNS, what the terminal says, or 80; at least 40.
    static var columns: Int {
        if let text = variable("COLUMNS"), let columns = Int(text), columns > 0 { return max(columns, 40) }
        return size.ws_col > 0 ? max(Int(size.ws_col), 40) : 80
    }

    /// The first of the variables that is set says which characters there are.
    static var isUnicode: Bool {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap(variable).first { !$0.isEmpty } ?? "C"
        return locale.lowercased().contains("utf-8") || locale.lowercased().contains("utf8")
    }

    private static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
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
