/// One pass over a document: fills a configuration, collects what is wrong.
struct Reading {
    /// A service that reads its file again does not stand still for one of another kind.
    static let mostErrors = 100
    /// Bytes of an unknown key that may be one of ours misspelt.
    static let longestKey = 64

    let file: String
    var configuration = Configuration.defaults
    private(set) var errors: [Diagnostic] = []
    private(set) var warnings: [Diagnostic] = []
    /// Where the value of each key that was given stands.
    private var places: [String: Document.Place] = [:]
    /// Next hops that this version can reach, if there is a listener to send from.
    var reachableHops: [(hop: Route.Hop, place: Document.Place)] = []

    init(file: String) { self.file = file }

    func inOrder(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
        diagnostics.sorted { ($0.line, $0.column) < ($1.line, $1.column) }
    }

    mutating func read(_ document: Document) {
        read(document.entries, ofRoute: false)
        checkTogether()
    }

    /// The whole file, or what stands in one `[[route]]`.
    mutating func read(_ entries: [Document.Entry], ofRoute: Bool) {
        var unknown: [String] = []
        for entry in entries {
            if errors.count == Reading.mostErrors {
                return fail("too many faults: the rest of the file is not looked at", entry.keyPlace)
            }
            // What is inside an unknown table has been refused with it.
            if unknown.contains(where: { entry.path.hasPrefix($0 + ".") }) { continue }
            if !ofRoute && entry.path == ConfigurationKey.routeSection {
                readRoutes(entry)
                if entry.value == .table { unknown.append(entry.path) }
            } else if let key = ConfigurationKey.all.first(where: { $0.name == entry.path }) {
                places[key.name] = entry.place
                read(entry, as: key)
                if entry.value == .table { unknown.append(entry.path) }
            } else if ConfigurationKey.sections.contains(entry.path) {
                if entry.value != .table { refuse(entry.path, "expected a table", entry.value, entry.place) }
            } else {
                fail(unknownKeyMessage(entry), entry.keyPlace)
                unknown.append(entry.path)
            }
        }
    }

    mutating func fail(_ message: String, _ place: Document.Place) {
        errors.append(Diagnostic(file: file, line: place.line, column: place.column, message: message))
    }

    mutating func refuse(
        _ name: String, _ expected: String, _ value: Document.Value, _ place: Document.Place
    ) {
        fail("\(name): \(expected), found \(value.kind)", place)
    }

    private mutating func read(_ entry: Document.Entry, as key: ConfigurationKey) {
        switch (key.rule, entry.value) {
        case (.integer(let range, let target), .integer(let value)):
            if range.contains(value) {
                configuration[keyPath: target] = value
            } else {
                outOfBounds(key, "\(value)", entry)
            }
        case (.boolean(let target), .boolean(let value)): configuration[keyPath: target] = value
        case (.domains(let limit, let target), .array):
            configuration[keyPath: target] = elements(entry, key, 0...limit, checkedDomain)
        case (.listeners(let range, let target), .array):
            let listeners = elements(entry, key, range, checkedListener)
            configuration[keyPath: target] = listeners
        case (.networks(let limit, let target), .array):
            configuration[keyPath: target] = elements(entry, key, 0...limit, checkedNetwork)
        case (.nameServers(let limit, let target), .array):
            configuration[keyPath: target] = elements(entry, key, 0...limit, checkedNameServer)
        case (.mode(let target), .string(let text)): choose(text, target, key, entry)
        case (.order(let target), .string(let text)): choose(text, target, key, entry)
        case (.store(let target), .string(let text)): choose(text, target, key, entry)
        case (.level(let target), .string(let text)): choose(text, target, key, entry)
        case (.calls(let target), .string(let text)): choose(text, target, key, entry)
        case (.userPattern(let target), .string(let text)): take(checkedUserPattern(text), target, key, entry)
        case (.domainPattern(let target), .string(let text)):
            take(checkedDomainPattern(text), target, key, entry)
        case (.methods(let limit, let target), .array), (.methods(let limit, let target), .string):
            configuration[keyPath: target] = elements(entry, key, 0...limit, checkedMethod)
            warnOfLowerCase(configuration[keyPath: target], key, entry)
        case (.sources(let limit, let target), .array), (.sources(let limit, let target), .string):
            configuration[keyPath: target] = elements(entry, key, 0...limit, checkedNetwork)
        case (.hops(let range, let target), .array):
            configuration[keyPath: target] = elements(entry, key, range, checkedHop)
            warnOfUnreachable(entry, key)
        case (.policy(let target), .string(let text)): choose(text, target, key, entry)
        default: refuse(key.name, "expected \(key.expectation)", entry.value, entry.place)
        }
    }

    private mutating func outOfBounds(_ key: ConfigurationKey, _ found: String, _ entry: Document.Entry) {
        fail("\(key.name): expected \(key.expectation), found \(found)", entry.place)
    }

    private mutating func choose<Choice: RawRepresentable<String>>(
        _ text: String, _ target: ConfigurationKey.Rule.Target<Choice>, _ key: ConfigurationKey,
        _ entry: Document.Entry
    ) {
        if let choice = Choice(rawValue: text) {
            configuration[keyPath: target] = choice
        } else {
            outOfBounds(key, quoted(text), entry)
        }
    }

