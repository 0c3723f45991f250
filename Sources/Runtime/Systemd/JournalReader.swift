import CSystemd
import Glibc

/// Reads entries of the systemd journal (sd-journal(3)): those that have all of some fields, the oldest first.
@safe package struct JournalReader: ~Copyable {
    /// Why nothing can be read.
    package struct Failure: Error {
        /// An errno.
        package let code: Int32
    }

    private let reader: UnsafeMutableRawPointer

    /// - Parameters:
    ///   - files: journal files; none: the journal of this machine, as far as this user may read it.
    ///   - matches: fields as `NAME=value`.
    package init(files: [String] = [], matching matches: [[UInt8]]) throws(Failure) {
        var error: Int32 = 0
        let paths = unsafe files.map { unsafe strdup($0) }
        defer { unsafe paths.forEach { unsafe free($0) } }
        let constant = unsafe paths.map { unsafe UnsafePointer($0) }
        let opened = unsafe cs_reader_open(constant, Int32(files.count), &error)
        guard let opened = unsafe opened else { throw Failure(code: -error) }
        for match in matches {
            let result = unsafe match.withUnsafeBytes {
                unsafe cs_reader_match(opened, $0.baseAddress, $0.count)
            }
            if result < 0 {
                unsafe cs_reader_close(opened)
                throw Failure(code: -result)
            }
        }
        unsafe reader = opened
    }

    deinit { unsafe cs_reader_close(reader) }

    /// Goes to the next entry; false behind the last.
    package mutating func next() throws(Failure) -> Bool {
        let result = unsafe cs_reader_next(reader)
        if result < 0 { throw Failure(code: -result) }
        return result > 0
    }

    /// Microseconds since 1970 at which the journal took the entry.
    package var time: UInt64 { unsafe cs_reader_time(reader) }

    /// The value of a field of the entry; nil where it has none.
    package func field(_ name: String) -> [UInt8]? {
        var length = 0
        guard let value = unsafe cs_reader_field(reader, name, &length) else { return nil }
        return unsafe Array(UnsafeRawBufferPointer(start: value, count: length))
    }
}
