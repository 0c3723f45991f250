import Glibc

/// A system call that failed: which one, and why. The only place that reads `errno`.
package struct SystemError: Error, Equatable, CustomStringConvertible {
    package let call: String
    package let code: Int32

    package init(_ call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    /// The failure of the call that just returned -1.
    package static func last(_ call: String) -> SystemError { SystemError(call, code: errno) }

    /// The current `errno`, for callers on a hot path that only compare it.
    package static var lastCode: Int32 { errno }

    package var description: String { "\(call): \(SystemError.text(code))" }

    /// The system's words for an error number.
    package static func text(_ code: Int32) -> String {
        guard let text = unsafe strerror(code) else { return "error \(code)" }
        return unsafe String(cString: text)
    }
}

/// Runs a call that returns -1 on failure, again after a signal, and gives its result.
@discardableResult
package func check(_ name: StaticString, _ body: () -> Int32) throws(SystemError) -> Int32 {
    while true {
        let result = body()
        if result >= 0 { return result }
        if errno != EINTR { throw .last("\(name)") }
    }
}
