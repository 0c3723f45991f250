import Platform
import SharedState

/// What the service did in the last ten seconds: the difference of two samples of the master.
struct Load {
    private let first: LoadSample
    private let last: LoadSample

    /// Samples a second apart; between these two lies what is called now.
    private static let window: UInt64 = 10
    /// Milliseconds after which samples say nothing of now: the master takes none any more.
    private static let stale: UInt64 = 5000

    /// Nil where there are no two samples yet, or none of late.
    init?(_ samples: LoadSamples, now: UInt64) {
        let numbers = samples.numbers
        guard let newest = numbers.last, let last = samples.element(newest), now < last.time + Load.stale
        else { return nil }
        let wanted = max(numbers.lowerBound, newest - min(newest, Load.window))
        guard let first = (wanted..<newest).lazy.compactMap({ samples.element($0) }).first,
            first.time < last.time
        else { return nil }
        self.first = first
        self.last = last
    }

    /// Thousandths a second.
    func rate(_ count: KeyPath<LoadSample, UInt64>) -> Int {
        perSecond(last[keyPath: count] &- first[keyPath: count], scale: 1_000_000)
    }

    /// Thousandths of a processor.
    func share(_ process: ProcessID) -> Int {
        // Nanoseconds in a millisecond.
        perSecond(last.processorTime[process.index] &- first.processorTime[process.index], scale: 1) / 1000
    }

    /// Milliseconds of a processor until now.
    func processorTime(_ process: ProcessID) -> Int {
        Int(clamping: last.processorTime[process.index] / 1_000_000)
    }

    private func perSecond(_ difference: UInt64, scale: UInt64) -> Int {
        // Both only grow; what does not is no number of ours.
        guard difference < UInt64.max / 2_000_000 else { return 0 }
        let time = last.time - first.time
        return Int(clamping: (difference * scale + time / 2) / time)
    }
}
