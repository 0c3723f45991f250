import Configuration

/// `check`: what is wrong with a configuration, and what is doubtful in one that is accepted.
struct CheckView: View, Equatable {
    let file: String
    let isGood: Bool
    /// Errors where it is not good, else warnings.
    let diagnostics: [Diagnostic]

    init(file: String) {
        self.file = file
        do {
            diagnostics = try ConfigurationSource(file: file, domains: [], listen: []).load().warnings
            isGood = true
        } catch {
            diagnostics = error.diagnostics
            isGood = false
        }
    }

    var json: JSON {
        .array(
            diagnostics.map {
                [
                    "file": .string($0.file), "line": .number($0.line), "column": .number($0.column),
                    "message": .string($0.message), "severity": .string(isGood ? "warning" : "error"),
                ]
            })
    }

    /// What is wrong or doubtful, as `sipforkd -t` says it.
    var lines: [String] { diagnostics.map { isGood ? "warning: \($0)" : $0.description } }

    /// What stands on stdout; diagnostics are for stderr.
    var text: String { isGood ? "\(file) is good\n" : "" }
}
