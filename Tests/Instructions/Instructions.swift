// Record-routed calls through the edge of a master and its workers, in one process, for callgrind: `run` beside this
// file counts what `countedEdge` and `countedWorker` take. Everything between the datagram that comes and the one that
// goes is what the service does: socket, slot, scan, dispatch, mail ring, mailbox, turn, commit, outbox, socket. Only
// the loops around it are not there, and the time, which goes on by itself.
//
//     instructions PHONES WARM-UP CALLS
//
// One phone, and one worker; or calls forked to several, by two workers.
import Mailbox
import Master
import Platform
import SharedState
import Worker

/// What a master has between its listener and the workers' mailboxes.
struct Edge: ~Copyable {
    let state: SharedState
    let listener: Int32
    var reception: Reception
    var mailboxes: PeerMailboxes
    let poller: Poller

    mutating func turn(_ now: UInt64) {
        reception.measure(now)
        _ = reception.receive(from: listener, listener: 0, address: Scene.proxy)
        for worker in 0..<Int(state.sizes.workers) {
            mailboxes.flush(state.masterRing(to: .worker(worker)), to: .worker(worker), poller)
        }
    }
}

@inline(never) @_optimize(none)
func countedEdge(_ edge: inout Edge, _ now: UInt64) { edge.turn(now) }

@inline(never) @_optimize(none)
func countedWorker(_ worker: inout WorkerProcess) {
    worker.receive()
    worker.handleTurn()
}

/// Plays calls as Tests/Benchmark/scenarios does, one step of a call a turn.
struct Calls: ~Copyable {
    let scene: Scene
    private var edge: Edge
    private var worker: WorkerProcess
    private var other: WorkerProcess?
    private var now = Scene.start
    var isCounted = false

    init(phones: Int) throws(SystemError) {
        let workers = phones > 1 ? 2 : 1
        let scene = try Scene(workers: workers, phones: phones)
        let state = scene.state
        let poller = try Poller()
        var mailboxes = PeerMailboxes(state: state, process: .master)
        var descriptors = WorkerDescriptors(
            mailbox: -1, peers: .init(repeating: -1), sockets: .init(repeating: -1))
        for process in [ProcessID.master, .locator, .resolver, .logger] {
            descriptors.peers[process.index] = try Mailbox().takeEnds().writing
        }
        descriptors.sockets[0] = scene.listener
        var reading: [Int32] = []
        for index in 0..<workers {
            let mailbox = try Mailbox().takeEnds()
            try mailboxes.add(.worker(index), mailbox.writing, poller)
            descriptors.peers[ProcessID.worker(index).index] = mailbox.writing
            reading.append(mailbox.reading)
        }
        let first = try Calls.worker(0, scene, descriptors, reading)
        let second: WorkerProcess? =
            workers > 1 ? try Calls.worker(1, scene, descriptors, reading) : nil
        worker = first
        other = second
        edge = Edge(
            state: state, listener: scene.listener,
            reception: Reception(state: state, keys: scene.keys, sockets: [scene.listener]),
            mailboxes: mailboxes, poller: poller)
        self.scene = scene
    }

    private static func worker(
        _ index: Int, _ scene: Scene, _ descriptors: WorkerDescriptors, _ reading: [Int32]
    ) throws(SystemError) -> WorkerProcess {
        var own = WorkerDescriptors(
            mailbox: reading[index], peers: descriptors.peers, sockets: descriptors.sockets)
        own.peers[ProcessID.worker(index).index] = -1
        return try WorkerProcess(state: scene.state, index: index, keys: scene.keys, descriptors: own)
    }

    /// Has the proxy take one datagram.
    mutating func pass(_ text: Text, from socket: Int32) {
        Scene.send(text, from: socket)
        turn()
    }

