import Platform

/// How a ladder is drawn.
struct LadderStyle: Equatable {
    /// Columns of the terminal.
    var width = 80
    /// Lines and arrows of Unicode; else ASCII.
    var isUnicode = true

    var line: Character { isUnicode ? "│" : "|" }
    var arrow: Character { isUnicode ? "─" : "-" }
    /// Of what was sent before.
    var dashes: Character { isUnicode ? "╌" : "." }
    var crossing: Character { isUnicode ? "┼" : "+" }
    var toRight: Character { isUnicode ? "▶" : ">" }
    var toLeft: Character { isUnicode ? "◀" : "<" }
    var lost: Character { isUnicode ? "✗" : "x" }
    var cut: String { isUnicode ? "…" : "~" }
}

/// A call as a sequence diagram: one column for each peer, ours between those who came to us and those whom we
/// went to, and at the right the process that has the message.
///
///              udp:192.0.2.4:5060   sipfork   udp:192.0.2.7:5060
///        0.000         │ ─ INVITE ──▶ │               │           worker 1
///        0.001         │              │ ── INVITE ──▶ │           worker 0, fork 0
///
/// Where there is no room for the columns, a line for each message.
struct LadderDrawing {
    /// Columns from one lifeline to the next.
    private static let least = 12
    private static let most = 30

    private let view: LadderView
    private let style: LadderStyle
    /// Peers left and right of us.
    private let left: [String]
    private let right: [String]
    /// Of the times, with a blank behind them, and of those who have the messages.
    private let timeWidth: Int
    private let asideWidth: Int

    init(_ view: LadderView) {
        self.view = view
        style = view.style
        var left: [String] = []
        var right: [String] = []
        for entry in view.entries where entry.kind != .note {
            if left.contains(entry.peer) || right.contains(entry.peer) { continue }
            if entry.kind == .incoming { left.append(entry.peer) } else { right.append(entry.peer) }
        }
        self.left = left
        self.right = right
        let first = view.entries.first?.time ?? 0
        let last = view.entries.last?.time ?? 0
        timeWidth = LadderDrawing.seconds(last - first).count + 1
        asideWidth = view.entries.map { LadderDrawing.aside($0).count }.max() ?? 0
    }

    var text: String {
        let spacing = min((style.width - timeWidth - 2 - asideWidth) / columns, LadderDrawing.most)
        var text = heading
        if spacing >= LadderDrawing.least {
            text += names(spacing)
            for entry in view.entries { text += entry.kind == .note ? note(entry) : row(entry, spacing) }
        } else {
            let width = view.entries.map { label($0, style.width).count }.max() ?? 0
            for entry in view.entries { text += entry.kind == .note ? note(entry) : listed(entry, width) }
        }
        return text
    }

    private var columns: Int { left.count + 1 + right.count }

    // MARK: parts

    private var heading: String {
        var lines = ["call  \(view.callID)"]
        if let first = view.entries.first(where: { !$0.from.isEmpty }) {
            lines += ["from  \(first.from)", "to    \(first.to)"]
        }
        lines.append("at    \(view.start)")
        return lines.map { cut(Layout.printable($0), style.width) + "\n" }.joined() + "\n"
    }

    private static func seconds(_ microseconds: UInt64) -> String {
        let milliseconds = Int(clamping: microseconds / 1000)
        return "\(milliseconds / 1000).\(String(1000 + milliseconds % 1000).dropFirst())"
    }

    /// Since the first entry.
    private func time(_ entry: LadderEntry) -> String {
        let text = LadderDrawing.seconds(entry.time - (view.entries.first?.time ?? 0))
        return blanks(timeWidth - 1 - text.count) + text + " "
    }

    /// Who has it.
    private static func aside(_ entry: LadderEntry) -> String {
        if entry.kind == .note { return "" }
        if entry.process.isEmpty { return "dropped" }
        guard let fork = entry.fork else { return Layout.printable(entry.process) }
        // An attempt at another address of the same target.
        let attempt = fork.attempt > 0 ? "/\(fork.attempt)" : ""
        return "\(Layout.printable(entry.process)), fork \(fork.index)\(attempt)"
    }

    /// The longest of these that has at most so many columns: "200 OK (BYE) again", "200 OK (BYE)",
    /// "200 (BYE)", "200".
    private func label(_ entry: LadderEntry, _ room: Int) -> String {
        let method = Layout.printable(entry.method)
        guard let status = entry.status else {
            let again = method + " again"
            return entry.isAgain && again.count <= room ? again : cut(method, room)
        }
        let suffix = method == "INVITE" || method.isEmpty ? "" : " (\(method))"
        let reason = Layout.printable(entry.reason)
        var forms = ["\(status) \(reason)\(suffix)"]
        if entry.isAgain { forms.insert(forms[0] + " again", at: 0) }
        if let fitting = forms.first(where: { $0.count <= room }) { return fitting }
        let reasonRoom = room - "\(status) ".count - suffix.count
        if reasonRoom >= 8 { return "\(status) \(cut(reason, reasonRoom))\(suffix)" }
        return "\(status)\(suffix)".count <= room ? "\(status)\(suffix)" : cut("\(status)", room)
    }

