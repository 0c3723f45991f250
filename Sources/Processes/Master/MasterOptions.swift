import Configuration

/// What a start needs besides the configuration.
package struct MasterOptions {
    package var configuration: Configuration
    package var warnings: [String]
    package var stateDirectory: String
    package var runtimeDirectory: String

    package init(
        configuration: Configuration, warnings: [String], stateDirectory: String, runtimeDirectory: String
    ) {
        self.configuration = configuration
        self.warnings = warnings
        self.stateDirectory = stateDirectory
        self.runtimeDirectory = runtimeDirectory
    }
}
