import Glibc
import Platform
import SharedState
import Systemd

/// Where entries go.
enum LogDestination: Equatable {
    case journal
    /// Lines to a descriptor, `<priority>` in front.
    case lines(Int32)
}

/// Formats entries and hands them on.
@safe struct LogOutput: ~Copyable {
    private let destination: LogDestination
    private let buffer: UnsafeMutableRawBufferPointer
    /// An entry, the names of its fields, and the fields that are added to it; or lines, where a message of
    /// nothing but line ends gets eight bytes for each.
    private static let capacity = LogRing.maximumEntry * 8 + 2048

    init(_ destination: LogDestination) {
        self.destination = destination
        unsafe buffer = .allocate(byteCount: LogOutput.capacity, alignment: 8)
    }

    deinit { unsafe buffer.deallocate() }

    /// False where nobody has taken it.
    func write(_ record: borrowing LogRecord, of process: ProcessID) -> Bool {
        var form = unsafe LogForm(into: ByteWriter(buffer))
        switch destination {
        case .journal:
            form.addFields(of: record, process)
            // A journal that cannot be reached: better there than nowhere.
            return send(form) == 0 || line(record, to: STDERR_FILENO)
        case .lines(let descriptor): return line(record, to: descriptor)
        }
    }

    /// The entry about entries that are missing; false where nobody has taken it either.
    func writeDropped(_ count: UInt64, of process: ProcessID) -> Bool {
        var form = unsafe LogForm(into: ByteWriter(buffer))
        switch destination {
        case .journal:
            form.addDroppedFields(count, process)
            return send(form) == 0
        case .lines(let descriptor):
            form.addDroppedLine(count, process)
            return put(form, to: descriptor)
        }
    }

    private func line(_ record: borrowing LogRecord, to descriptor: Int32) -> Bool {
        var form = unsafe LogForm(into: ByteWriter(buffer))
        form.addLine(of: record)
        return put(form, to: descriptor)
    }

    private func send(_ form: LogForm) -> Int32 {
        var fields = JournalFields()
        for index in 0..<form.fieldCount {
            let range = form.field(index)
            unsafe fields.append(unsafe: UnsafeRawBufferPointer(rebasing: buffer[range]))
        }
        return Journal.send(fields)
    }

    /// One write a line, so that lines of several processes do not mix. False where it could not be written, or
    /// into nothing.
    private func put(_ form: LogForm, to descriptor: Int32) -> Bool {
        if destination == .journal && Journal.isNothing(descriptor) { return false }
        var done = 0
        while done < form.count {
            let result = unsafe Glibc.write(descriptor, buffer.baseAddress! + done, form.count - done)
            if result > 0 {
                done += result
            } else if SystemError.lastCode == EAGAIN {
                // A terminal or pipe that somebody made non-blocking.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = unsafe poll(&wait, 1, 1000)
            } else if SystemError.lastCode != EINTR {
                return false
            }
        }
        return true
    }
}
