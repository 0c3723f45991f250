import Configuration

/// What a start needs besides the configuration.
package struct MasterOptions {
    package var configuration: Configuration
    /// Where a reload has it from.
    package var source: ConfigurationSource
    package var warnings: [String]
    package var stateDirectory: String
    package var runtimeDirectory: String

    package init(
        configuration: Configuration, source: ConfigurationSource, warnings: [String], stateDirectory: String,
        runtimeDirectory: String
    ) {
        self.configuration = configuration
        self.source = source
        self.warnings = warnings
        self.stateDirectory = stateDirectory
        self.runtimeDirectory = runtimeDirectory
    }
}
