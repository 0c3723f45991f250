/// Where a service has its configuration from: a file, what the command line says instead of it, or both.
package struct ConfigurationSource: Sendable {
    /// Nil: the defaults.
    package let path: String?
    private let domains: [String]
    private let listen: [String]

    /// - Parameters: file: `-c`; domains, listen: `--domain` and `--listen`, which do without a file.
    package init(file: String?, domains: [String], listen: [String]) {
        path = file ?? (domains.isEmpty && listen.isEmpty ? Configuration.defaultPath : nil)
        self.domains = domains
        self.listen = listen
    }

    /// The configuration as it is there now.
    ///
    /// - Parameter again: for a reload.
    package func load(
        again: Bool = false
    ) throws(ConfigurationError) -> (Configuration, warnings: [Diagnostic]) {
        var configuration = Configuration.defaults
        var warnings: [Diagnostic] = []
        if let path { (configuration, warnings) = try Configuration.load(path: path, again: again) }
        try configuration.override(domains: domains, listen: listen)
        return (configuration, warnings)
    }
}
