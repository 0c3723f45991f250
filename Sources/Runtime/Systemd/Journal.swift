import CSystemd
import Glibc

/// Entries of the systemd journal, with fields (sd_journal_sendv(3)).
package enum Journal {
    /// Fields of one entry at most.
    package static let maximumFields = 24

    /// True where standard error goes to the journal: `$JOURNAL_STREAM` names it. Or where it would, had journald been
    /// there when systemd started the service (`$INVOCATION_ID`): then it goes nowhere.
    package static var isConnected: Bool {
        if cs_is_journal(STDERR_FILENO) != 0 { return true }
        return unsafe getenv("INVOCATION_ID") != nil && isNothing(STDERR_FILENO)
    }

    /// True for /dev/null.
    package static func isNothing(_ descriptor: Int32) -> Bool { cs_is_null(descriptor) != 0 }

    /// Sends one entry. May block while journald is slow: only the logger, and a process that starts or ends,
    /// calls it.
    ///
    /// Each field is already formatted, the value may hold any byte:
    ///
    ///     PRIORITY=6
    ///     MESSAGE=call failed
    ///     SIP_CALL_ID=843817637684230@998sdasdh09
    ///
    /// - Returns: 0, or the error number. Nothing was sent then.
    @discardableResult
    package static func send(_ fields: borrowing JournalFields) -> Int32 {
        unsafe withUnsafePointer(to: fields.parts) { parts in
            let result = unsafe cs_journal_send(
                UnsafeRawPointer(parts).assumingMemoryBound(to: iovec.self), Int32(fields.count))
            return result < 0 ? -result : 0
        }
    }
}

/// The fields of one entry: stretches of memory that somebody else keeps until it is sent.
@safe package struct JournalFields: ~Copyable {
    fileprivate var parts: InlineArray<24, iovec>
    package private(set) var count = 0
    /// True once a field was left out for want of room.
    package private(set) var overflowed = false

    package init() {
        unsafe parts = InlineArray(repeating: iovec(iov_base: nil, iov_len: 0))
    }

    /// - Parameter field: `NAME=value`, in memory that stays until the entry was sent.
    package mutating func append(unsafe field: UnsafeRawBufferPointer) {
        guard count < Journal.maximumFields else {
            overflowed = true
            return
        }
        unsafe parts[count] = iovec(
            iov_base: UnsafeMutableRawPointer(mutating: field.baseAddress), iov_len: field.count)
        count &+= 1
    }

    package mutating func removeAll() {
        count = 0
        overflowed = false
    }
}
