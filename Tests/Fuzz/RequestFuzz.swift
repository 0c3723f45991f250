// libFuzzer target for whole messages in a whole worker: what the master's scan lets through is routed,
// registered, answered, forwarded and retransmitted. Nothing traps, and when all timers have run off nothing
// is left.
import Platform
import Registrar
import SharedState
import Syntax

private nonisolated(unsafe) let world = try! FuzzWorld()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let data = unsafe data, count < 20_000 else { return 0 }
    let bytes = unsafe Span<UInt8>(_unsafeStart: data, count: count)
    var index = MessageIndex()
    let result = Scanner.scan(bytes, into: &index)
    guard result != .notSIP else { return 0 }
    if result == .complete && index.method == .register { apply(Message(bytes, index)) }
    world.deliver(bytes, to: 0)
    world.turns()
    world.deliver(bytes, to: 1, byStream: true)
    world.turns()
    world.masterTakes()
    precondition(world.end(), "something is left")
    world.reset()
    return 0
}

/// What the locator does with a REGISTER, but for its table.
private func apply(_ message: Message) {
    let aor = written { _ = Registrar.writeAddressOfRecord(message, to: &$0) }
    let path = written { _ = Registrar.writePath(message, to: &$0) }
    let userAgent = written { Registrar.writeUserAgent(message, to: &$0) }
    let request = RegisterRequest(message, path: path.span, userAgent: userAgent.span)
    let limits = RegistrarLimits(minExpires: 60, defaultExpires: 3600, maxExpires: 7200, maxContacts: 10)
    let bindings = world.state.locations.find(aor.span)
    let outcome = Registrar.apply(request, to: bindings, now: 1_700_000_000, limits: limits)
    for entry in outcome.entries {
        switch entry {
        case .kept(let place): precondition(bindings != nil && place < bindings!.count)
        case .updated(let contact): precondition(request.binding(contact).size > 0)
        }
    }
}
