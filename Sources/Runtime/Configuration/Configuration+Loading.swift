import Glibc
import Platform

extension Configuration {
    /// Longest file that is read: no real configuration comes near it.
    private static let maximumSize = 1 << 20

    /// Reads and parses a file.
    ///
    /// - Parameter again: a running service does it, which must not wait: no pipes or devices.
    package static func load(
        path: String, again: Bool = false
    ) throws(ConfigurationError) -> (Configuration, warnings: [Diagnostic]) {
        let bytes: [UInt8]
        do {
            bytes = try contents(path, again)
        } catch {
            throw ConfigurationError(diagnostics: [
                Diagnostic(file: path, line: 0, column: 0, message: reason(error.code))
            ])
        }
        // Invalid UTF-8 becomes U+FFFD here, which no value of ours accepts; in a comment it does no harm.
        return try parse(text: String(decoding: bytes, as: UTF8.self), file: path)
    }

    /// Why a file could not be read, and for whom where that is the question: a file of root's that root's
    /// tools accept is not yet one that the service may read.
    package static func reason(_ code: Int32) -> String {
        code == EACCES
            ? "\(SystemError.text(code)); the user \(userName) must be able to read it"
            : SystemError.text(code)
    }

    /// The name of the user that this process runs as, or the number of one without a name.
    private static var userName: String {
        let user = geteuid()
        guard let entry = unsafe getpwuid(user), let name = unsafe entry.pointee.pw_name else {
            return "\(user)"
        }
        return unsafe String(cString: name)
    }

    private static func contents(_ path: String, _ again: Bool) throws(SystemError) -> [UInt8] {
        let flags = O_RDONLY | O_CLOEXEC | (again ? O_NONBLOCK : 0)
        let descriptor = Descriptor(owning: try check("open") { unsafe open(path, flags) })
        var status = stat()
        if again, unsafe fstat(descriptor.number, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw SystemError("read", code: status.st_mode & S_IFMT == S_IFDIR ? EISDIR : EINVAL)
        }
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
