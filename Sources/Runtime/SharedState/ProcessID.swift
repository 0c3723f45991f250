import Platform

/// A process of the service, by the number that indexes tables, mailboxes and descriptors.
package struct ProcessID: BitwiseCopyable, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let master = ProcessID(rawValue: 0)
    package static let locator = ProcessID(rawValue: 1)
    package static let resolver = ProcessID(rawValue: 2)
    package static let logger = ProcessID(rawValue: 3)

    package static func worker(_ index: Int) -> ProcessID { ProcessID(rawValue: UInt8(4 + index)) }

    /// The number of a worker; nil for the others.
    package var workerIndex: Int? { rawValue >= 4 ? Int(rawValue) - 4 : nil }

    package static let maximumWorkers = 64
    /// Every process has a number below this.
    package static let limit = 4 + maximumWorkers

    package var index: Int { Int(rawValue) }

    /// Those of a service, the master first, then the others in the order in which they are started.
    package static func all(workers: Int) -> [ProcessID] {
        [.master, .logger, .locator, .resolver] + (0..<workers).map { .worker($0) }
    }

    /// Writes that name without an allocation.
    package func writeName(to writer: inout ByteWriter) {
        switch rawValue {
        case 0: writer.append("master")
        case 1: writer.append("locator")
        case 2: writer.append("resolver")
        case 3: writer.append("logger")
        default:
            writer.append("worker ")
            writer.append(decimal: UInt64(rawValue - 4))
        }
    }

    /// "master", "locator", "worker 3": for titles and SIPFORK_PROCESS.
    package var name: String {
        switch rawValue {
        case 0: "master"
        case 1: "locator"
        case 2: "resolver"
        case 3: "logger"
        default: "worker \(rawValue - 4)"
        }
    }
}
