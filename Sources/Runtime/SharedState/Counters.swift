import SharedMemory

/// What is counted; names are those of `status --json`, of `metrics` and of the manual. What each means: `help`.
package enum Counter: Int, CaseIterable {
    case messagesReceived, messagesSent
    case requestsReceived, responsesReceived
    case droppedNotSip
    case badRequests
    case badResponses
    case strayResponses
    case retransmissionsAbsorbed
    case retransmissionsSent
    case loopsDetected
    case refusedFull
    case refusedOverload
    case answersAcknowledged
    case droppedNoSlot
    case sendErrors
    case mailDropped, mailRepeated
    case callsStarted, callsAnswered, callsFailed
    case forksStarted, forksCancelled
    case candidatesFailed
    case registersAccepted, registersRefused
    case logEntriesDropped
    case dnsQuestions, dnsFailures, dnsRefused
    case dnsEvicted
    case connectionsAccepted, connectionsOpened
    case connectionsRefused
    case connectionsFailed
    case quarantined

    /// "retransmissions_sent".
    package var name: String {
        "\(self)".reduce(into: "") { text, letter in
            text += letter.isUppercase ? "_" + letter.lowercased() : String(letter)
        }
    }
}

/// What there is of something now, as the master keeps it.
package enum Gauge: Int, CaseIterable {
    /// TCP connections, those that are being made included.
    case connections
    /// As many as there may be: `tcp.max-connections`, or fewer where the system grants fewer descriptors.
    case connectionsLimit
}

/// One block of cells per process, each written by that process only.
package struct Counters: BitwiseCopyable {
    private static let cells = 64
    package static var bytes: Int { ProcessID.limit * cells * 8 }

    private let memory: Memory
    private let base: Int

    package init(memory: Memory, at base: Int) {
        self.memory = memory
        self.base = base
    }

    private func cell(_ counter: Counter, _ process: ProcessID) -> Int {
        base + (process.index * Counters.cells + counter.rawValue) * 8
    }

    @inline(__always) package func add(_ counter: Counter, _ process: ProcessID, _ amount: UInt64 = 1) {
        let cell = cell(counter, process)
        memory.storeAtomic(memory.loadAtomic(cell) &+ amount, at: cell)
    }

    /// Of one process.
    package func value(_ counter: Counter, _ process: ProcessID) -> UInt64 {
        memory.loadAtomic(cell(counter, process))
    }

    /// Gauges lie at the end of the master's block.
    private func cell(_ gauge: Gauge) -> Int { base + (Counters.cells - 1 - gauge.rawValue) * 8 }

    package func set(_ gauge: Gauge, _ value: Int) { memory.storeAtomic(UInt64(value), at: cell(gauge)) }

    package func value(_ gauge: Gauge) -> Int { Int(clamping: memory.loadAtomic(cell(gauge))) }

    /// Over all processes.
    package func total(_ counter: Counter) -> UInt64 {
        var sum: UInt64 = 0
        for index in 0..<ProcessID.limit {
            sum &+= memory.loadAtomic(cell(counter, ProcessID(rawValue: UInt8(index))))
        }
        return sum
    }
}
