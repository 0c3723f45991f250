import SharedMemory

/// A log entry of priority warning or worse, as `status` shows it.
package struct Remark: BitwiseCopyable {
    package static let maximumText = 240
    /// The event of the logger's own entry on those that were dropped: it stands in no ring.
    package static let logDropped: UInt8 = 255

    /// Seconds since 1970.
    package var time: UInt64 = 0
    package var process = ProcessID.master
    /// A `LogEvent`, or `logDropped`.
    package var event: UInt8 = 0
    private var count: UInt8 = 0
    private var bytes = InlineArray<240, UInt8>(repeating: 0)

    package init() {}

    /// The name in SIPFORK_EVENT.
    package var eventName: String {
        event == Remark.logDropped ? "log-dropped" : (LogEvent(rawValue: event) ?? .none).name
    }

    package var text: String {
        String(decoding: (0..<min(Int(count), Remark.maximumText)).map { bytes[$0] }, as: UTF8.self)
    }

    /// What is longer is cut.
    package mutating func setText(_ text: Span<UInt8>) {
        count = UInt8(min(text.count, Remark.maximumText))
        for index in 0..<Int(count) { bytes[index] = text[index] }
    }
}

/// The last few; the logger writes.
package typealias Remarks = GuardedRing<Remark>

extension GuardedRing<Remark> {
    package static var capacity: Int { 8 }
    package static var bytes: Int { bytes(capacity: capacity) }

    package init(memory: Memory, at base: Int) {
        self.init(memory: memory, at: base, capacity: Remarks.capacity)
    }
}
