import SharedMemory

/// What the service has done up to a moment; the master takes one a second. Rates are the difference of two.
package struct LoadSample: BitwiseCopyable {
    /// Monotonic milliseconds.
    package var time: UInt64 = 0
    package var callsStarted: UInt64 = 0
    package var callsAnswered: UInt64 = 0
    package var callsFailed: UInt64 = 0
    package var messagesReceived: UInt64 = 0
    package var messagesSent: UInt64 = 0
    /// Nanoseconds of a processor that each process has used, by its number, those that it replaced included.
    package var processorTime = InlineArray<68, UInt64>(repeating: 0)

    package init() {}
}

/// The last minute of samples; the master writes.
package typealias LoadSamples = GuardedRing<LoadSample>

extension GuardedRing<LoadSample> {
    package static var capacity: Int { 64 }
    package static var bytes: Int { bytes(capacity: capacity) }

    package init(memory: Memory, at base: Int) {
        self.init(memory: memory, at: base, capacity: LoadSamples.capacity)
    }
}
