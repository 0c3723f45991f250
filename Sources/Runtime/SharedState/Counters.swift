import SharedMemory

/// What is counted; names are those of `status --json` and of the manual.
package enum Counter: Int, CaseIterable {
    case messagesReceived, messagesSent
    case requestsReceived, responsesReceived
    /// Datagrams that were no SIP, and connections closed for that.
    case droppedNotSip
    /// Requests answered 400 or 505, and faulty ACKs dropped.
    case badRequests
    /// Responses with a fault, dropped.
    case badResponses
    /// Responses whose branch was not ours, or of a transaction that is over.
    case strayResponses
    /// Requests that matched a transaction: retransmissions, absorbed.
    case retransmissionsAbsorbed
    /// Messages sent again by timers A, E and G or for a repeated request.
    case retransmissionsSent
    /// Requests answered 482, and ACKs dropped: they had been here before.
    case loopsDetected
    /// Requests answered 503 because a table was full.
    case refusedFull
    /// Datagrams dropped because no slot was free.
    case droppedNoSlot
    /// Messages that could not be sent.
    case sendErrors
    /// Mail that did not fit a ring, or repeated mail dropped.
    case mailDropped, mailRepeated
    /// INVITEs answered 2xx, and with anything else.
    case callsAnswered, callsFailed
    case forksStarted, forksCancelled
    /// Attempts that were followed by one at the next address of the same next hop.
    case candidatesFailed
    case registersAccepted, registersRefused
    case logEntriesDropped
    /// Names that name servers were asked about; without an answer; or not at all, there being too many.
    case dnsQuestions, dnsFailures, dnsRefused
    /// Answers that were forgotten before their time, for the cache was full.
    case dnsEvicted
    /// TCP connections that peers have made, and that we have.
    case connectionsAccepted, connectionsOpened
    /// TCP connections that a limit left no room for.
    case connectionsRefused
    /// TCP connections that could not be made or broke, that took too long for a message, or carried no SIP.
    case connectionsFailed

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
