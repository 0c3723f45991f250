import Configuration
import Glibc
import Master
import Platform
import SharedState

/// The command line of the daemon (`sipforkd(8)`).
struct CommandLineOptions {
    private var checkOnly = false
    private var wantsVersion = false
    private var file: String?
    private var domains: [String] = []
    private var listeners: [String] = []
    private var stateDirectory: String?
    private var runtimeDirectory: String?

    private static let usage =
        "usage: sipforkd [-t] [-c FILE] [--domain D]... [--listen SPEC]... [--state-directory DIR]"
        + " [--runtime-directory DIR] | --version | --help"
    /// sysexits(3).
    private static let usageStatus: Int32 = 64
    private static let configurationStatus: Int32 = 78

    static func run(_ arguments: [String]) -> Int32 {
        var options = CommandLineOptions()
        if let complaint = options.parse(arguments) {
            if complaint.isEmpty {
                print(options.wantsVersion ? Version.text : usage)
                return 0
            }
            Console.print("sipforkd: \(complaint)")
            Console.print(usage)
            return usageStatus
        }
        return options.start()
    }

    /// What is wrong with the arguments; empty where only help or the version was asked for.
    private mutating func parse(_ arguments: [String]) -> String? {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            var name = argument
            var attached: String?
            if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
                name = String(argument[..<equals])
                attached = String(argument[argument.index(after: equals)...])
            }
            switch name {
            case "-t":
                checkOnly = true
                continue
            case "-h", "--help": return ""
            case "--version":
                wantsVersion = true
                return ""
            case "-c", "--domain", "--listen", "--state-directory", "--runtime-directory": break
            default: return "unknown argument \"\(argument)\""
            }
            guard let value = attached ?? rest.popFirst() else { return "\(name) needs a value" }
            switch name {
            case "-c": file = value
            case "--domain": domains.append(value)
            case "--listen": listeners.append(value)
            case "--state-directory": stateDirectory = value
            default: runtimeDirectory = value
            }
        }
        return nil
    }

    private func start() -> Int32 {
        let source = ConfigurationSource(file: file, domains: domains, listen: listeners)
        let configuration: Configuration
        let warnings: [String]
        do {
            let (loaded, found) = try source.load()
            configuration = loaded
            warnings = found.map(\.description)
        } catch {
            for diagnostic in error.diagnostics { report(.error, diagnostic.description) }
            return CommandLineOptions.configurationStatus
        }
        if checkOnly {
            for warning in warnings { report(.warning, "warning: \(warning)") }
            return 0
        }
        return MasterMain.run(
            MasterOptions(
                configuration: configuration, source: source, warnings: warnings,
                stateDirectory: directory(stateDirectory, "STATE_DIRECTORY", "/var/lib/sipfork"),
                runtimeDirectory: directory(runtimeDirectory, "RUNTIME_DIRECTORY", "/run/sipfork")))
    }

    /// To whoever started us: plain text for one who checks a file, with a priority for the journal.
    private func report(_ priority: LogPriority, _ text: String) {
        if checkOnly {
            Console.print(text)
        } else {
            Console.report(priority, text, event: .configurationRefused)
        }
    }

    /// The flag, else what systemd has made (the first of a list), else the fixed place.
    private func directory(_ flag: String?, _ variable: String, _ fallback: String) -> String {
        if let flag { return flag }
        guard let value = unsafe getenv(variable) else { return fallback }
        return unsafe String(cString: value).split(separator: ":").first.map(String.init) ?? fallback
    }
}
