/// Text for people: tables, durations, bytes of strangers made harmless.
enum Layout {
    /// Columns side by side, two spaces apart; those of `right` (numbers) end in line, the others begin in
    /// line.
    static func table(_ header: [String], _ rows: [[String]], right: Set<Int> = []) -> String {
        let all = [header] + rows
        let widths = header.indices.map { column in all.map { $0[column].count }.max()! }
        var text = ""
        for row in all {
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += (column == 0 ? "" : "  ") + (right.contains(column) ? padding + cell : cell + padding)
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }

    /// 04:05:06, or 3d 04:05:06.
    static func uptime(_ seconds: Int) -> String {
        let clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(twoDigits).joined(
            separator: ":")
        return seconds >= 86400 ? "\(seconds / 86400)d \(clock)" : clock
    }

    /// 59s, 59:12, 1:59:12, 3d 01:59:12: how long something lasts.
    static func duration(_ seconds: Int) -> String {
        if seconds < 60 { return "\(max(seconds, 0))s" }
        if seconds < 3600 { return "\(seconds / 60):\(twoDigits(seconds % 60))" }
        if seconds < 86400 {
            return "\(seconds / 3600):\(twoDigits(seconds / 60 % 60)):\(twoDigits(seconds % 60))"
        }
        return uptime(seconds)
    }

    /// 0.2s, 31.9s, then as `duration`.
    static func age(milliseconds: Int) -> String {
        milliseconds < 60_000
            ? "\(milliseconds / 1000).\(milliseconds % 1000 / 100)s" : duration(milliseconds / 1000)
    }

    private static func twoDigits(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }

    /// Without control characters.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? "?" : $0 }))
    }
}
