import Platform
import SharedState

/// Takes the samples that rates and load are made of, one a second.
struct LoadSampler {
    /// Who had each number at the last sample, and the nanoseconds that it had used then.
    private var pids = InlineArray<68, Int32>(repeating: 0)
    private var used = InlineArray<68, UInt64>(repeating: 0)
    /// Nanoseconds of all that had the number before.
    private var former = InlineArray<68, UInt64>(repeating: 0)

    mutating func sample(_ state: SharedState, _ now: UInt64) {
        var sample = LoadSample()
        sample.time = now
        sample.callsStarted = state.counters.total(.callsStarted)
        sample.callsAnswered = state.counters.total(.callsAnswered)
        sample.callsFailed = state.counters.total(.callsFailed)
        sample.messagesReceived = state.counters.total(.messagesReceived)
        sample.messagesSent = state.counters.total(.messagesSent)
        for index in 0..<min(4 + Int(state.sizes.workers), ProcessID.limit) {
            sample.processorTime[index] = processorTime(
                index, pid: state.processes.pid(ProcessID(rawValue: UInt8(index))))
        }
        state.load.append(sample)
    }

    /// What a process and those before it have used. Of one that has died, what it used after its last sample is
    /// missing.
    private mutating func processorTime(_ index: Int, pid: Int32) -> UInt64 {
        if pid != pids[index] {
            former[index] &+= used[index]
            used[index] = 0
            pids[index] = pid
        }
        if pid != 0, let time = Clock.processorTime(of: pid), time > used[index] { used[index] = time }
        return former[index] &+ used[index]
    }
}
