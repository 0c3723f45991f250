import Testing

@testable import Transaction

/// Whatever can happen to any of the machines. A client meets `response`, a server `request`, `ack` and
/// `answer`.
enum Happening: Hashable, Sendable {
    case start
    case response(UInt16)
    case request
    case ack
    case answer(UInt16)
    /// `retransmitAt` has come: timers A, E, G, or the 100 is due.
    case shortTimer
    /// `expireAt` has come: timers B, D, M, F, K, H, I, L, J.
    case longTimer
    case transportError
    case abandon
}

/// A machine under test, driven by happenings.
protocol Machine {
    associatedtype State: Hashable, Sendable
    init()
    var state: State { get }
    var timers: TransactionTimers { get }
    mutating func apply(_ happening: Happening, now: UInt64, reliable: Bool) -> Effects
}

/// One arrow of a figure: from the state that `path` leads to, by `event`, into `state`. The timers are what
/// is left of them after the event, in milliseconds; 0: not running.
struct Arrow<M: Machine>: Sendable, CustomTestStringConvertible {
    let name: String
    let path: [Happening]
    let event: Happening
    let reliable: Bool
    let state: M.State
    let effects: Effects
    let short: UInt64
    let long: UInt64

    init(
        _ name: String, _ path: [Happening], _ event: Happening, _ state: M.State, _ effects: Effects,
        short: UInt64 = 0, long: UInt64 = 0, reliable: Bool = false
    ) {
        self.name = name
        self.path = path
        self.event = event
        self.reliable = reliable
        self.state = state
        self.effects = effects
        self.short = short
        self.long = long
    }

    var testDescription: String { reliable ? name + " (reliable)" : name }

    /// Follows the path, all at one moment except for timers, then the arrow, and compares.
    func check() {
        var driver = Driver<M>(reliable: reliable)
        for happening in path { _ = driver.apply(happening) }
        let effects = driver.apply(event)
        #expect(driver.machine.state == state)
        #expect(effects == self.effects)
        #expect(driver.left(driver.machine.timers.retransmitAt) == short, "short timer")
        #expect(driver.left(driver.machine.timers.expireAt) == long, "long timer")
    }

    var origin: M.State {
        var driver = Driver<M>(reliable: reliable)
        for happening in path { _ = driver.apply(happening) }
        return driver.machine.state
    }
}

/// A machine with its clock.
struct Driver<M: Machine> {
    static var begin: UInt64 { 1_000_000 }

    var machine = M()
    var now = begin
    let reliable: Bool

    init(reliable: Bool) { self.reliable = reliable }

    mutating func apply(_ happening: Happening) -> Effects {
        switch happening {
        case .shortTimer: now = max(now, machine.timers.retransmitAt)
        case .longTimer: now = max(now, machine.timers.expireAt)
        default: break
        }
        return machine.apply(happening, now: now, reliable: reliable)
    }

    func left(_ deadline: UInt64) -> UInt64 { deadline == 0 ? 0 : deadline - now }

    /// Lets all timers run out: when each fired, in milliseconds from now, and what it did.
    mutating func run() -> [Firing] {
        let begin = now
        var firings: [Firing] = []
        while machine.timers.next != 0 && firings.count < 100 {
            #expect(machine.timers.next > now, "a deadline in the past")
            // A moment too early nothing may happen.
            #expect(machine.apply(.shortTimer, now: machine.timers.next - 1, reliable: reliable) == [])
            now = machine.timers.next
            firings.append(Firing(now - begin, machine.apply(.shortTimer, now: now, reliable: reliable)))
        }
        return firings
    }
}

struct Firing: Equatable, CustomStringConvertible {
    let at: UInt64
    let effects: Effects

    init(_ at: UInt64, _ effects: Effects) {
        self.at = at
        self.effects = effects
    }

    var description: String { "\(at): \(effects.rawValue)" }
}

/// The schedule after `path`, all of it at one moment.
func schedule<M: Machine>(_: M.Type, _ path: [Happening], reliable: Bool = false) -> [Firing] {
    var driver = Driver<M>(reliable: reliable)
    for happening in path { _ = driver.apply(happening) }
    return driver.run()
}

/// Whatever has no arrow in the table leaves the machine as it is and asks for nothing.
///
/// - Parameter paths: one way into every state.
func checkThatNothingElseMatters<M: Machine & Equatable>(
    _ arrows: [Arrow<M>], paths: [[Happening]], happenings: [Happening]
) {
    var known: [M.State: Set<Happening>] = [:]
    for arrow in arrows where !arrow.reliable { known[arrow.origin, default: []].insert(arrow.event) }
    for path in paths {
        for happening in happenings {
            var driver = Driver<M>(reliable: false)
            for step in path { _ = driver.apply(step) }
            let before = driver.machine
            if known[before.state, default: []].contains(happening) { continue }
            #expect(driver.apply(happening) == [], "\(before.state) \(happening)")
            #expect(driver.machine == before, "\(before.state) \(happening)")
        }
    }
}

/// The default values of RFC 3261, table 4.
let rfcValues = TimerValues()
