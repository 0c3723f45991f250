import SharedState

/// `sipforkctl trace`: what is traced, from now on.
///
///     "trace on FILTER␊"     from now on this, and nothing else
///     "trace off␊"
extension MasterProcess {
    /// Does what the request says; the answer.
    mutating func trace(_ request: [UInt8]) -> String {
        let line = request.prefix { $0 != 0x0A }
        if line.elementsEqual("trace off".utf8) {
            if reception.trace.isOn { log.note(.note, .notice, "tracing is off") }
            reception.trace.end()
            return "200 OK"
        }
        let on = Array("trace on ".utf8)
        guard line.starts(with: on) else { return "400 That is neither on nor off" }
        do throws(TraceFilter.Fault) {
            let filter = try TraceFilter(Array(line.dropFirst(on.count)))
            reception.trace.begin(filter)
            log.note(.note, .notice, "tracing \(String(decoding: filter.text, as: UTF8.self))")
            return "200 OK"
        } catch {
            return "400 \(error.text)"
        }
    }
}
