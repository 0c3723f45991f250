import SharedMemory
import SharedState

#if DEBUG
    /// `fault POINT [COUNT [PID [NEXT]]]` and `faults` of debug builds: tests let processes die where they want.
    ///
    ///     "fault mailSent 3 4711␊"   who passes that point for the third time dies, if it is that process
    ///     "fault mailSent 1 4711 mailNoted␊"   and then, for the first time, anybody who passes the other one
    ///     "fault none␊"              nobody dies
    ///     "faults␊"                  the point that is armed, or "none"; then each point and how often it was passed
    extension MasterProcess {
        func fault(_ request: String) -> String {
            let words = request.split(whereSeparator: \.isWhitespace)
            if words.first == "faults" {
                let lines = FaultPoint.allCases.map { "\($0.name) \($0.hits(state.memory))" }
                let armed = FaultPoint.current(state.memory)?.name ?? "none"
                return (["200 \(armed)"] + lines).joined(separator: "\n")
            }
            guard words.count > 1 else { return "400 Which point?" }
            if words[1] == "none" {
                FaultPoint.disarm(state.memory)
                return "200 OK"
            }
            guard let point = named(words[1]) else {
                return "404 No such point"
            }
            point.arm(
                state.memory, count: words.count > 2 ? Int(words[2]) ?? 1 : 1,
                pid: words.count > 3 ? Int32(words[3]) ?? 0 : 0, next: words.count > 4 ? named(words[4]) : nil
            )
            return "200 OK"
        }

        private func named(_ name: Substring) -> FaultPoint? { FaultPoint.allCases.first { $0.name == name } }
    }
#endif