    private mutating func take<Value>(
        _ value: Fault<Value>, _ target: ConfigurationKey.Rule.Target<Value>, _ key: ConfigurationKey,
        _ entry: Document.Entry
    ) {
        switch value {
        case .good(let value): configuration[keyPath: target] = value
        case .bad(let message): fail("\(key.name): \(message)", entry.place)
        }
    }

    /// Reads an array of strings, or the one string that stands for it; each wrong element is reported where
    /// it stands.
    private mutating func elements<Value>(
        _ entry: Document.Entry, _ key: ConfigurationKey, _ count: ClosedRange<Int>,
        _ parse: (String) -> Fault<Value>
    ) -> [Value] {
        var list = entry.elements
        if entry.value != .array { list = [Document.Element(value: entry.value, place: entry.place)] }
        if !count.contains(list.count) {
            let bound =
                list.count < count.lowerBound
                ? "expected at least \(count.lowerBound)" : "expected at most \(count.upperBound)"
            fail("\(key.name): \(bound), found \(list.count)", entry.place)
        }
        var values: [Value] = []
        for element in list {
            guard case .string(let text) = element.value else {
                refuse(key.name, "expected \(key.expectation)", element.value, element.place)
                continue
            }
            switch parse(text) {
            case .good(let value): values.append(value)
            case .bad(let message): fail("\(key.name): \(message)", element.place)
            }
        }
        return values
    }

    // MARK: Keys that depend on each other

    private mutating func checkTogether() {
        let values = configuration
        if errors.isEmpty {
            checkOrder("timers.t1", values.t1, "timers.t2", values.t2)
            checkOrder(
                "registrar.min-expires", values.minExpires, "registrar.default-expires", values.defaultExpires
            )
            checkOrder(
                "registrar.default-expires", values.defaultExpires, "registrar.max-expires", values.maxExpires
            )
            checkListeners()
            checkHops()
        }
        if let place = places["timers.c"], values.c <= 180_000 {
            warn(
                "timers.c: RFC 3261 section 16.6 wants more than 180000 (three minutes), found \(values.c)",
                place)
        }
    }

    mutating func warn(_ message: String, _ place: Document.Place) {
        warnings.append(Diagnostic(file: file, line: place.line, column: place.column, message: message))
    }

    /// Blames the key that was given; where both were, the one that stands later.
    private mutating func checkOrder(_ low: String, _ lowValue: Int, _ high: String, _ highValue: Int) {
        guard lowValue > highValue else { return }
        let nowhere = Document.Place(line: 0, column: 0)
        let lowPlace = places[low] ?? nowhere
        let highPlace = places[high] ?? nowhere
        if lowPlace > highPlace {
            fail("\(low): expected at most \(highValue) (\(high)), found \(lowValue)", lowPlace)
        } else {
            fail("\(high): expected at least \(lowValue) (\(low)), found \(highValue)", highPlace)
        }
    }

    private mutating func checkListeners() {
        let listen = configuration.listen
        if let place = places["server.listen"] {
            for (index, listener) in listen.enumerated() where listen[..<index].contains(listener) {
                fail("server.listen: \(quoted(listener.text)) stands there twice", place)
            }
        }
        guard let place = places["server.advertise"] else { return }
        let advertise = configuration.advertise
        for (index, listener) in advertise.enumerated() {
            let text = quoted(listener.text)
            if listener.address.isWildcard {
                fail("server.advertise: expected an address that others can reach, found \(text)", place)
            } else if advertise[..<index].contains(where: listener.serves) {
                fail("server.advertise: \(text) is the second for its transport and address family", place)
            } else if !listen.contains(where: listener.serves) {
                warn("server.advertise: no listener has the transport and address family of \(text)", place)
            }
        }
    }
}

/// `unknown key "server.domain"; did you mean "server.domains"?`
private func unknownKeyMessage(_ entry: Document.Entry) -> String {
    if entry.path.utf8.count > Reading.longestKey {
        return "unknown key \(quoted(String(entry.path.prefix(Reading.longestKey))))…"
    }
    let leaf = String(entry.path.reversed().prefix { $0 != "." }.reversed())
    let holdsTables = entry.elements.first?.value == .table
    let isTable = (entry.value == .table || holdsTables) && !entry.path.contains(".")
    let section = String(entry.path.dropLast(leaf.count + 1))
    // A key in the wrong table is one step away from its right place.
    let known: [(name: String, distance: Int)] =
        isTable
        ? ConfigurationKey.sections.map { ($0, editDistance($0, entry.path)) }
        : ConfigurationKey.all.map { key in
            let moved = editDistance(key.leaf, leaf) + (key.section == section ? 0 : 1)
            return (key.name, min(editDistance(key.name, entry.path), moved))
        }
    // Of equally near ones, one of the same table.
    let nearest = known.min {
        ($0.distance, $0.name.hasPrefix(section + ".") ? 0 : 1)
            < ($1.distance, $1.name.hasPrefix(section + ".") ? 0 : 1)
    }!
    let hint =
        nearest.distance <= max(2, leaf.count / 3)
        ? "did you mean \"\(nearest.name)\"?" : "the nearest known key is \"\(nearest.name)\""
    return "unknown key \(quoted(entry.path)); \(hint)"
}
