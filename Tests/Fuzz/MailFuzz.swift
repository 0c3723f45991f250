// libFuzzer target for mail between processes: well-typed, but with references that are stale, of another
// generation or of nothing, any fork, attempt and status, mixed with requests, answers, time and turns. A
// worker must not trap over it.
//
//     input:  | operation : 8 | arguments … | operation : 8 | …
import Platform
import Proxy
import SharedState
import Syntax

private nonisolated(unsafe) let world = try! FuzzWorld()

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    guard let data = unsafe data else { return 0 }
    var input = unsafe Input(bytes: Span<UInt8>(_unsafeStart: data, count: min(count, 512)))
    while !input.isEmpty { perform(&input) }
    world.turns()
    world.masterTakes()
    world.wait(400_000)
    world.reset()
    return 0
}

/// The bytes that say what happens; zeros behind their end.
private struct Input: ~Escapable {
    let bytes: Span<UInt8>
    private var place = 0

    @_lifetime(copy bytes)
    init(bytes: Span<UInt8>) { self.bytes = bytes }

    var isEmpty: Bool { place >= bytes.count }

    mutating func byte() -> Int {
        defer { place += 1 }
        return place < bytes.count ? Int(bytes[place]) : 0
    }

    mutating func below(_ limit: Int) -> Int { byte() % limit }
}

private func perform(_ input: inout Input) {
    let worker = input.below(FuzzWorld.workers)
    switch input.below(8) {
    case 0, 1: request(&input, worker)
    case 2: response(&input, worker)
    case 3, 4: mail(&input, worker)
    case 5: world.turn(worker)
    case 6: world.turns()
    default:
        world.masterTakes()
        world.wait([1, 100, 500, 4000, 32_000, 190_000].map(UInt64.init)[input.below(6)])
    }
}

private func request(_ input: inout Input, _ worker: Int) {
    let methods = ["INVITE", "INVITE", "MESSAGE", "REGISTER", "CANCEL", "ACK", "OPTIONS", "BYE"]
    let targets = [
        "sip:u1@example.org", "sip:u2@example.org", "sip:x@127.0.0.2:5070", "sip:x@gw.example.net",
        "sip:example.org",
        "sip:x@127.0.0.9;transport=tcp",
    ]
    let (method, target, number) = (methods[input.below(8)], targets[input.below(6)], input.below(4))
    let tag = input.below(4) == 0 ? ";tag=b" : ""
    let text = """
        \(method) \(target) SIP/2.0\r
        Via: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bK\(number)\r
        From: <sip:a@example.org>;tag=a\r
        To: <\(target)>\(tag)\r
        Call-ID: \(number)\r
        CSeq: 1 \(method)\r
        Max-Forwards: 70\r
        Contact: <sip:a@127.0.0.2:5070>\r
        Content-Length: 0\r
        \r

        """
    world.deliver(Array(text.utf8).span, to: worker, byStream: input.below(4) == 0)
}

/// A response to some fork, perhaps to none that there is; the mail says what its branch says.
private func response(_ input: inout Input, _ worker: Int) {
    let branch = Branch(
        transaction(&input), fork: UInt8(input.below(4)), attempt: UInt8(input.below(3)), keys: world.keys)
    let text = written { writer in
        writer.append("SIP/2.0 ")
        writer.append(decimal: [100, 180, 200, 302, 401, 407, 486, 487, 503, 603, 699, 199][input.below(12)])
        writer.append(" X\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=")
        branch.write(to: &writer)
        writer.append(
            "\r\nVia: SIP/2.0/UDP 127.0.0.2:5070;branch=z9hG4bK1\r\nFrom: <sip:a@example.org>;tag=a\r\n")
        writer.append("To: <sip:b@example.org>;tag=b\r\nCall-ID: 1\r\nCSeq: 1 ")
        writer.append(string: ["INVITE", "INVITE", "MESSAGE", "CANCEL", "OPTIONS"][input.below(5)])
        writer.append("\r\nContact: <sip:u2@example.org>, <sip:y@127.0.0.5>\r\nContent-Length: 0\r\n\r\n")
    }
    world.deliver(text.span, to: worker)
}

/// Of a record that there is, that there was, or that there was never.
private func transaction(_ input: inout Input) -> TransactionReference {
    let owner = input.below(FuzzWorld.workers)
    let cell = UInt32(input.below(12))
    let table = world.state.shard(owner).table
    var generation = cell > 0 && Int(cell) <= table.pool.everUsed ? table.header(cell).generation : 1
    switch input.below(8) {
    case 0: return .none
    case 1: generation = generation &+ 1
    case 2: generation = generation &- 1
    case 3: return TransactionReference(worker: owner, cell: .max - cell, generation: generation)
    default: break
    }
    return TransactionReference(worker: owner, cell: cell, generation: generation)
}

private func stored(_ input: inout Input) -> StoredReference {
    let (sizeClass, cell, generation) = (input.below(8), input.below(10), input.below(4))
    if sizeClass == 7 { return .none }
    return StoredReference(
        sizeClass: sizeClass, cell: cell == 9 ? .max : UInt32(cell), generation: UInt32(generation))
}

/// Any mail that the process graph allows.
private func mail(_ input: inout Input, _ worker: Int) {
    let kinds: [(Mail.Kind, ProcessID)] = [
        (.forkStart, .worker(1 - worker)), (.forkCancel, .worker(1 - worker)),
        (.forkResponse, .worker(1 - worker)),
        (.forkDone, .worker(1 - worker)), (.registered, .locator), (.resolved, .resolver),
        (.sendFailed, .master),
    ]
    let (kind, sender) = kinds[input.below(kinds.count)]
    var mail = Mail(kind)
    mail.transaction = transaction(&input)
    mail.fork = UInt8(input.byte())
    mail.attempt = UInt8(input.below(20))
    mail.status =
        [0, 100, 180, 200, 302, 400, 408, 423, 487, 500, 503, 513, 603, 699, 999, .max][input.below(16)]
    mail.first = stored(&input)
    mail.second = UInt64(stored(&input).rawValue)
    mail.third = UInt64(input.below(4))
    // Never more than what the fork was given (RFC 5393).
    mail.flags = UInt16(input.below(3))
    if kind == .forkResponse && input.below(2) == 0 {
        // Of a message that the sender had, of one that somebody else has, or of none.
        let slot = input.below(16)
        if world.state.slots.isFree(slot) {
            mail.slot = SlotReference(index: slot, generation: UInt32(input.below(3)))
        }
    }
    world.post(mail, from: sender, to: worker)
}
