import Platform
import SharedState

/// Keeps what is bad enough to be shown by `status` in the shared memory too.
struct RemarkWriter {
    private let remarks: Remarks
    private var text: ByteWriter

    /// Lives as long as the process.
    init(_ remarks: Remarks) {
        self.remarks = remarks
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: Remark.maximumText, alignment: 8)
        text = unsafe ByteWriter(unsafe: buffer, capacity: Remark.maximumText)
    }

    /// An entry of a process, where it is a warning or worse.
    mutating func add(_ record: borrowing LogRecord, of process: ProcessID) {
        guard record.priority <= LogPriority.warning.rawValue else { return }
        text.reset()
        LogForm.writeText(of: record, limit: Remark.maximumText, to: &text)
        append(record.event.rawValue, process, record.time / 1_000_000)
    }

    /// Entries of a process that were dropped.
    mutating func add(dropped count: UInt64, of process: ProcessID) {
        text.reset()
        LogForm.writeDroppedText(count, process, to: &text)
        append(Remark.logDropped, process, Clock.epochSeconds())
    }

    private func append(_ event: UInt8, _ process: ProcessID, _ seconds: UInt64) {
        var remark = Remark()
        remark.time = seconds
        remark.process = process
        remark.event = event
        remark.setText(text.written)
        remarks.append(remark)
    }
}
