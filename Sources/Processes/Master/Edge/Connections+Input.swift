import Glibc
import Platform
import SharedMemory
import SharedState
import Syntax

/// Reading, framing and dispatch. Nothing is dropped: where no worker has room, the connection is not read from,
/// and TCP holds up the peer.
extension Connections {
    /// Reads once, and takes out of it what is whole.
    mutating func read(_ index: Int, _ now: UInt64, _ reception: inout Reception) {
        let socket = table[index].descriptor
        if table[index].phase != .open && table[index].phase != .broken {
            drain(index, socket, now)
            return
        }
        let count: Int
        if table[index].input.isEmpty {
            count = unsafe recv(socket, scratch, Connections.readBytes, Int32(MSG_DONTWAIT))
            guard check(index, count) else { return }
            FaultPoint.streamRead.pass(state.memory)
            let bytes = unsafe _overrideLifetime(Span(_unsafeStart: scratch, count: count), copying: ())
            table[index].activeAt = now
            guard let taken = frame(index, bytes, now, &reception), taken < count else { return }
            keep(index, bytes.extracting(taken..<count), now)
        } else {
            let before = table[index].buffered
            count = table[index].input.receive(from: socket, atMost: room(index))
            account(index, before)
            guard check(index, count) else { return }
            table[index].activeAt = now
            let reference = table.reference(index)
            frameInput(index, now, &reception)
            if table.find(reference) != nil { _ = failsByMemory(index, ENOMEM) }
        }
    }

    /// How much is read behind what is there: twice that, but not beyond the message.
    private func room(_ index: Int) -> Int {
        let there = table[index].input.count
        let missing = table[index].framer.expected - there
        let more = min(max(there, 2048), Connections.readBytes)
        return missing > 0 ? min(missing, more) : more
    }

    /// The result of a read: true where something came. Else there was nothing, or the connection is gone.
    mutating func check(_ index: Int, _ count: Int) -> Bool {
        if count > 0 { return true }
        let code = count == 0 ? ECONNRESET : SystemError.lastCode
        if count < 0 && (code == EAGAIN || code == EINTR) { return false }
        if table[index].phase == .broken {
            fail(index, table[index].breakCode)
            return false
        }
        // A peer that closes between messages, and whom nothing is owed, has not failed.
        if count == 0 && table[index].input.isEmpty && table[index].output.isEmpty {
            end(index, code)
        } else {
            fail(index, code)
        }
        return false
    }

    /// What a peer sends that is not listened to any more.
    private mutating func drain(_ index: Int, _ socket: Int32, _ now: UInt64) {
        let count = unsafe recv(socket, scratch, Connections.readBytes, Int32(MSG_DONTWAIT))
        let isGone =
            count == 0 || count < 0 && SystemError.lastCode != EAGAIN && SystemError.lastCode != EINTR
        if isGone { end(index, ECONNRESET) }
    }

    /// Keeps what is not whole, or cannot be handed on.
    private mutating func keep(_ index: Int, _ bytes: Span<UInt8>, _ now: UInt64) {
        let before = table[index].buffered
        table[index].input.append(bytes)
        account(index, before)
        _ = failsByMemory(index, ENOMEM)
    }

    /// Goes on with what waits at a connection.
    mutating func frameInput(_ index: Int, _ now: UInt64, _ reception: inout Reception) {
        let bytes = table[index].input.bytes
        guard let taken = frame(index, bytes, now, &reception) else { return }
        let before = table[index].buffered
        table[index].input.removeFirst(taken)
        account(index, before)
    }

