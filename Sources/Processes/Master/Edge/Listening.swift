import CPlatform
import Configuration
import Glibc
import Platform

/// A listener's socket.
struct ListeningSocket: ~Copyable {
    let descriptor: Descriptor

    /// Milliseconds for which a peer may leave what we sent unacknowledged.
    private static let userTimeout: Int32 = 30_000

    /// Binds a listener, and has one of TCP listen.
    ///
    /// - Parameter sharesPort: with sockets that allow it (`sharePort`).
    init(_ listener: Listener, sharesPort: Bool = false) throws(SystemError) {
        let address = listener.address
        let family = Int32(address.family)
        let kind = listener.transport == .udp ? SOCK_DGRAM : SOCK_STREAM
        let type = Int32(kind.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = Descriptor(owning: try check("socket") { socket(family, type, 0) })
        if address.isIPv6 { ListeningSocket.set(opened.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
        if listener.transport == .udp {
            ListeningSocket.prepareDatagrams(opened.number, address)
        } else {
            // After a restart, connections of the one before still linger.
            ListeningSocket.set(opened.number, SOL_SOCKET, SO_REUSEADDR, 1)
            ListeningSocket.prepareStream(opened.number)
        }
        if sharesPort { ListeningSocket.sharePort(opened.number, true) }
        var target = address
        let result = unsafe withUnsafeBytes(of: &target) {
            unsafe bind(
                opened.number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t(address.length))
        }
        if result < 0 { throw .last("bind \(listener.text)") }
        if listener.transport != .udp && listen(opened.number, SOMAXCONN) < 0 {
            throw .last("listen \(listener.text)")
        }
        let raised = try opened.raised()
        descriptor = raised
    }

    /// Lets another socket of this user bind an address that a wildcard includes; for the moment in which one takes
    /// the other's place.
    static func sharePort(_ socket: Int32, _ shares: Bool) {
        set(socket, SOL_SOCKET, SO_REUSEPORT, shares ? 1 : 0)
    }

    private static func set(_ socket: Int32, _ level: Int32, _ option: Int32, _ value: Int32) {
        var value = value
        _ = unsafe setsockopt(socket, level, option, &value, 4)
    }

    private static func prepareDatagrams(_ socket: Int32, _ address: SocketAddress) {
        // The default holds 100 to 300 messages.
        for option in [SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF, SO_SNDBUFFORCE] {
            set(socket, SOL_SOCKET, option, 8 << 20)
        }
        // The answer leaves from the address that was asked.
        if address.isWildcard { _ = cp_want_local(socket, Int32(address.family)) }
        _ = cp_want_errors(socket, Int32(address.family))
    }

    /// What a connection has of its listener, or is given.
    static func prepareStream(_ socket: Int32) {
        set(socket, Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        set(socket, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, userTimeout)
    }

    /// The descriptor, for someone who keeps it as long as the process lives.
    consuming func takeDescriptor() -> Int32 { descriptor.release() }

    /// The address that a wildcard listener is known by where the configuration does not say: the first one
    /// of an interface that is up and not loopback, else loopback.
    static func publicAddress(family: UInt16, port: UInt16) -> SocketAddress {
        var found = SocketAddress(host: family == UInt16(AF_INET) ? "127.0.0.1" : "::1", port: port)!
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return found }
        defer { unsafe freeifaddrs(list) }
        var next = unsafe list
        while let entry = unsafe next {
            let flags = unsafe Int32(bitPattern: entry.pointee.ifa_flags)
            let isUp = flags & Int32(IFF_UP) != 0 && flags & Int32(IFF_LOOPBACK) == 0
            if isUp, let raw = unsafe entry.pointee.ifa_addr, unsafe raw.pointee.sa_family == family {
                var storage = sockaddr_storage()
                let length = family == UInt16(AF_INET) ? 16 : 28
                unsafe withUnsafeMutableBytes(of: &storage) {
                    unsafe $0.baseAddress!.copyMemory(from: raw, byteCount: length)
                }
                var address = SocketAddress(storage)
                address.port = port
                // fe80::/10 needs a zone that no URI can carry.
                if !(address.isIPv6 && address.group(0) & 0xFFC0 == 0xFE80) {
                    found = address
                    break
                }
            }
            unsafe next = entry.pointee.ifa_next
        }
        return found
    }
}
