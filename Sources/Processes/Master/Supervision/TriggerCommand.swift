import SharedState

#if DEBUG
    /// `trigger` of debug builds: tests let handlers trap or hang on what they like.
    ///
    ///     "trigger worker poison␊"        a worker traps on requests to a user whose name contains that
    ///     "trigger locator poison hang␊"  the locator hangs on registrations that contain it
    ///     "trigger none␊"                 nobody does
    extension MasterProcess {
        func trigger(_ request: String) -> String {
            let words = request.split(whereSeparator: \.isWhitespace)
            guard words.count > 1 else { return "400 Which handler?" }
            FaultTrigger.disarm(state.memory)
            if words[1] == "none" { return "200 OK" }
            guard words.count > 2, let handler = FaultTrigger.allCases.first(where: { "\($0)" == words[1] })
            else { return "404 No such handler" }
            handler.arm(state.memory, name: Array(words[2].utf8), hangs: words.last == "hang")
            return "200 OK"
        }
    }
#endif
