import Glibc

/// The two clocks: monotonic milliseconds for timers, seconds since 1970 for expiry of bindings.
package enum Clock {
    /// Milliseconds of CLOCK_MONOTONIC: one scale for all processes of a boot.
    package static func milliseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1000 &+ UInt64(time.tv_nsec) / 1_000_000
    }

    /// Seconds since 1970, UTC.
    package static func epochSeconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec)
    }
}