    /// Hands on each whole message of `bytes`; how many bytes that were, nil where the connection is gone.
    private mutating func frame(
        _ index: Int, _ bytes: Span<UInt8>, _ now: UInt64, _ reception: inout Reception
    ) -> Int? {
        var framer = table[index].framer
        var place = 0
        let reference = table.reference(index)
        while true {
            switch framer.next(bytes.extracting(place..<bytes.count), limits.stream) {
            case .more:
                table[index].framer = framer
                if place < bytes.count && table[index].messageSince == 0 {
                    table[index].messageSince = now
                    arm(index, now + limits.message)
                }
                return place
            case .blank(let count, let pings):
                place += count
                if pings > 0 {
                    pong(index, pings, now)
                    if table.find(reference) == nil { return nil }
                }
            case .message(let count):
                switch receive(index, bytes.extracting(place..<place + count), nil, &reception) {
                case .handed, .dropped:
                    FaultPoint.streamFramed.pass(state.memory)
                    framer.begin()
                    place += count
                    table[index].messageSince = 0
                case .notSIP:
                    breakOff(index, "not SIP")
                    return nil
                case .noSlot, .noMail:
                    table[index].framer = framer
                    stall(index)
                    return place
                }
            case .faulty(let fault, let readable):
                if table[index].phase == .broken {
                    breakOff(index, fault.reason)
                    return nil
                }
                switch receive(index, bytes.extracting(place..<place + readable), fault, &reception) {
                case .handed:
                    refuse(index, fault, now)
                    return bytes.count
                case .dropped, .notSIP:
                    breakOff(index, fault.reason)
                    return nil
                case .noSlot, .noMail:
                    table[index].framer = framer
                    stall(index)
                    return place
                }
            case .notSIP:
                state.counters.add(.messagesReceived, .master)
                state.counters.add(.droppedNotSip, .master)
                breakOff(index, "not SIP")
                return nil
            }
        }
    }

    private func receive(
        _ index: Int, _ bytes: Span<UInt8>, _ fault: Fault?, _ reception: inout Reception
    ) -> Dispatch {
        var endpoint = Endpoint(.tcp, table[index].peer, listener: table[index].listener)
        endpoint.local = table[index].local
        endpoint.connection = table.reference(index)
        return reception.receive(bytes, from: endpoint, fault: fault)
    }

    /// RFC 5626 §4.4.1: a CRLF for each CRLF CRLF. Who sends a hundred at once is content with fewer.
    private mutating func pong(_ index: Int, _ pings: Int, _ now: UInt64) {
        let most: InlineArray<16, UInt8> = [13, 10, 13, 10, 13, 10, 13, 10, 13, 10, 13, 10, 13, 10, 13, 10]
        _ = transmit(index, most.span.extracting(0..<min(pings, 8) * 2), nil, now)
    }

    /// What follows a fault makes no sense: its answer goes out, and then the connection is closed.
    private mutating func refuse(_ index: Int, _ fault: Fault, _ now: UInt64) {
        table[index].phase = .refusing
        table[index].faultStatus = fault.status
        table[index].deadline = now + limits.refusal
        arm(index, table[index].deadline)
    }

    /// Nobody is to be answered, so the journal is told here.
    private mutating func breakOff(_ index: Int, _ reason: StaticString) {
        logMalformed(table[index].peer, reason)
        fail(index, EPROTO)
    }

    // MARK: no room

    /// A connection that is not read from is in no poller: what is wrong with it would wake that for ever.
    private mutating func stall(_ index: Int) {
        if table[index].isStalled { return }
        poller.remove(table[index].descriptor)
        table[index].isStalled = true
        table[index].messageSince = 0
        stalled.append(table.reference(index))
    }

    /// Tries those again that found no room, the longest waiting first.
    mutating func retryStalled(_ now: UInt64, _ reception: inout Reception) {
        for _ in 0..<min(stalled.count, 64) {
            let reference = stalled.removeFirst()
            guard let index = table.find(reference) else { continue }
            table[index].isStalled = false
            watch(index)
            // Not from the poller, which it may have left again before that is asked.
            if table.find(reference) != nil && !table[index].output.isEmpty { write(index, now) }
            guard table.find(reference) != nil else { continue }
            guard table[index].phase == .open || table[index].phase == .broken else { continue }
            frameInput(index, now, &reception)
        }
    }
}
