import Glibc
import Platform
import SharedMemory
import SharedState

/// Sockets and memory around a master's edge and one worker, the same in every run: fixed addresses, fixed keys.
/// Hash chains, lengths of messages and so the number of instructions depend on them.
struct Scene {
    static let network: UInt32 = 0x7FFF_4700
    static let start: UInt64 = 1_000_000

    let state: SharedState
    let keys: Keys
    let listener: Int32
    let caller: Int32
    let callee: Int32
    /// Other phones of the callee.
    private(set) var others: [Int32] = []

    static var proxy: SocketAddress { SocketAddress(ipv4: network + 1, port: 5060) }

    init(workers: Int, phones: Int) throws(SystemError) {
        let sizes = ArenaSizes(workers: workers, transactions: 8192, bindings: 100)
        let arena = try Arena(name: "instructions", size: SharedState.bytes(sizes)).keep()
        let keyMemory = try Arena(name: "instructions-keys", size: Keys.bytes).keep().memory
        for word in 0..<6 { keyMemory.store(UInt64(word) &* 0x9E37_79B9_7F4A_7C15, at: word * 8) }
        keys = Keys(memory: keyMemory)
        state = SharedState(memory: arena.memory, sizes: sizes)
        listener = try Scene.socket(Scene.proxy)
        caller = try Scene.socket(SocketAddress(ipv4: Scene.network + 2, port: 5060))
        callee = try Scene.socket(SocketAddress(ipv4: Scene.network + 3, port: 5060))
        for number in 1..<UInt32(phones) {
            others.append(try Scene.socket(SocketAddress(ipv4: Scene.network + 3 + number, port: 5060)))
        }
        prepare(phones: phones)
    }

    /// As a master does with fresh memory.
    private func prepare(phones: Int) {
        state.setHeader(ArenaHeader(layoutHash: SharedState.layoutHash, sizes: state.sizes))
        state.slots.initialize()
        do {
            try state.locations.initialize()
            try state.dns.initialize()
        } catch { preconditionFailure("no memory") }
        var snapshot = ConfigurationSnapshot()
        snapshot.workers = state.sizes.workers
        snapshot.listenerCount = 1
        snapshot.listeners[0] = Scene.proxy
        snapshot.advertised[0] = Scene.proxy
        snapshot.transactionsPerWorker = 8192
        precondition(snapshot.addDomain("example.org"))
        snapshot.networks[0] = SocketAddress(ipv4: 0x7F00_0000, port: 0)
        snapshot.networkPrefixes[0] = 8
        snapshot.networkCount = 1
        precondition(state.publish(snapshot, []))
        for worker in 0..<Int(state.sizes.workers) {
            state.shard(worker).initialize(now: Scene.start)
            setReady(.worker(worker))
        }
        setReady(.locator)
        register(
            "callee@example.org",
            (3..<3 + phones).map { "sip:callee@127.255.71.\($0):5060;transport=UDP" })
    }

    private func setReady(_ process: ProcessID) {
        state.processes.setPid(1, process)
        state.processes.setReady(true, process)
    }

    /// Bindings, as the locator publishes them.
    private func register(_ aor: String, _ contacts: [String]) {
        let undo = Turn(memory: state.memory, at: state.locatorTurn).undo
        var writer = LocationWriter(
            table: state.locations, undo: undo, processes: state.processes,
            workers: Int(state.sizes.workers))
        precondition(writer.isSettled())
        let (name, id) = (Array(aor.utf8), Array("registration@host".utf8))
        let uris = contacts.map { Array($0.utf8) }
        let size = RecordDraft.bytes(
            aor: name.count,
            bindings: uris.reduce(0) { $0 + BindingFields.bytes(texts: $1.count + id.count) })
        guard var draft = writer.begin(name.span, size: size, bindings: uris.count) else {
            preconditionFailure("no room for a binding")
        }
        for uri in uris {
            draft.append(BindingFields(uri: uri.span, callID: id.span, expiresAt: .max, q: 1000, cseq: 1))
        }
        writer.publish(draft.seal())
        undo.forget()
    }

    private static func socket(_ address: SocketAddress) throws(SystemError) -> Int32 {
        let number = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        try check("bind") {
            unsafe withAddress(address) { unsafe bind(number, $0, socklen_t(address.length)) }
        }
        return number
    }

    private static func withAddress(
        _ address: SocketAddress, _ body: (UnsafePointer<sockaddr>) -> Int32
    ) -> Int32 {
        var copy = address
        return unsafe withUnsafeBytes(of: &copy) {
            unsafe body($0.baseAddress!.assumingMemoryBound(to: sockaddr.self))
        }
    }

    /// A datagram to the proxy.
    static func send(_ text: Text, from socket: Int32) {
        let sent = unsafe withAddress(proxy) {
            unsafe Int32(
                sendto(socket, text.bytes, text.bytes.count, 0, $0, socklen_t(proxy.length)))
        }
        precondition(sent == text.bytes.count, "a datagram was not sent")
    }

    /// The one datagram that has come, or the first of several, which begins as is said.
    static func receive(_ begin: StaticString, at socket: Int32, isLast: Bool = true) -> Text {
        var text = Text()
        text.bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe recv(socket, &text.bytes, text.bytes.count, Int32(MSG_DONTWAIT))
        precondition(count > 0, "a datagram has not come")
        text.bytes.removeLast(4096 - count)
        precondition(text.begins(begin), "a datagram of another kind has come")
        if !isLast { return text }
        var byte: UInt8 = 0
        precondition(unsafe recv(socket, &byte, 1, Int32(MSG_DONTWAIT)) < 0, "two datagrams have come")
        return text
    }
}
