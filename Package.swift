// swift-tools-version: 6.2
// sipfork: a SIP proxy and registrar for Debian. The targets and what each may import; arrows point downward only:
// Programs → Processes → SIP → Runtime → C. Processes never import each other.
import PackageDescription

/// Every Swift target: Swift 6 mode, `unsafe` marks each unsafe operation, warnings are errors. The release build
/// optimises across targets, or a call per header field and record access would remain.
let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(["-enable-cmo-everything"], .when(configuration: .release)),
]

/// With the flag above several modules carry the same specialisation of a generic function of the standard library as a
/// strong symbol; they are alike, and the linker is to keep the first. All symbols are bound at the start, so that the
/// tables of their addresses are read-only from then on.
let linkerSettings: [LinkerSetting] = [
    .unsafeFlags(
        ["-Xlinker", "-z", "-Xlinker", "muldefs", "-Xlinker", "-z", "-Xlinker", "now"],
        .when(configuration: .release))
]

func module(_ folder: String, _ name: String, _ dependencies: [String]) -> Target {
    .target(
        name: name, dependencies: dependencies.map { .byName(name: $0) }, path: "Sources/\(folder)/\(name)",
        swiftSettings: swiftSettings)
}

func tests(_ name: String, _ dependencies: [String]) -> Target {
    .testTarget(
        name: name + "Tests", dependencies: ([name] + dependencies).map { .byName(name: $0) },
        path: "Tests/\(name)",
        swiftSettings: swiftSettings)
}

let package = Package(
    name: "sipfork",
    dependencies: [.package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0")],
    targets: [
        // C: headers and shims only.
        .target(name: "CPlatform", path: "Sources/C/CPlatform"),
        .target(name: "CSystemd", path: "Sources/C/CSystemd", linkerSettings: [.linkedLibrary("systemd")]),
        .target(name: "CSQLite", path: "Sources/C/CSQLite", linkerSettings: [.linkedLibrary("sqlite3")]),
        .target(name: "CAres", path: "Sources/C/CAres", linkerSettings: [.linkedLibrary("cares")]),
        .target(
            name: "CToml", path: "Sources/C/CToml",
            cxxSettings: [.unsafeFlags(["-Wno-deprecated-literal-operator"])]),

        // Runtime: operating system, shared memory, configuration.
        module("Runtime", "Platform", ["CPlatform"]),
        module("Runtime", "Systemd", ["CSystemd", "Platform"]),
        module("Runtime", "Configuration", ["CToml", "Platform"]),
        module("Runtime", "SharedMemory", ["Platform"]),
        module("Runtime", "SharedState", ["SharedMemory", "Platform"]),
        module("Runtime", "Mailbox", ["CPlatform", "SharedState", "SharedMemory", "Platform"]),
        module("Runtime", "Transport", ["CPlatform", "SharedState", "SharedMemory", "Platform"]),

        // SIP: no I/O, virtual time.
        module("SIP", "Syntax", ["Platform"]),
        module("SIP", "Transaction", ["Platform"]),
        module("SIP", "Proxy", ["Syntax", "Transaction", "SharedState", "Platform"]),
        module("SIP", "Registrar", ["Syntax", "SharedState", "Platform"]),

        // Processes.
        module(
            "Processes", "Master",
            [
                "CPlatform", "Configuration", "Mailbox", "Platform", "Proxy", "Registrar", "SharedMemory",
                "SharedState", "Syntax", "Systemd", "Transport",
            ]),
        module(
            "Processes", "Worker",
            [
                "CPlatform", "Mailbox", "Platform", "Proxy", "Registrar", "SharedMemory", "SharedState",
                "Syntax",
                "Transaction", "Transport",
            ]),
        module(
            "Processes", "Locator",
            [
                "CPlatform", "CSQLite", "Mailbox", "Platform", "Registrar", "SharedMemory", "SharedState",
                "Syntax",
            ]),
        module(
            "Processes", "Resolver",
            ["CAres", "CPlatform", "Mailbox", "Platform", "SharedMemory", "SharedState"]),
        module(
            "Processes", "Logger",
            ["CPlatform", "Mailbox", "Platform", "SharedMemory", "SharedState", "Systemd"]),

        // Programs.
        .executableTarget(
            name: "sipforkd",
            dependencies: [
                "CPlatform", "Configuration", "Locator", "Logger", "Mailbox", "Master", "Platform",
                "Resolver", "SharedState", "Worker",
            ],
            path: "Sources/Programs/sipforkd", swiftSettings: swiftSettings, linkerSettings: linkerSettings),
        .executableTarget(
            name: "sipforkctl",
            dependencies: [
                "CPlatform", "Configuration", "Platform", "Proxy", "Registrar", "SharedMemory", "SharedState",
                "Syntax", "Systemd",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/Programs/sipforkctl", swiftSettings: swiftSettings, linkerSettings: linkerSettings),

        // Counted by callgrind: Tests/Instructions/run.
        .executableTarget(
            name: "instructions",
            dependencies: [
                "Mailbox", "Master", "Platform", "SharedMemory", "SharedState", "Worker",
            ],
            path: "Tests/Instructions", exclude: ["run"], swiftSettings: swiftSettings,
            linkerSettings: linkerSettings),

        // Tests.
        tests("Platform", []),
        tests("Configuration", ["Platform"]),
        tests("Systemd", ["Platform"]),
        tests("SharedMemory", ["Platform"]),
        tests("SharedState", ["SharedMemory", "Platform"]),
        tests("Mailbox", ["SharedState", "SharedMemory", "Platform"]),
        tests("Transport", ["CPlatform", "SharedState", "SharedMemory", "Platform"]),
        tests("Syntax", ["Platform"]),
        tests("Transaction", ["Platform"]),
        tests("Proxy", ["Syntax", "Transaction", "SharedMemory", "SharedState", "Platform"]),
        tests("Registrar", ["Syntax", "SharedState", "Platform"]),
        tests(
            "Worker",
            [
                "CPlatform", "Mailbox", "Platform", "Proxy", "SharedMemory", "SharedState", "Syntax",
                "Transport",
            ]),
        tests(
            "Master",
            [
                "CPlatform", "Configuration", "Mailbox", "Platform", "Proxy", "SharedMemory", "SharedState",
                "Syntax", "Transport",
            ]),
        tests("Locator", ["Platform", "SharedMemory", "SharedState"]),
        tests("Resolver", ["CPlatform", "Platform", "SharedMemory", "SharedState"]),
        tests("Logger", ["Mailbox", "Platform", "SharedMemory", "SharedState"]),
        tests(
            "sipforkctl",
            [
                "Configuration", "Platform", "Proxy", "Registrar", "SharedMemory", "SharedState", "Syntax",
                "Transaction",
            ]),
    ],
    cxxLanguageStandard: .cxx17
)
