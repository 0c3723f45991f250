import Glibc
import Platform
import SharedMemory
import SharedState
import Syntax

/// Messages of workers: to the connection they name, else to the one to their peer, else to a new one. What the
/// kernel does not take at once waits in the connection's own queue, so a peer that does not read holds up nobody.
extension Connections {
    /// Sends a message; where that fails, and a request was sent, its worker is told. The peer whose connection
    /// took it, and 0, or the errno.
    @discardableResult
    mutating func send(
        _ bytes: Span<UInt8>, to endpoint: Endpoint, _ mark: RequestMark?, _ now: UInt64
    ) -> (peer: SocketAddress, code: Int32) {
        var code: Int32 = 0
        // A connection that turns out to be broken is replaced, at last by one that is new.
        for attempt in 1...3 {
            let found = attempt < 3 ? find(endpoint, isRequest: mark != nil) : nil
            if let found, mark != nil, isOver(found, now) { continue }
            guard let index = found ?? open(endpoint, now, &code) else { break }
            let isNew = table[index].phase == .connecting
            let peer = table[index].peer
            code = transmit(index, bytes, mark, now)
            if code == 0 {
                state.counters.add(.messagesSent, .master)
                return (peer, 0)
            }
            if isNew || code == ENOBUFS { break }
        }
        state.counters.add(.sendErrors, .master)
        if let mark { tell(mark, code) }
        return (endpoint.peer, code)
    }

    private func find(_ endpoint: Endpoint, isRequest: Bool) -> Int? {
        if let index = table.find(endpoint.connection), table[index].phase != .closing,
            table[index].phase != .broken, !isRequest || table[index].phase != .refusing
        {
            return index
        }
        if let index = table.find(endpoint.peer, listener: endpoint.listener) { return index }
        let target = Connections.target(endpoint)
        return target == endpoint.peer ? nil : table.find(target, listener: endpoint.listener)
    }

