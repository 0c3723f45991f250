import Glibc
import Mailbox
import Platform
import Proxy
import Registrar
import SharedMemory
import SharedState
import Syntax

/// Commands of the control tool that change something: the locator carries them out, the master waits for
/// nobody.
///
///     tool ──"register␊…"──▶ master: a REGISTER into a slot of its own ──mail──▶ locator: rules, store
///     tool ◀── "200 OK␊" ─── master: slot given back                   ◀──mail──
///
/// A locator that dies meanwhile has a successor that reads the same mailbox. Of one that does not answer the
/// tool is told; and then the slot is gone, so that it does nothing when it wakes up.
struct WaitingCommands {
    struct Command {
        /// As the mail has it.
        let number: UInt64
        let peer: Int32
        let slot: SlotReference
        /// Monotonic milliseconds.
        let deadline: UInt64
        /// For the journal.
        let text: String
    }

    static let limit = 32
    /// Milliseconds that the locator may take.
    static let patience: UInt64 = 5000

    /// In the order of their deadlines.
    private var commands: [Command] = []

    var isFull: Bool { commands.count >= WaitingCommands.limit }
    var nextDeadline: UInt64? { commands.first?.deadline }

    mutating func add(_ command: Command) { commands.append(command) }

    /// The command of that number, which waits no longer; nil for one that did not wait.
    mutating func take(_ number: UInt64) -> Command? {
        guard let index = commands.firstIndex(where: { $0.number == number }) else { return nil }
        return commands.remove(at: index)
    }

    /// The next one whose time is over.
    mutating func takeExpired(_ now: UInt64) -> Command? {
        guard let first = commands.first, first.deadline <= now else { return nil }
        return commands.removeFirst()
    }
}

extension MasterProcess {
    /// What a peer of the control socket asks, which has now come.
    mutating func serve(_ peer: Int32) {
        // One that had to give way in this very turn of the loop is closed already.
        guard controlPeers.numbers.contains(peer) else { return }
        poller.remove(peer)
        let request = ControlSocket.receive(peer)
        guard let command = RegisterCommand(decoding: request.span) else {
            switch String(decoding: request, as: UTF8.self) {
            case "reload\n":
                controlPeers.forget(peer)
                reload(for: peer)
            #if DEBUG
                case let text where text.hasPrefix("fault"):
                    controlPeers.forget(peer)
                    ControlSocket.answer(peer, fault(text))
            #endif
            case let text where text.hasPrefix("trace "):
                controlPeers.forget(peer)
                ControlSocket.answer(peer, trace(request))
            #if DEBUG
                case let text where text.hasPrefix("trigger "):
                    controlPeers.forget(peer)
                    ControlSocket.answer(peer, trigger(text))
            #endif
            case let text:
                if text.hasPrefix("view") { ControlSocket.sendView(peer, estate.arena) }
                controlPeers.remove(peer)
            }
            return
        }
        controlPeers.forget(peer)
        if let refusal = pass(command, peer) { ControlSocket.answer(peer, refusal) }
    }

    /// Hands a command to the locator; what the tool is told where that cannot be.
    private mutating func pass(_ command: RegisterCommand, _ peer: Int32) -> String? {
        if isStopping { return "503 The service is stopping" }
        if commands.isFull { return "503 Too many commands wait for the locator" }
        if let fault = command.fault { return "\(fault.status) \(fault.text)" }
        let bytes = Array(command.addressOfRecord.utf8)
        // §10.3 step 5, as a worker does for a REGISTER.
        guard let uri = SIPURI.parse(bytes.span), Identity(state.configuration).isOurs(uri, bytes.span) else {
            return "404 Domain is not ours"
        }
        let number = UInt64.random(in: 1...UInt64.max)
        let request = command.request(number: number, host: MasterProcess.hostName())
        var index = MessageIndex()
        switch Scanner.scan(request.span, into: &index) {
        case .complete: break
        case .faulty(let fault): return "\(fault.status) \(fault.reason)"
        case .notSIP: return "400 Command too long"
        }
        guard let slot = reception.keep(request.span) else { return "503 No message slot is free" }
        var mail = Mail(.register)
        mail.transaction = TransactionReference(rawValue: number)
        mail.second = slot.rawValue
        mail.flags = command.action == .unregister ? 1 : 0
        guard state.masterRing(to: .locator).append(mail) else {
            reception.giveBack(slot)
            return "503 The locator does not read"
        }
        let words = [command.action.rawValue, command.addressOfRecord, command.contact]
        let waiting = WaitingCommands.Command(
            number: number, peer: peer, slot: slot,
            deadline: Clock.milliseconds() + WaitingCommands.patience,
            text: words.filter { !$0.isEmpty }.joined(separator: " "))
        commands.add(waiting)
        log.note(.note, .debug, "sipforkctl \(waiting.text): passed to the locator")
        return nil
    }

    /// For Call-IDs; of a name that could not stand in one, nothing.
    private static func hostName() -> String {
        var name = InlineArray<256, CChar>(repeating: 0)
        var span = name.mutableSpan
        let result = unsafe span.withUnsafeMutableBufferPointer { unsafe gethostname($0.baseAddress!, 255) }
        let bytes = name.indices.map { UInt8(bitPattern: name[$0]) }.prefix { $0 != 0 }
        let isPlain = bytes.allSatisfy {
            $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") || $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26
        }
        return result == 0 && isPlain && !bytes.isEmpty ? String(decoding: bytes, as: UTF8.self) : "localhost"
    }

    // MARK: mail

    /// Everything that others may ask of the master.
    mutating func takeMail() {
        let now = Clock.milliseconds()
        // So many, then the others' turn.
        for _ in 0..<1024 {
            guard let mail = inbox.next() else { return }
            FaultPoint.mailTaken.pass(state.memory)
            precondition(
                MailGraph.allows(mail.kind, from: mail.sender, to: .master), "mail from the wrong process")
            switch mail.kind {
            case .registered: takeRegistered(mail)
            case .send: send(mail, now)
            case .resolved: reception.takeResolved(mail)
            default: break
            }
        }
    }

    /// A worker's message to a connection.
    private mutating func send(_ mail: Mail, _ now: UInt64) {
        guard state.slots.isHeld(mail.slot, by: .master) else { return }
        let endpoint = state.slots.header(mail.slot.index).endpoint
        let bytes = state.slots.bytes(mail.slot.index)
        FaultPoint.sendTaken.pass(state.memory)
        reception.trace.stamp()
        let sent = connections.send(bytes, to: endpoint, RequestMark(mail), now)
        if reception.trace.isOn { reception.trace.noteSent(bytes, endpoint, by: mail.sender, sent) }
        FaultPoint.sendDone.pass(state.memory)
        state.slots.release(mail.slot, by: .master)
        FaultPoint.sendReleased.pass(state.memory)
    }

    /// The locator has done what a command wants, or refused.
    private mutating func takeRegistered(_ mail: Mail) {
        guard let command = commands.take(mail.transaction.rawValue) else { return }
        finish(command, "\(mail.status) \(RegisterReason(code: mail.flags).text)")
    }

    mutating func expireCommands(_ now: UInt64) {
        while let command = commands.takeExpired(now) {
            finish(
                command, "504 The locator does not answer within \(WaitingCommands.patience / 1000) seconds")
        }
    }

    private mutating func finish(_ command: WaitingCommands.Command, _ answer: String) {
        reception.giveBack(command.slot)
        ControlSocket.answer(command.peer, answer)
        log.note(.note, .info, "sipforkctl \(command.text): \(answer)")
    }
}