    /// Has the proxy take what was sent to it.
    mutating func turn() {
        now += 2
        worker.virtualTime = now
        other?.virtualTime = now
        if isCounted { countedEdge(&edge, now) } else { edge.turn(now) }
        turnWorker()
        // Mail from one to the other, and what that one sends back.
        guard other != nil else { return }
        turnOther()
        turnWorker()
        turnOther()
    }

    private mutating func turnWorker() {
        if isCounted {
            countedWorker(&worker)
        } else {
            worker.receive()
            worker.handleTurn()
        }
    }

    private mutating func turnOther() {
        if isCounted {
            countedWorker(&other!)
        } else {
            other!.receive()
            other!.handleTurn()
        }
    }

    /// Plays a call that begins `interval` milliseconds before the next one.
    mutating func play(_ number: Int, interval: UInt64) {
        let begin = now
        if other == nil { playDirect(number) } else { playForked(number) }
        now = begin + interval
    }

    private mutating func playDirect(_ number: Int) {
        pass(Calls.invite(number), from: scene.caller)
        let invite = Scene.receive("INVITE ", at: scene.callee)
        pass(Calls.answer("SIP/2.0 180 Ringing\r\n", invite, number), from: scene.callee)
        _ = Scene.receive("SIP/2.0 180 ", at: scene.caller)
        pass(Calls.answer("SIP/2.0 200 OK\r\n", invite, number, Calls.calleeBody), from: scene.callee)
        playDialog(number, Scene.receive("SIP/2.0 200 ", at: scene.caller))
    }

    /// From the ACK on.
    private mutating func playDialog(_ number: Int, _ answer: Text) {
        pass(Calls.request("ACK", "1 ACK", "-5", answer, number), from: scene.caller)
        _ = Scene.receive("ACK ", at: scene.callee)
        pass(Calls.request("BYE", "2 BYE", "-7", answer, number), from: scene.caller)
        let bye = Scene.receive("BYE ", at: scene.callee)
        pass(Calls.answer("SIP/2.0 200 OK\r\n", bye, nil), from: scene.callee)
        _ = Scene.receive("SIP/2.0 200 ", at: scene.caller)
    }

    /// All phones ring, one answers, the others are cancelled.
    private mutating func playForked(_ number: Int) {
        pass(Calls.invite(number), from: scene.caller)
        let invite = Scene.receive("INVITE ", at: scene.callee)
        let invites = scene.others.map { Scene.receive("INVITE ", at: $0) }
        Scene.send(Calls.answer("SIP/2.0 180 Ringing\r\n", invite, number), from: scene.callee)
        for (other, invite) in zip(scene.others, invites) {
            Scene.send(Calls.answer("SIP/2.0 180 Ringing\r\n", invite, number), from: other)
        }
        turn()
        for left in (0...scene.others.count).reversed() {
            _ = Scene.receive("SIP/2.0 180 ", at: scene.caller, isLast: left == 0)
        }
        pass(Calls.answer("SIP/2.0 200 OK\r\n", invite, number, Calls.calleeBody), from: scene.callee)
        let answer = Scene.receive("SIP/2.0 200 ", at: scene.caller)
        for (other, invite) in zip(scene.others, invites) {
            let cancel = Scene.receive("CANCEL ", at: other)
            Scene.send(Calls.answer("SIP/2.0 200 OK\r\n", cancel, nil), from: other)
            Scene.send(
                Calls.answer("SIP/2.0 487 Request Terminated\r\n", invite, number), from: other)
        }
        turn()
        for other in scene.others { _ = Scene.receive("ACK ", at: other) }
        playDialog(number, answer)
    }

    // MARK: messages

    private static let callerBody: StaticString = """
        v=0\r
        o=caller 53655765 2353687637 IN IP4 127.255.71.2\r
        s=-\r
        c=IN IP4 127.255.71.2\r
        t=0 0\r
        m=audio 6000 RTP/AVP 0 8 101\r
        a=rtpmap:0 PCMU/8000\r
        a=rtpmap:8 PCMA/8000\r
        a=rtpmap:101 telephone-event/8000\r
        a=fmtp:101 0-16\r
        a=ptime:20\r
        a=sendrecv\r\n
        """
    private static let calleeBody: StaticString = """
        v=0\r
        o=callee 53655765 2353687637 IN IP4 127.255.71.3\r
        s=-\r
        c=IN IP4 127.255.71.3\r
        t=0 0\r
        m=audio 6000 RTP/AVP 0\r
        a=rtpmap:0 PCMU/8000\r\n
        """

