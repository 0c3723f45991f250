extension Reading {
    /// Reads all `[[route]]` tables.
    mutating func readRoutes(_ entry: Document.Entry) {
        let name = ConfigurationKey.routeSection
        guard entry.value == .array else {
            return refuse(name, "expected tables, each below [[\(name)]]", entry.value, entry.place)
        }
        for (index, element) in entry.elements.enumerated() {
            guard element.value == .table else {
                refuse(name, "expected a table", element.value, element.place)
                continue
            }
            if index == Route.most {
                fail("\(name): expected at most \(Route.most), found \(entry.elements.count)", element.place)
                return
            }
            configuration.routes.append(Route())
            read(element.entries, ofRoute: true)
            for key in ConfigurationKey.all where key.section == name && key.isRequired {
                if !element.entries.contains(where: { $0.path == key.name }) {
                    fail("\(key.name): expected \(key.expectation), found none", element.place)
                }
            }
        }
    }

    /// Methods are compared with their case (RFC 3261 §7.1), and all that exist are in capitals.
    mutating func warnOfLowerCase(_ methods: [String], _ key: ConfigurationKey, _ entry: Document.Entry) {
        for method in methods where method != method.uppercased() {
            let capitals = quoted(method.uppercased())
            warn("\(key.name): \(quoted(method)) is another method than \(capitals)", entry.place)
        }
    }

    /// Next hops that a later version can reach are accepted.
    mutating func warnOfUnreachable(_ entry: Document.Entry, _ key: ConfigurationKey) {
        for element in entry.elements {
            guard case .string(let text) = element.value, let hop = Route.Hop(specification: text) else {
                continue
            }
            if let obstacle = hop.obstacle {
                warn("\(key.name): \(quoted(text)) is never reached: \(obstacle)", element.place)
            } else {
                reachableHops.append((hop, element.place))
            }
        }
    }

    /// What leaves without a listener of its transport and family could not be answered.
    mutating func checkHops() {
        for (hop, place) in reachableHops where !hop.isReachable(from: configuration.listen) {
            let lacking = hop.address.isNone ? "transport" : "transport and address family"
            warn("route.to: no listener has the \(lacking) of \(quoted(hop.uri))", place)
        }
    }
}
