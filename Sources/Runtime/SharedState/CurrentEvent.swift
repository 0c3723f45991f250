/// What a worker or the locator is handling, in one word of its row in the process table: who finds that it has
/// trapped knows what to blame (design §5.3).
///
///     | 1 : 8 | 0 : 24          | place in the in-flight array : 32 |
///     | 2 : 8 | generation : 24 | cell of the record that is due : 32 |
///     0: nothing that could be blamed
///
/// In the master's row stands the slot of the message that it reads, in the resolver's the hash of a question.
package enum CurrentEvent: Equatable {
    case mail(place: Int)
    case timer(cell: UInt32, generation: UInt32)

    package init?(rawValue: UInt64) {
        switch rawValue >> 56 {
        case 1: self = .mail(place: Int(rawValue & 0xFFFF_FFFF))
        case 2:
            self = .timer(
                cell: UInt32(truncatingIfNeeded: rawValue), generation: UInt32(rawValue >> 32 & 0xFF_FFFF))
        default: return nil
        }
    }

    @inline(__always) package var rawValue: UInt64 {
        switch self {
        case .mail(let place): 1 << 56 | UInt64(truncatingIfNeeded: place)
        case .timer(let cell, let generation):
            2 << 56 | UInt64(generation & 0xFF_FFFF) << 32 | UInt64(cell)
        }
    }
}
