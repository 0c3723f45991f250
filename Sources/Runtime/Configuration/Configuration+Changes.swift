/// What a reload changes.
extension Configuration {
    /// The names of the keys whose values differ from those of `other`, in the order of the manual; `route` for all
    /// routes together.
    package func changes(from other: Configuration) -> [ConfigurationKey] {
        var isRouteFound = false
        return ConfigurationKey.all.filter { key in
            guard key.section == ConfigurationKey.routeSection else { return key.rule.differs(self, other) }
            if isRouteFound { return false }
            isRouteFound = true
            return routes != other.routes
        }
    }

    /// The configuration that a running service goes on with: this one, but for what waits for stop and start.
    package func applied(to running: Configuration) -> Configuration {
        var result = self
        for key in ConfigurationKey.all where key.waitsForStart { key.rule.copy(from: running, to: &result) }
        return result
    }
}

extension ConfigurationKey {
    /// As messages name it: `server.domains`; `route` for those of routes.
    package var changedName: String {
        section == ConfigurationKey.routeSection ? ConfigurationKey.routeSection : name
    }

    /// What is said of a change that neither a reload nor a restart brings about.
    package var waitingText: String { "\(changedName) waits for stop and start" }
}

extension ConfigurationKey.Rule {
    /// Something that is done with the property that a key fills.
    private protocol Visitor {
        mutating func visit<Value: Equatable>(_ target: Target<Value>)
    }

    private func accept(_ visitor: inout some Visitor) {
        switch self {
        case .integer(_, let target): visitor.visit(target)
        case .boolean(let target): visitor.visit(target)
        case .domains(_, let target), .methods(_, let target): visitor.visit(target)
        case .listeners(_, let target): visitor.visit(target)
        case .nameServers(_, let target): visitor.visit(target)
        case .mode(let target): visitor.visit(target)
        case .networks(_, let target), .sources(_, let target): visitor.visit(target)
        case .order(let target): visitor.visit(target)
        case .store(let target): visitor.visit(target)
        case .level(let target): visitor.visit(target)
        case .calls(let target): visitor.visit(target)
        case .userPattern(let target), .domainPattern(let target): visitor.visit(target)
        case .hops(_, let target): visitor.visit(target)
        case .policy(let target): visitor.visit(target)
        }
    }

    private struct Comparison: Visitor {
        let one: Configuration
        let other: Configuration
        var differs = false

        mutating func visit<Value: Equatable>(_ target: Target<Value>) {
            differs = one[keyPath: target] != other[keyPath: target]
        }
    }

    private struct Copying: Visitor {
        let source: Configuration
        var target: Configuration

        mutating func visit<Value: Equatable>(_ property: Target<Value>) {
            target[keyPath: property] = source[keyPath: property]
        }
    }

    func differs(_ one: Configuration, _ other: Configuration) -> Bool {
        var comparison = Comparison(one: one, other: other)
        accept(&comparison)
        return comparison.differs
    }

    func copy(from source: Configuration, to target: inout Configuration) {
        var copying = Copying(source: source, target: target)
        accept(&copying)
        target = copying.target
    }
}
