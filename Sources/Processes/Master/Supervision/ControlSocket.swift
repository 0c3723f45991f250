import CPlatform
import Glibc
import Platform
import Proxy
import SharedState

/// The control socket: whoever may connect gets a read-only view of the arena, and formats it himself.
///
///     tool:    "view\n"
///     master:  | magic : 8 | layout hash : 8 |  with the arena, opened O_RDONLY, attached
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

    /// Answers a peer whose request has come.
    static func answer(_ peer: Int32, arena: Int32) {
        var request = InlineArray<64, UInt8>(repeating: 0)
        var span = request.mutableSpan
        let count = unsafe span.withUnsafeMutableBufferPointer {
            unsafe recv(peer, $0.baseAddress!, 64, Int32(MSG_DONTWAIT))
        }
        guard count >= 4, request[0] == 0x76, request[1] == 0x69, request[2] == 0x65, request[3] == 0x77
        else { return }
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

    /// Closes a peer.
    mutating func remove(_ number: Int32) {
        numbers.removeAll { $0 == number }
        close(number)
    }
}
