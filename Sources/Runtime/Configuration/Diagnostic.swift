/// Something wrong in a configuration, and where: `FILE:LINE:COLUMN: message`.
package struct Diagnostic: Equatable, Sendable, CustomStringConvertible {
    /// The file's name as it was given, or the command line option.
    package let file: String
    /// From 1; 0 where no place in the file is meant.
    package let line: Int
    /// Characters from 1.
    package let column: Int
    package let message: String

    package var description: String {
        line == 0 ? "\(file): \(message)" : "\(file):\(line):\(column): \(message)"
    }
}

/// A configuration that was refused: everything that is wrong with it, in the order of the file, never empty.
package struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    package let diagnostics: [Diagnostic]

    /// One line for each diagnostic, without a newline at the end.
    package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// The text in quotes, control characters as in TOML: safe to print, and to be found in the file again.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\t": result += "\\t"
        case "\r": result += "\\r"
        case _ where scalar.value < 0x20 || (scalar.value >= 0x7F && scalar.value < 0xA0):
            let digits = String(scalar.value, radix: 16, uppercase: true)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
