import CPlatform
import Configuration
import Glibc
import Platform

/// A listener's socket, and what it is called outside.
struct ListeningSocket: ~Copyable {
    let descriptor: Descriptor
    /// As bound, port included.
    let address: SocketAddress
    let advertised: SocketAddress

    /// Binds a UDP listener. The kernel is asked for a large receive buffer: the default holds 100 to 300
    /// messages.
    init(_ listener: Listener, advertised: SocketAddress) throws(SystemError) {
        let address = listener.address
        let family = Int32(address.family)
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let opened = Descriptor(owning: try check("socket") { socket(family, type, 0) })
        var on: Int32 = 1
        if address.isIPv6 {
            _ = unsafe setsockopt(opened.number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &on, 4)
        }
        var size: Int32 = 8 << 20
        for option in [SO_RCVBUF, SO_RCVBUFFORCE, SO_SNDBUF, SO_SNDBUFFORCE] {
            _ = unsafe setsockopt(opened.number, SOL_SOCKET, option, &size, 4)
        }
        var target = address
        let result = unsafe withUnsafeBytes(of: &target) {
            unsafe bind(
                opened.number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self),
                socklen_t(address.length))
        }
        if result < 0 { throw .last("bind \(listener.text)") }
        let raised = try opened.raised()
        descriptor = raised
        self.address = address
        self.advertised = advertised
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