    /// True for a connection that the peer has closed without our having read that yet: a request written there
    /// would be lost, and its sender would wait. It is ended. Looked at only after a second of silence, for a peer
    /// closes what it does not use.
    private mutating func isOver(_ index: Int, _ now: UInt64) -> Bool {
        guard table[index].phase == .open, !table[index].isStalled, now > table[index].activeAt + 1000 else {
            return false
        }
        var byte: UInt8 = 0
        let count = unsafe recv(table[index].descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        let reference = table.reference(index)
        _ = check(index, count)
        return table.find(reference) == nil
    }

    /// Where a new connection goes: a response whose own one is gone, to the port in its Via (RFC 3261 §18.2.2).
    private static func target(_ endpoint: Endpoint) -> SocketAddress {
        var target = endpoint.peer
        if endpoint.fallbackPort != 0 { target.port = endpoint.fallbackPort }
        return target
    }

    // MARK: connect

    /// Begins a connection; nil and the error where that is not possible.
    private mutating func open(_ endpoint: Endpoint, _ now: UInt64, _ code: inout Int32) -> Int? {
        let peer = Connections.target(endpoint)
        // A reload may have removed the listener that was chosen.
        let chosen = listeners.first { $0.number == endpoint.listener && $0.address.family == peer.family }
        guard let listener = chosen ?? listeners.first(where: { $0.address.family == peer.family }),
            peer.port != 0
        else {
            code = EAFNOSUPPORT
            return nil
        }
        if table.count >= table.limit {
            refuseFull(peer)
            code = EMFILE
            return nil
        }
        if table.isConnectingFull(peer) {
            logFailure(peer, ENOBUFS)
            code = ENOBUFS
            return nil
        }
        let local = listener.address.isWildcard ? endpoint.local : listener.address
        guard let descriptor = connect(peer, from: local, &code) else {
            state.counters.add(.connectionsFailed, .master)
            if code == EMFILE || code == ENFILE { logShortage(peer, code) } else { logFailure(peer, code) }
            return nil
        }
        guard
            let index = table.add(
                descriptor.release(), peer, listener: listener.number, isAccepted: false)
        else { return nil }
        table[index].activeAt = now
        table[index].deadline = now + limits.connect
        table[index].watchesRoom = true
        let reference = table.reference(index)
        arm(index, table[index].deadline)
        watch(index)
        if table.find(reference) == nil { code = ENOMEM }
        return table.find(reference)
    }

    /// - Parameter local: whose host it leaves from; none: what the kernel chooses.
    private func connect(
        _ peer: SocketAddress, from local: SocketAddress, _ code: inout Int32
    ) -> Descriptor? {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let number = socket(Int32(peer.family), type, 0)
        if number < 0 {
            code = SystemError.lastCode
            return nil
        }
        let descriptor = Descriptor(owning: number)
        ListeningSocket.prepareStream(number)
        if !local.isNone && local.family == peer.family {
            var from = local.host
            // The port may be that of other connections, to other peers.
            var on: Int32 = 1
            _ = unsafe setsockopt(number, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, 4)
            let result = unsafe withUnsafeBytes(of: &from) {
                let address = unsafe $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
                return unsafe bind(number, address, socklen_t(local.length))
            }
            if result < 0 {
                code = SystemError.lastCode
                return nil
            }
        }
        var target = peer
        let result = unsafe withUnsafeBytes(of: &target) {
            let address = unsafe $0.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            return unsafe Glibc.connect(number, address, socklen_t(peer.length))
        }
        if result < 0 && SystemError.lastCode != EINPROGRESS {
            code = SystemError.lastCode
            return nil
        }
        return descriptor
    }

    /// The kernel knows what has become of a connection that was begun.
    mutating func finishConnect(_ index: Int, _ now: UInt64) {
        var code: Int32 = 0
        var length = socklen_t(4)
        let socket = table[index].descriptor
        _ = unsafe getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        if code != 0 {
            logFailure(table[index].peer, code)
            fail(index, code)
            return
        }
        state.counters.add(.connectionsOpened, .master)
        table.setConnected(index)
        table[index].activeAt = now
        table[index].progressAt = now
        let isOfWildcard = listeners.contains { $0.number == table[index].listener && $0.address.isWildcard }
        if isOfWildcard { table[index].local = Connections.localAddress(socket) }
        arm(index, now + limits.idle)
        write(index, now)
    }

    // MARK: write

    /// Writes, or puts into the queue; an error where neither is possible. The connection may be gone then.
    mutating func transmit(
        _ index: Int, _ bytes: Span<UInt8>, _ mark: RequestMark?, _ now: UInt64
    ) -> Int32 {
        var sent = 0
        if table[index].phase == .broken { return table[index].breakCode }
        if table[index].phase != .connecting && table[index].output.isEmpty {
            sent = unsafe bytes.withUnsafeBufferPointer { buffer in
                unsafe Glibc.send(
                    table[index].descriptor, buffer.baseAddress!, buffer.count,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if sent < 0 {
                let code = SystemError.lastCode
                guard code == EAGAIN || code == EINTR else {
                    lose(index, code, now)
                    return code
                }
                sent = 0
            }
            if sent > 0 { table[index].activeAt = now }
            FaultPoint.streamWritten.pass(state.memory)
        } else if table[index].output.count + bytes.count > limits.queue || isTooMuch(index) {
            return ENOBUFS
        }
        let end = table[index].written + UInt64(table[index].output.count + bytes.count)
        if let mark {
            let written = table[index].written + UInt64(sent)
            table[index].requests.forget(before: now &- min(limits.request, now), written: written)
            let entry = SentRequests.Entry(mark: mark, end: end, since: now)
            // One that is written in part cannot be taken back: then nobody is told of it.
            if !table[index].requests.append(entry, written: written) && sent == 0 { return ENOBUFS }
            arm(index, now + limits.request + 1000)
        }
        table[index].written += UInt64(sent)
        let isAnswer = answersFault(index, bytes)
        if sent < bytes.count {
            if table[index].output.isEmpty {
                table[index].progressAt = now
                if table[index].phase != .connecting { arm(index, now + limits.message) }
            }
            let before = table[index].buffered
            table[index].output.append(bytes.extracting(sent..<bytes.count))
            account(index, before)
            // Who sent this and what else waits is told so by that.
            if failsByMemory(index, ENOBUFS) { return 0 }
            watchRoom(index, true)
        }
        if isAnswer { finishRefusal(index, now) }
        return 0
    }

    /// The queue, as much of it as the kernel takes.
    mutating func write(_ index: Int, _ now: UInt64) {
        if !table[index].output.isEmpty {
            let bytes = table[index].output.bytes
            let sent = unsafe bytes.withUnsafeBufferPointer { buffer in
                unsafe Glibc.send(
                    table[index].descriptor, buffer.baseAddress!, buffer.count,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if sent < 0 {
                let code = SystemError.lastCode
                if code != EAGAIN && code != EINTR { lose(index, code, now) }
                return
            }
            let before = table[index].buffered
            table[index].output.removeFirst(sent)
            account(index, before)
            table[index].written += UInt64(sent)
            table[index].activeAt = now
            table[index].progressAt = now
        }
        if table[index].output.isEmpty {
            watchRoom(index, false)
            if table[index].phase == .refusing && table[index].faultStatus == 0 { shut(index, now) }
        }
    }

    /// A write failed. Answers may still lie in front of that: they are read first, for who asked would else be told
    /// that none comes.
    private mutating func lose(_ index: Int, _ code: Int32, _ now: UInt64) {
        if table[index].phase != .open {
            fail(index, code)
            return
        }
        table[index].phase = .broken
        table[index].breakCode = code
        let before = table[index].buffered
        table[index].output.removeAll()
        account(index, before)
        watchRoom(index, false)
        table[index].deadline = now + limits.refusal
        arm(index, table[index].deadline)
    }

    // MARK: the answer to a fault

    /// True for the response that a refusing connection waits for.
    private func answersFault(_ index: Int, _ bytes: Span<UInt8>) -> Bool {
        let status = table[index].faultStatus
        guard table[index].phase == .refusing, status != 0, bytes.count > 12 else { return false }
        var value: UInt16 = 0
        for place in 8..<11 { value = value &* 10 &+ UInt16(bytes[place] &- 0x30) }
        return value == status
    }

    private mutating func finishRefusal(_ index: Int, _ now: UInt64) {
        table[index].faultStatus = 0
        if table[index].output.isEmpty { shut(index, now) }
    }

    /// All is written: the peer is told so, and read on until it closes, for a close with bytes unread would take
    /// the answer from it.
    private mutating func shut(_ index: Int, _ now: UInt64) {
        table[index].phase = .closing
        table[index].deadline = now + limits.refusal
        arm(index, table[index].deadline)
        _ = shutdown(table[index].descriptor, Int32(SHUT_WR))
    }
}
