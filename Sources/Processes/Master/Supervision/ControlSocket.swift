import CPlatform
import Glibc
import Platform
import Proxy
import Registrar
import SharedState

/// The control socket: whoever may connect gets a read-only view of the arena, and formats it himself; or has
/// a command carried out (`WaitingCommands`).
///
///     tool:    "view\n"
///     master:  | magic : 8 | layout hash : 8 |  with the arena, opened O_RDONLY, attached
///
///     tool:    a `RegisterCommand`
///     master:  "200 OK\n", or another status with its reason
struct ControlSocket: ~Copyable {
    let descriptor: Descriptor
    private let path: String

    init(path: String) throws(SystemError) {
        let type =
            Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = Descriptor(owning: try check("socket") { socket(AF_UNIX, type, 0) })
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < 108 else { throw SystemError("bind \(path)", code: ENAMETOOLONG) }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { target in
            for index in bytes.indices { unsafe target[index] = bytes[index] }
        }
        let number = opened.number
        // A second service in the same directory would take the socket and the database away from the first.
        let asking = Descriptor(owning: try check("socket") { socket(AF_UNIX, type, 0) })
        let asker = asking.number
        let answered = unsafe withUnsafeBytes(of: &address) {
            unsafe connect(asker, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        if answered == 0 || SystemError.lastCode == EAGAIN {
            throw SystemError("another sipforkd serves \(path)", code: EADDRINUSE)
        }
        // A socket file that an earlier service left is of no use to anyone.
        _ = unsafe unlink(path)
        let bound = unsafe withUnsafeBytes(of: &address) {
            unsafe bind(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        if bound < 0 { throw .last("bind \(path)") }
        if unsafe chmod(path, 0o660) < 0 { throw .last("chmod \(path)") }
        try check("listen") { listen(number, 16) }
        let raised = try opened.raised()
        descriptor = raised
        self.path = path
    }

    /// The socket file goes with a clean stop.
    func remove() { _ = unsafe unlink(path) }

    /// The next peer that has connected and may ask; nil where nobody waits.
    func accept() -> Descriptor? {
        while true {
            let accepted = cp_accept(descriptor.number)
            if accepted < 0 { return nil }
            let peer = Descriptor(owning: accepted)
            if cp_peer_is_trusted(peer.number) != 0 { return peer }
        }
    }

    /// What a peer asks; empty where it asks nothing, or more than there is to ask.
    static func receive(_ peer: Int32) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: RegisterCommand.longest) { buffer, count in
            // With MSG_TRUNC the length is that of the message, whether it fits or not.
            let length = unsafe recv(
                peer, buffer.baseAddress!, buffer.count, Int32(MSG_DONTWAIT) | Int32(MSG_TRUNC))
            count = length > 0 && length <= RegisterCommand.longest ? length : 0
        }
    }

    /// Answers a command, and hangs up. A peer that has gone does not hear it.
    static func answer(_ peer: Int32, _ text: String) {
        let line = Array("\(text)\n".utf8)
        _ = unsafe line.withUnsafeBytes {
            unsafe send(peer, $0.baseAddress!, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        close(peer)
    }

    /// Hands a peer the arena.
    static func sendView(_ peer: Int32, _ arena: Int32) {
        let view = unsafe open("/proc/self/fd/\(arena)", O_RDONLY | O_CLOEXEC)
        if view < 0 { return }
        let reading = Descriptor(owning: view)
        var head = (ArenaHeader.magic, StateLayout.hash)
        _ = unsafe withUnsafeBytes(of: &head) {
            unsafe cp_send_descriptor(peer, reading.number, $0.baseAddress!, $0.count)
        }
    }
}

/// Peers that have connected to the control socket and not asked yet. A few at a time: who waits too long
/// gives way, so that a silent one holds up nobody.
struct ControlPeers {
    private static let limit = 32
    private(set) var numbers: [Int32] = []

    /// Takes over a peer; the one that had to go for it, or -1.
    mutating func add(_ peer: consuming Descriptor) -> Int32 {
        numbers.append(peer.release())
        return numbers.count > ControlPeers.limit ? numbers.removeFirst() : -1
    }

    /// Gives a peer to whoever answers and closes it.
    mutating func forget(_ number: Int32) { numbers.removeAll { $0 == number } }

    /// Closes a peer.
    mutating func remove(_ number: Int32) {
        forget(number)
        close(number)
    }
}
