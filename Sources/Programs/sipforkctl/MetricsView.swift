/// `metrics`: what can be counted and measured, as OpenMetrics 1.0 text.
///
///     # TYPE sipfork_messages_sent counter
///     # HELP sipfork_messages_sent Datagrams, and messages on TCP connections, that were sent
///     sipfork_messages_sent_total 1234
struct MetricsView: Equatable {
    enum Kind: String {
        case counter, gauge, info
    }

    struct Label: Equatable {
        let name: String
        let value: String
    }

    struct Sample: Equatable {
        var label: Label?
        let value: String
    }

    struct Family: Equatable {
        let name: String
        let kind: Kind
        /// The last word of the name, where that is a unit.
        let unit: String?
        let help: String
        let samples: [Sample]
    }

    let families: [Family]

    var text: String { families.map(\.text).joined() + "# EOF\n" }
}

extension MetricsView.Family {
    fileprivate var text: String {
        var text = "# TYPE \(name) \(kind.rawValue)\n"
        if let unit { text += "# UNIT \(name) \(unit)\n" }
        text += "# HELP \(name) \(MetricsView.escaped(help, quotes: false))\n"
        let suffix =
            switch kind {
            case .counter: "_total"
            case .info: "_info"
            case .gauge: ""
            }
        for sample in samples {
            text += name + suffix
            if let label = sample.label {
                text += "{\(label.name)=\"\(MetricsView.escaped(label.value, quotes: true))\"}"
            }
            text += " \(sample.value)\n"
        }
        return text
    }
}

extension MetricsView {
    fileprivate static func escaped(_ text: String, quotes: Bool) -> String {
        text.reduce(into: "") { result, letter in
            switch letter {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.append(letter)
            }
        }
    }
}
