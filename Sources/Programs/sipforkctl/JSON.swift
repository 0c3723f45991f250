/// A JSON value (RFC 8259) to be printed: keys keep their order.
indirect enum JSON: Equatable {
    case null
    case bool(Bool)
    case number(Int)
    /// Thousandths: 700 is 0.7.
    case thousandths(Int)
    case string(String)
    case array([JSON])
    case object([Member])

    struct Member: Equatable {
        let key: String
        let value: JSON
    }

    /// A number where there is one.
    static func optional(_ number: Int?) -> JSON { number.map { .number($0) } ?? .null }
    static func optional(thousandths: Int?) -> JSON { thousandths.map { .thousandths($0) } ?? .null }
    static func optional(_ string: String?) -> JSON { string.map { .string($0) } ?? .null }

    /// On one line.
    var text: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let value): text += "\(value)"
        case .thousandths(let value): text += Decimal.thousandths(value)
        case .string(let value): JSON.write(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                JSON.write(member.key, to: &text)
                text += ":"
                member.value.write(to: &text)
            }
            text += "}"
        }
    }

    private static func write(_ string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            // Also DEL and the C1 controls, which a terminal would obey.
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSON: ExpressibleByDictionaryLiteral {
    init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Member(key: $0.0, value: $0.1) })
    }
}

enum Decimal {
    /// 1000 is "1", 700 "0.7", 5 "0.005".
    static func thousandths(_ value: Int) -> String {
        var fraction = String(1000 + value.magnitude % 1000).dropFirst()
        while fraction.last == "0" { fraction.removeLast() }
        return (value < 0 ? "-" : "") + "\(value.magnitude / 1000)" + (fraction.isEmpty ? "" : "." + fraction)
    }
}
