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
        let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = Descriptor(owning: try check("socket") { socket(AF_UNIX, type, 0) })
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < 108 else { throw SystemError("bind \(path)", code: ENAMETOOLONG) }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { target in
            for index in bytes.indices { unsafe target[index] = bytes[index] }
        }
        // A socket file that an earlier service left is of no use to anyone.
        _ = unsafe unlink(path)
        let number = opened.number
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

    /// Answers everyone who is waiting. One that sends nothing within 50 ms is dropped, so that nobody holds up the
    /// master.
    func answer(arena: Int32) {
        for _ in 0..<16 {
            let accepted = cp_accept(descriptor.number)
            if accepted < 0 { return }
            let peer = Descriptor(owning: accepted)
            if cp_peer_is_trusted(peer.number) == 0 { continue }
            var wait = pollfd(fd: peer.number, events: Int16(POLLIN), revents: 0)
            if unsafe poll(&wait, 1, 50) <= 0 { continue }
            var request = InlineArray<64, UInt8>(repeating: 0)
            var span = request.mutableSpan
            let count = unsafe span.withUnsafeMutableBufferPointer { unsafe recv(peer.number, $0.baseAddress!, 64, 0) }
            guard count >= 4, request[0] == 0x76, request[1] == 0x69, request[2] == 0x65, request[3] == 0x77 else {
                continue
            }
            let view = unsafe open("/proc/self/fd/\(arena)", O_RDONLY | O_CLOEXEC)
            if view < 0 { continue }
            let reading = Descriptor(owning: view)
            var head = (ArenaHeader.magic, StateLayout.hash)
            _ = unsafe withUnsafeBytes(of: &head) {
                unsafe cp_send_descriptor(peer.number, reading.number, $0.baseAddress!, $0.count)
            }
        }
    }
}
