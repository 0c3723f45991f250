import Platform
import SharedState

@testable import Worker

/// The steps of a sequence. What a step does depends on its dice and on what the peers have heard so far.
extension FuzzRun {
    func perform(_ dice: inout Dice) throws {
        switch dice.below(100) {
        case 0..<18: invite(&dice)
        case 18..<27: otherRequest(&dice)
        case 27..<32: repeatRequest(&dice)
        case 32..<38: cancel(&dice)
        case 38..<45: acknowledge(&dice)
        case 45..<69: respond(&dice)
        case 69..<73: repeatResponse(&dice)
        case 73..<75: strayResponse(&dice)
        case 75..<79: answerRegister(&dice)
        case 79..<84: answerQuestion(&dice)
        case 84..<88: failSending(&dice)
        case 88..<94: try wait([10, 200, 500, 1500, 4000].map(UInt64.init)[log("wait", dice.below(5))])
        case 94..<97:
            try wait([20_000, 33_000, 70_000, 200_000].map(UInt64.init)[log("wait long", dice.below(4))])
        default:
            let gap = [100, 600, 5000, 33_000, 190_000].map(UInt64.init)[log("stall", dice.below(5))]
            if gap > 600 { try settle() }
            now += gap
            try settle()
        }
    }

    private func log(_ what: String, _ number: Int) -> Int {
        note("\(what) \(number)")
        return number
    }

    // MARK: requests

    private func target(_ dice: inout Dice) -> String {
        switch dice.below(12) {
        case 0, 1: "sip:bob@\(sockets.phones[2 + dice.below(3)].address.text)"
        case 2: "sip:bob@\(FuzzRun.streamPeer.text);transport=tcp"
        case 3, 4: "sip:bob@\(dice.pick(FuzzRun.names))"
        case 5: "sip:nobody@example.org"
        case 6: plan.isRough ? "sip:u5@example.org" : "sip:u1@example.org"
        default: "sip:u\(1 + dice.below(4))@example.org"
        }
    }

    private func send(
        _ method: String, to uri: String, _ dice: inout Dice, branch: String? = nil, callID: String? = nil,
        toTag: String? = nil, cseq: Int = 1
    ) {
        let number = calls.count
        let phone = sockets.phones[dice.below(2)]
        var caller = Endpoint(.udp, phone.address, listener: 0)
        let body = dice.chance(15) ? String(repeating: "x", count: 1400) : ""
        let identifier = callID ?? "call-\(plan.seed)-\(number)"
        var text = request(
            method, uri, from: phone, branch: branch ?? "b\(number)", callID: identifier, cseq: cseq,
            toTag: toTag, body: method == "INVITE" || method == "MESSAGE" ? body : "")
        let byStream = dice.chance(20)
        if byStream {
            let place = SocketAddress(ipv4: 0x7F00_0003, port: 5099)
            caller = Endpoint(
                .tcp, SocketAddress(ipv4: 0x7F00_0003, port: UInt16(40_000 + number)), listener: 1)
            caller.connection = ConnectionReference(index: number, generation: 1)
            text = text.replacing("SIP/2.0/UDP \(phone.address.text)", with: "SIP/2.0/TCP \(place.text)")
        }
        let call = Call(
            method: method, text: text, branch: "z9hG4bK" + (branch ?? "b\(number)"), caller: caller,
            worker: worker(for: text), sentAt: now)
        calls.append(call)
        note("\(method) \(number) to \(uri) by \(caller.transport)\(body.isEmpty ? "" : ", long")")
        world.deliver(text, from: caller, to: call.worker)
    }

    private func invite(_ dice: inout Dice) { send("INVITE", to: target(&dice), &dice) }

    private func otherRequest(_ dice: inout Dice) {
        switch dice.below(6) {
        case 0, 1: send("MESSAGE", to: target(&dice), &dice)
        case 2:
            send("BYE", to: "sip:bob@\(sockets.phones[2].address.text)", &dice, toTag: "b1", cseq: 2)
        case 3: send("OPTIONS", to: dice.chance(50) ? "sip:example.org" : target(&dice), &dice)
        default: send("REGISTER", to: "sip:example.org", &dice)
        }
    }

    /// Only while the transaction is there for certain, or the answer might be another one by rights.
    private func repeatRequest(_ dice: inout Dice) {
        guard let call = dice.recent(calls), call.method != "ACK" else { return }
        if now - call.sentAt > 20_000 && (call.method != "INVITE" || !finals(of: call).isEmpty) { return }
        // Nobody repeats himself on a connection, where timer J is zero (§17.2.2).
        if call.isAcknowledged || call.isExempt || call.caller.isReliable { return }
        note("again \(call.method) \(call.branch)")
        world.deliver(call.text, from: call.caller, to: call.worker)
    }

