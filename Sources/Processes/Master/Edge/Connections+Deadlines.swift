import Glibc
import Platform
import SharedState

/// What ends by the clock. Nothing is kept in order: all connections are looked at when the first of them may be due,
/// ten times a second at most, and then one word of each.
extension Connections {
    private static let sweepInterval: UInt64 = 100
    /// How soon a connection that found no room tries again: nobody tells when there is some.
    private static let retryInterval: UInt64 = 5

    /// Something may be due at a connection at that time, or earlier already.
    mutating func arm(_ index: Int, _ time: UInt64) {
        if time >= table.due[index] { return }
        table.due[index] = time
        if time < earliest { earliest = time }
    }

    /// What is due; also reads on where no worker had room.
    mutating func tend(_ now: UInt64, _ reception: inout Reception) {
        if !stalled.isEmpty && now >= retriedAt + Connections.retryInterval {
            retriedAt = now
            retryStalled(now, &reception)
        }
        if now >= earliest && now >= sweptAt + Connections.sweepInterval { sweep(now) }
        state.counters.set(.connections, table.count)
    }

    /// When `tend` is to be called at the latest; nil: nothing is due at any time.
    func nextDeadline(_ now: UInt64) -> UInt64? {
        if !stalled.isEmpty { return retriedAt + Connections.retryInterval }
        return earliest == .max ? nil : max(earliest, sweptAt + Connections.sweepInterval)
    }

    private mutating func sweep(_ now: UInt64) {
        sweptAt = now
        earliest = .max
        resumeListeners(now)
        for index in 0..<table.made {
            if table.due[index] <= now {
                table.due[index] = .max
                if !endsByTime(index, now) { arm(index, nextDue(index)) }
            } else if table.due[index] < earliest {
                earliest = table.due[index]
            }
        }
    }

    /// When something may be due at a connection.
    private func nextDue(_ index: Int) -> UInt64 {
        if table[index].phase != .open { return table[index].deadline }
        var next = table[index].activeAt + limits.idle
        if table[index].messageSince != 0 { next = min(next, table[index].messageSince + limits.message) }
        if !table[index].output.isEmpty { next = min(next, table[index].progressAt + limits.message) }
        if !table[index].requests.isEmpty { next = min(next, table[index].activeAt + limits.request + 1000) }
        return next
    }

    /// Ends a connection whose time is over; false where it goes on.
    private mutating func endsByTime(_ index: Int, _ now: UInt64) -> Bool {
        switch table[index].phase {
        case .free: return true
        case .connecting:
            if table[index].deadline > now { return false }
            logFailure(table[index].peer, ETIMEDOUT)
            fail(index, ETIMEDOUT)
            return true
        case .broken:
            if table[index].deadline > now { return false }
            fail(index, table[index].breakCode)
            return true
        case .refusing, .closing:
            if table[index].deadline > now { return false }
            end(index, EPROTO)
            return true
        case .open: break
        }
        let written = table[index].written
        table[index].requests.forget(before: now &- min(limits.request, now), written: written)
        let isSlow = table[index].messageSince != 0 && table[index].messageSince + limits.message <= now
        let isDeaf = !table[index].output.isEmpty && table[index].progressAt + limits.message <= now
        if isSlow || isDeaf {
            logFailure(table[index].peer, ETIMEDOUT)
            fail(index, ETIMEDOUT)
            return true
        }
        if table[index].activeAt + limits.idle <= now && !table[index].isStalled {
            end(index, ETIMEDOUT)
            return true
        }
        return false
    }
}
