import Platform

extension Configuration {
    /// Parses a whole file. `file` is the name that diagnostics begin with.
    ///
    /// Everything that is wrong is reported at once, except after a fault of TOML syntax, which ends the
    /// parsing.
    package static func parse(
        text: String, file: String
    ) throws(ConfigurationError) -> (Configuration, warnings: [Diagnostic]) {
        let document: Document
        do {
            document = try Document(text)
        } catch {
            throw ConfigurationError(diagnostics: [
                Diagnostic(
                    file: file, line: error.place.line, column: error.place.column, message: error.message)
            ])
        }
        var reading = Reading(file: file)
        reading.read(document)
        if !reading.errors.isEmpty { throw ConfigurationError(diagnostics: reading.inOrder(reading.errors)) }
        return (reading.configuration, reading.inOrder(reading.warnings))
    }

    /// The command line's `--domain` and `--listen`: each, where given, replaces what the file or the default
    /// says.
    package mutating func override(domains: [String], listen: [String]) throws(ConfigurationError) {
        var diagnostics: [Diagnostic] = []
        func accept<Value>(_ option: String, _ values: [String], _ parse: (String) -> Fault<Value>) -> [Value]
        {
            values.compactMap { text in
                switch parse(text) {
                case .good(let value): return value
                case .bad(let message):
                    diagnostics.append(Diagnostic(file: option, line: 0, column: 0, message: message))
                    return nil
                }
            }
        }
        let newDomains = accept("--domain", domains, checkedDomain)
        let newListen = accept("--listen", listen, checkedListener)
        if !diagnostics.isEmpty { throw ConfigurationError(diagnostics: diagnostics) }
        if !newDomains.isEmpty { self.domains = newDomains }
        if !newListen.isEmpty { self.listen = newListen }
    }
}

/// A value, or what was expected instead of it and what was found.
enum Fault<Value> {
    case good(Value)
    case bad(String)
}

/// A host name after RFC 3261 §25.1, at most 127 bytes (the snapshot in shared memory has no more), in lower
/// case. Its last label begins with a letter: an address is no domain.
func checkedDomain(_ text: String) -> Fault<String> {
    let fault = Fault<String>.bad("expected a host name, found \(quoted(text))")
    if text.utf8.count > 127 {
        return .bad("expected a host name of at most 127 characters, found \(quoted(text))")
    }
    let labels = text.utf8.split(separator: 0x2E, omittingEmptySubsequences: false)
    guard let top = labels.last?.first, isLetter(top) else { return fault }
    for label in labels {
        guard let first = label.first, let last = label.last, label.count <= 63, first != 0x2D, last != 0x2D,
            label.allSatisfy({ isLetter($0) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D })
        else { return fault }
    }
    return .good(text.lowercased())
}

private func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A }

func checkedListener(_ text: String) -> Fault<Listener> {
    guard let listener = Listener(specification: text) else {
        return .bad("expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT, found \(quoted(text))")
    }
    return .good(listener)
}

func checkedNetwork(_ text: String) -> Fault<Network> {
    guard let network = Network(specification: text) else {
        return .bad("expected a network such as \"192.0.2.0/24\" or \"2001:db8::/32\", found \(quoted(text))")
    }
    return .good(network)
}

/// `192.0.2.53`, `192.0.2.53:5353`, `[2001:db8::53]:53`: an address that can be asked, with its port.
func checkedNameServer(_ text: String) -> Fault<SocketAddress> {
    // As a listener is written, but for the transport.
    guard let address = Listener(specification: "udp:" + text)?.address, !address.isWildcard else {
        return .bad("expected ADDRESS or ADDRESS:PORT, found \(quoted(text))")
    }
    var server = address
    let afterBracket = text.lastIndex(of: "]") ?? text.startIndex
    if !text[afterBracket...].contains(":") { server.port = 53 }
    return .good(server)
}
