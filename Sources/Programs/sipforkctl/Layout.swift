import Glibc

/// Text for people: tables, numbers, times, bytes of strangers made harmless.
enum Layout {
    /// Columns that every terminal has.
    static let width = 80

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

    /// Two tables side by side.
    static func besides(_ left: String, _ right: String, gap: Int) -> String {
        let columns = [left, right].map {
            $0.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        }
        let width = columns[0].map(\.count).max() ?? 0
        var text = ""
        for row in 0..<max(columns[0].count, columns[1].count) {
            let first = row < columns[0].count ? columns[0][row] : ""
            let second = row < columns[1].count ? columns[1][row] : ""
            let padding = second.isEmpty ? 0 : width + gap - first.count
            text += first + String(repeating: " ", count: padding) + second + "\n"
        }
        return text
    }

    /// Lines of at most `width` columns, broken between words; those after the first are indented. A word that is
    /// longer than a line has one for itself.
    static func wrapped(_ text: String, indentation: Int) -> String {
        let margin = String(repeating: " ", count: indentation)
        var result = ""
        var line = ""
        for word in text.split(separator: " ", omittingEmptySubsequences: false) {
            if line.count > indentation && line.count + 1 + word.count > width {
                result += line + "\n"
                line = margin + word
            } else {
                line += (line.isEmpty || line == margin ? "" : " ") + word
            }
        }
        return result + line + "\n"
    }

    /// 1,234,567
    static func thousands(_ value: Int) -> String {
        let digits = Array(String(value.magnitude))
        var text = value < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }

    /// Of thousandths: 12.3, 1,234.0; rounded.
    static func tenths(_ thousandths: Int) -> String {
        let tenths = (max(thousandths, 0) + 50) / 100
        return "\(thousands(tenths / 10)).\(tenths % 10)"
    }

    /// 2026-11-22 20:15:00, in local time.
    static func date(_ seconds: Int, zone: Bool) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        guard unsafe localtime_r(&time, &parts) != nil else { return "?" }
        var buffer = [CChar](repeating: 0, count: 64)
        let size = buffer.count
        let format = zone ? "%Y-%m-%d %H:%M:%S %Z" : "%Y-%m-%d %H:%M:%S"
        let count = unsafe strftime(&buffer, size, format, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
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

    /// Without control characters, and without those that turn the direction of writing.
    static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { isHarmless($0.value) ? $0 : "?" }))
    }

    private static func isHarmless(_ character: UInt32) -> Bool {
        switch character {
        case 0..<0x20, 0x7F...0x9F, 0x200E...0x200F, 0x202A...0x202E, 0x2066...0x2069: false
        default: true
        }
    }
}
