import Glibc
import Platform

extension Configuration {
    /// Longest file that is read: no real configuration comes near it.
    private static let maximumSize = 1 << 20

    /// Reads and parses a file.
    package static func load(
        path: String
    ) throws(ConfigurationError) -> (Configuration, warnings: [Diagnostic]) {
        let bytes: [UInt8]
        do {
            bytes = try contents(path)
        } catch {
            throw ConfigurationError(diagnostics: [
                Diagnostic(file: path, line: 0, column: 0, message: SystemError.text(error.code))
            ])
        }
        // Invalid UTF-8 becomes U+FFFD here, which no value of ours accepts; in a comment it does no harm.
        return try parse(text: String(decoding: bytes, as: UTF8.self), file: path)
    }

    private static func contents(_ path: String) throws(SystemError) -> [UInt8] {
        let descriptor = Descriptor(owning: try check("open") { unsafe open(path, O_RDONLY | O_CLOEXEC) })
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16384)
        while true {
            let number = descriptor.number
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(number, $0.baseAddress, $0.count) }
            if count < 0 {
                if SystemError.lastCode == EINTR { continue }
                throw .last("read")
            }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
            if bytes.count > maximumSize { throw SystemError("read", code: EFBIG) }
        }
    }
}
