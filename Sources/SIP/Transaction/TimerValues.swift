/// The configured timer values of RFC 3261, table 4, in milliseconds; every other timer is derived from them.
package struct TimerValues: BitwiseCopyable, Equatable {
    /// Round-trip time estimate; at least 1.
    package var t1: UInt32
    /// Longest interval between retransmissions of non-INVITE requests and of responses to INVITE; at least
    /// `t1`.
    package var t2: UInt32
    /// How long a message may stay in the network.
    package var t4: UInt32
    /// Timer C: how long a proxied INVITE may ring, more than three minutes (§16.6 item 11).
    package var c: UInt32
    /// The 100 to an INVITE leaves this long after the request unless the core has answered (§17.2.1); 0: at
    /// once.
    package var tryingAfter: UInt32

    package init(
        t1: UInt32 = 500, t2: UInt32 = 4000, t4: UInt32 = 5000, c: UInt32 = 185_000, tryingAfter: UInt32 = 200
    ) {
        self.t1 = t1
        self.t2 = t2
        self.t4 = t4
        self.c = c
        self.tryingAfter = tryingAfter
    }

    /// 64·T1: timers B, F, H, J, L, M, and the wait for a final response after a CANCEL (§9.1).
    package var transactionTimeout: UInt64 { 64 &* UInt64(t1) }

    /// Timer D: at least 32 s, because the server's T1 is unknown to the client (§17.1.1.2).
    package var d: UInt64 { max(32_000, transactionTimeout) }

    /// When a client's timer E is reset to T2, counted from the request: 3.5 s by default. Over an unreliable
    /// transport a non-INVITE request must not be answered 100 before that time, and over any transport it
    /// must be answered 100 then (RFC 4320 §4.1).
    package var nonInviteTryingAfter: UInt64 {
        var elapsed: UInt64 = 0
        var interval = UInt64(max(t1, 1))
        while interval < UInt64(t2) {
            elapsed &+= interval
            interval = min(2 &* interval, UInt64(t2))
        }
        return elapsed
    }
}
