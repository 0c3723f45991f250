import CPlatform

/// An epoll instance: level-triggered, one token per descriptor.
package struct Poller: ~Copyable {
    private let descriptor: Descriptor
    private var events: [cp_event]

    package struct Event {
        package let token: UInt64
        package let readable: Bool
        package let writable: Bool
        package let failed: Bool
    }

    package struct Interest: OptionSet {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        package static let readable = Interest(rawValue: UInt32(cp_readable))
        package static let writable = Interest(rawValue: UInt32(cp_writable))
    }

    package init() throws(SystemError) {
        descriptor = Descriptor(owning: try check("epoll_create1") { cp_poller() })
        events = Array(repeating: cp_event(), count: Int(cp_batch))
    }

    /// For a poller that holds this one: it is readable where something is ready here.
    package var number: Int32 { descriptor.number }

    package func add(_ number: Int32, token: UInt64, _ interest: Interest = .readable) throws(SystemError) {
        if cp_poll_change(descriptor.number, 1, number, interest.rawValue, token) < 0 {
            throw .last("epoll_ctl")
        }
    }

    package func change(_ number: Int32, token: UInt64, _ interest: Interest) throws(SystemError) {
        if cp_poll_change(descriptor.number, 3, number, interest.rawValue, token) < 0 {
            throw .last("epoll_ctl")
        }
    }

    package func remove(_ number: Int32) { _ = cp_poll_change(descriptor.number, 2, number, 0, 0) }

    /// Waits until something is ready or `milliseconds` have passed (-1: without end); the number of events.
    package mutating func wait(milliseconds: Int32) -> Int {
        let poller = descriptor.number
        let count = unsafe events.withUnsafeMutableBufferPointer {
            unsafe cp_poll_wait(poller, $0.baseAddress, Int32($0.count), milliseconds)
        }
        return count < 0 ? 0 : Int(count)
    }

    package func event(_ index: Int) -> Event {
        let event = events[index]
        return Event(
            token: event.token, readable: event.events & UInt32(cp_readable) != 0,
            writable: event.events & UInt32(cp_writable) != 0,
            failed: event.events & (UInt32(cp_failed) | 0x10) != 0)
    }
}