    private static func via(_ text: inout Text, _ branch: StaticString, _ number: Int) {
        text.add("Via: SIP/2.0/UDP 127.255.71.2:5060;branch=z9hG4bK-4711-")
        text.add(number: number)
        text.add(branch)
        text.add(";rport\r\nMax-Forwards: 70\r\n")
    }

    private static func identity(_ text: inout Text, _ number: Int) {
        text.add("From: <sip:caller@example.org>;tag=4711c")
        text.add(number: number)
        text.add("\r\nCall-ID: ")
        text.add(number: number)
        text.add("-4711@127.255.71.2\r\n")
    }

    private static func end(_ text: inout Text, _ body: StaticString?) {
        guard let body else { return text.add("Content-Length: 0\r\n\r\n") }
        text.add("Content-Type: application/sdp\r\nContent-Length: ")
        text.add(number: body.utf8CodeUnitCount)
        text.add("\r\n\r\n")
        text.add(body)
    }

    private static func invite(_ number: Int) -> Text {
        var text = Text()
        text.add("INVITE sip:callee@example.org SIP/2.0\r\n")
        via(&text, "-0", number)
        identity(&text, number)
        text.add("To: <sip:callee@example.org>\r\nCSeq: 1 INVITE\r\n")
        text.add("Contact: <sip:caller@127.255.71.2:5060;transport=UDP>\r\n")
        end(&text, callerBody)
        return text
    }

    /// - Parameter number: nil for a request that has a To tag.
    private static func answer(
        _ line: StaticString, _ request: Text, _ number: Int?, _ body: StaticString? = nil
    ) -> Text {
        var text = Text()
        text.add(line)
        text.add(request.lines("Via: "))
        text.add(request.lines("Record-Route: "))
        text.add(request.lines("From: "))
        text.add("To: ")
        text.add(request.value("To: "))
        if let number {
            text.add(";tag=4712s")
            text.add(number: number)
        }
        text.add("\r\n")
        text.add(request.lines("Call-ID: "))
        text.add(request.lines("CSeq: "))
        if number != nil { text.add("Contact: <sip:callee@127.255.71.3:5060;transport=UDP>\r\n") }
        end(&text, body)
        return text
    }

    private static func request(
        _ method: StaticString, _ cseq: StaticString, _ branch: StaticString, _ answer: Text, _ number: Int
    ) -> Text {
        var text = Text()
        text.add(method)
        text.add(" sip:callee@127.255.71.3:5060;transport=UDP SIP/2.0\r\n")
        via(&text, branch, number)
        text.add("Route: ")
        text.add(answer.value("Record-Route: "))
        text.add("\r\n")
        identity(&text, number)
        text.add(answer.lines("To: "))
        text.add("CSeq: ")
        text.add(cseq)
        text.add("\r\n")
        end(&text, nil)
        return text
    }
}

@main enum Instructions {
    static func main() throws {
        let numbers = CommandLine.arguments.dropFirst().compactMap { Int($0) }
        precondition(numbers.count == 3 && numbers[0] > 0, "instructions PHONES WARM-UP CALLS")
        var calls = try Calls(phones: numbers[0])
        // In a steady state 1,600 calls wait for timers H, J and L (64·T1); of those with more records, 800.
        let interval: UInt64 = numbers[0] > 1 ? 40 : 20
        for number in 0..<numbers[1] { calls.play(number, interval: interval) }
        calls.isCounted = true
        for number in 0..<numbers[2] { calls.play(numbers[1] + number, interval: interval) }
    }
}