    private func derived(_ method: String, from call: Call, toTag: Substring, branch: String) -> String {
        var lines: [String] = []
        for line in call.text.split(separator: "\r\n") {
            if line.hasPrefix("INVITE ") {
                lines.append(method + line.dropFirst(6))
            } else if line.hasPrefix("CSeq:") {
                lines.append(String(line).replacing("INVITE", with: method))
            } else if line.hasPrefix("To:") && !toTag.isEmpty {
                lines.append("To:" + toTag)
            } else if line.hasPrefix("Via:") {
                lines.append(String(line).replacing(call.branch, with: branch))
            } else if line.hasPrefix("Content-Length:") {
                lines.append("Content-Length: 0")
                break
            } else {
                lines.append(String(line))
            }
        }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    private func cancel(_ dice: inout Dice) {
        guard let place = dice.place(in: calls), calls[place].method == "INVITE" else { return }
        let call = calls[place]
        let text = derived("CANCEL", from: call, toTag: "", branch: call.branch)
        note("CANCEL of \(call.branch)")
        var new = Call(
            method: "CANCEL", text: text, branch: call.branch, caller: call.caller, worker: call.worker,
            sentAt: now)
        // Without its INVITE it is forwarded without state.
        new.isExempt = !finals(of: call).isEmpty || now - call.sentAt > 20_000
        if let known = calls.first(where: { $0.method == "CANCEL" && $0.branch == call.branch }) {
            if now - known.sentAt > 20_000 || call.caller.isReliable { return }
        } else {
            calls.append(new)
        }
        world.deliver(text, from: call.caller, to: call.worker)
    }

    private func acknowledge(_ dice: inout Dice) {
        let open = calls.indices.filter { calls[$0].method == "INVITE" && !finals(of: calls[$0]).isEmpty }
        guard let place = dice.recent(open), let final = dice.recent(finals(of: calls[place])) else { return }
        let call = calls[place]
        calls[place].isAcknowledged = true
        let isSuccess = final.status < 300
        let branch = isSuccess ? "\(call.branch)ack" : call.branch
        let text = derived("ACK", from: call, toTag: Heard.field("To", final.text), branch: branch)
        note("ACK of \(call.branch) \(final.status)")
        world.deliver(text, from: call.caller, to: call.worker)
    }

    /// The distinct final responses that a caller has heard.
    func finals(of call: Call) -> [Heard] {
        heard.filter {
            $0.status >= 200 && $0.branch == call.branch && $0.cseqMethod == call.method
        }
    }

    // MARK: responses

    private func respond(_ dice: inout Dice) {
        let open = heard.filter { $0.status == 0 && $0.method != "ACK" }
        guard let request = dice.recent(open) else { return }
        var status = dice.pick([100, 180, 180, 183, 200, 200, 302, 401, 404, 486, 487, 500, 503, 503, 603])
        if request.method != "INVITE" && 101...199 ~= status { status = 100 }
        var text = response(status, to: request.text)
        if dice.chance(20) { text = text.replacing(";tag=b1", with: ";tag=b2") }
        if status == 302 { text = adding("Contact: <\(target(&dice))>", to: text) }
        if status == 401 { text = adding("WWW-Authenticate: Digest realm=\"r\(dice.below(3))\"", to: text) }
        deliver(text, to: request, status: status)
    }

    private func adding(_ line: String, to text: String) -> String {
        text.replacing("Content-Length:", with: line + "\r\nContent-Length:")
    }

    private func deliver(_ text: String, to request: Heard, status: Int) {
        note("\(status) to \(request.method) \(request.branch.prefix(28)) of \(request.place)")
        answers.append((request, now, status, text))
        world.deliver(text, from: request.peer, to: worker(for: text))
    }

    private func repeatResponse(_ dice: inout Dice) {
        guard let answer = dice.recent(answers) else { return }
        deliver(answer.text, to: answer.request, status: answer.status)
    }

    /// One that does not fit what it answers.
    private func strayResponse(_ dice: inout Dice) {
        guard let answer = dice.recent(answers) else { return }
        let method = Heard.field("CSeq", answer.text)
        let text = answer.text.replacing("CSeq: \(method)", with: "CSeq: 1 INFO")
        note("stray \(answer.status)")
        world.deliver(text, from: answer.request.peer, to: worker(for: text))
    }

    // MARK: other processes

    private func answerRegister(_ dice: inout Dice) {
        guard let question = dice.recent(registers) else { return }
        let status = dice.pick([200, 200, 423, 400, 500, 503])
        note("registered \(status)")
        world.answer(question.mail, status: UInt16(status), by: question.worker)
    }

    private func answerQuestion(_ dice: inout Dice) {
        let name = dice.pick(FuzzRun.names)
        var places: [(SIPTransport, SocketAddress)] = []
        for _ in 0..<dice.below(4) {
            places.append(
                dice.chance(30)
                    ? (.tcp, FuzzRun.streamPeer) : (.udp, sockets.phones[2 + dice.below(3)].address))
        }
        let question = dice.recent(questions)
        if dice.chance(80) {
            note("know \(name) \(places.count); ")
            world.know(name, places, status: places.isEmpty ? .none : .found, for: 5000, at: now)
        }
        guard let question else { return }
        note("resolved")
        world.resolve(question.mail, by: question.worker)
    }

    private func failSending(_ dice: inout Dice) {
        let sent = heard.filter { $0.mail.map { !$0.transaction.isNone } ?? false }
        guard let message = dice.recent(sent), let mail = message.mail else { return }
        note("\(message.method) \(message.branch.prefix(28)) could not be sent")
        world.fail(mail, by: message.worker)
    }
}