    private func cut(_ text: String, _ count: Int) -> String {
        text.count <= count ? text : text.prefix(max(count - 1, 0)) + style.cut
    }

    private func blanks(_ count: Int) -> String { String(repeating: " ", count: max(count, 0)) }

    // MARK: columns

    private func place(_ column: Int, _ spacing: Int) -> Int { spacing / 2 + column * spacing }

    /// The names of the columns, in as many lines as the longest needs.
    private func names(_ spacing: Int) -> String {
        let names = (left + ["sipfork"] + right).map { wrapped(Layout.printable($0), spacing - 1) }
        var text = ""
        for line in 0..<names.map(\.count).max()! {
            var row = [Character](repeating: " ", count: spacing * names.count)
            for (column, name) in names.enumerated() where line < name.count {
                let start = place(column, spacing) - name[line].count / 2
                row.replaceSubrange(start..<start + name[line].count, with: name[line])
            }
            text += blanks(timeWidth) + trimmed(row) + "\n"
        }
        return text
    }

    /// transport:address:port in lines of at most `width`; a break in front of the port where that does.
    private func wrapped(_ name: String, _ width: Int) -> [[Character]] {
        var rest = Array(name)
        var lines: [[Character]] = []
        while rest.count > width {
            let colon = rest.lastIndex(of: ":") ?? 0
            let count = colon > 4 && colon <= width ? colon : width
            lines.append(Array(rest.prefix(count)))
            rest.removeFirst(count)
        }
        return lines + [rest]
    }

    private func row(_ entry: LadderEntry, _ spacing: Int) -> String {
        var row = [Character](repeating: " ", count: spacing * columns)
        for column in 0..<columns { row[place(column, spacing)] = style.line }
        let ours = left.count
        let other =
            left.firstIndex(of: entry.peer) ?? ours + 1 + (right.firstIndex(of: entry.peer) ?? 0)
        let start = place(min(ours, other), spacing)
        let end = place(max(ours, other), spacing)
        for index in start + 1..<end {
            row[index] =
                row[index] == style.line ? style.crossing : entry.isAgain ? style.dashes : style.arrow
        }
        let goesRight = (entry.kind == .incoming) == (other < ours)
        row[goesRight ? end - 1 : start + 1] =
            entry.error != nil ? style.lost : goesRight ? style.toRight : style.toLeft
        // Between the lifelines also the head, a dash, and a blank at each side.
        let text = " " + label(entry, end - start - 5) + " "
        let first = start + 1 + (end - start - 1 - text.count + (goesRight ? 0 : 1)) / 2
        row.replaceSubrange(first..<first + text.count, with: text)
        return time(entry) + trimmed(row + "  " + LadderDrawing.aside(entry)) + "\n" + failure(entry)
    }

    private func trimmed(_ row: [Character]) -> String {
        var row = row[...]
        while row.last == " " { row.removeLast() }
        return String(row)
    }

    // MARK: lines

    /// What the service says of the call besides.
    private func note(_ entry: LadderEntry) -> String { remark(time(entry), entry.message) }

    private func failure(_ entry: LadderEntry) -> String {
        guard let error = entry.error else { return "" }
        return remark(blanks(timeWidth), "not sent: \(SystemError.text(Int32(clamping: error)))")
    }

    /// A remark on as many lines as it takes.
    private func remark(_ time: String, _ message: String) -> String {
        let room = max(style.width - timeWidth - 2, 20)
        var lines: [String] = [""]
        for word in Layout.printable(message).split(separator: " ") {
            let last = lines[lines.count - 1]
            if last.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if last.count + 1 + word.count <= room {
                lines[lines.count - 1] += " \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return time + "* " + lines.joined(separator: "\n" + blanks(timeWidth + 2)) + "\n"
    }

    /// A message where there is no room for columns: seen from the peer, who stands in front.
    private func listed(_ entry: LadderEntry, _ widest: Int) -> String {
        let name = Layout.printable(entry.peer)
        let names = (left + right).map { Layout.printable($0).count }.max()!
        let dash = String(repeating: entry.isAgain ? style.dashes : style.arrow, count: 2)
        let head = entry.error != nil ? style.lost : entry.kind == .incoming ? style.toRight : style.toLeft
        let arrow = entry.kind == .incoming ? "\(dash)\(head)" : "\(head)\(dash)"
        let room = max(min(widest, style.width - timeWidth - names - 7 - asideWidth), 10)
        let label = label(entry, room)
        let line =
            time(entry) + name + blanks(names - name.count) + " \(arrow) " + label
            + blanks(room - label.count + 2) + LadderDrawing.aside(entry)
        return cut(line, style.width) + "\n" + failure(entry)
    }
}
