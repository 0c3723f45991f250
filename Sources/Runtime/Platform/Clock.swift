import Glibc

/// The clocks: monotonic milliseconds for timers, the time of day for expiry of bindings and for the log, and what a
/// process has used of a processor.
package enum Clock {
    /// Milliseconds of CLOCK_MONOTONIC: one scale for all processes of a boot.
    package static func milliseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1000 &+ UInt64(time.tv_nsec) / 1_000_000
    }

    /// Microseconds of the same scale.
    package static func microseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1000
    }

    /// Microseconds since 1970, UTC: when something happened, for entries of the log.
    package static func epochMicroseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1000
    }

    /// Seconds since 1970, UTC.
    package static func epochSeconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec)
    }

    /// Nanoseconds of a processor that a process has used; nil where there is none of that number.
    package static func processorTime(of pid: Int32) -> UInt64? {
        var clock = clockid_t()
        var time = timespec()
        guard unsafe clock_getcpuclockid(pid, &clock) == 0, unsafe clock_gettime(clock, &time) == 0 else {
            return nil
        }
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
