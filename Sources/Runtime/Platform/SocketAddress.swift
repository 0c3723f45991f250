import Glibc

/// An IP address and port, in the layout that socket calls take (`sockaddr_in`, `sockaddr_in6`): 28 bytes,
/// fit for shared memory. A zero family means none.
package struct SocketAddress: BitwiseCopyable, Equatable, Sendable {
    package private(set) var family: UInt16 = 0
    private var portBig: UInt16 = 0
    // sockaddr_in: address in the first word after the port; sockaddr_in6: flow, address, scope.
    private var word0: UInt32 = 0
    private var word1: UInt32 = 0
    private var word2: UInt32 = 0
    private var word3: UInt32 = 0
    private var word4: UInt32 = 0
    private var scope: UInt32 = 0

    package init() {}

    /// - Parameter ipv4: in host order, 127.0.0.1 is 0x7F000001.
    package init(ipv4: UInt32, port: UInt16) {
        family = UInt16(AF_INET)
        portBig = port.bigEndian
        word0 = ipv4.bigEndian
    }

    /// - Parameter ipv6: eight groups in host order.
    package init(ipv6 groups: InlineArray<8, UInt16>, port: UInt16) {
        family = UInt16(AF_INET6)
        portBig = port.bigEndian
        word1 = (UInt32(groups[0]) << 16 | UInt32(groups[1])).bigEndian
        word2 = (UInt32(groups[2]) << 16 | UInt32(groups[3])).bigEndian
        word3 = (UInt32(groups[4]) << 16 | UInt32(groups[5])).bigEndian
        word4 = (UInt32(groups[6]) << 16 | UInt32(groups[7])).bigEndian
    }

    package var isNone: Bool { family == 0 }
    package var isIPv4: Bool { family == UInt16(AF_INET) }
    package var isIPv6: Bool { family == UInt16(AF_INET6) }

    package var port: UInt16 {
        get { UInt16(bigEndian: portBig) }
        set { portBig = newValue.bigEndian }
    }

    /// Host order.
    package var ipv4: UInt32 { UInt32(bigEndian: word0) }

    /// 0.0.0.0 or ::.
    package var isWildcard: Bool {
        isIPv4 ? word0 == 0 : (word1 | word2 | word3 | word4) == 0
    }

    /// 127.0.0.0/8 or ::1.
    package var isLoopback: Bool {
        isIPv4
            ? ipv4 >> 24 == 127
            : word1 == 0 && word2 == 0 && word3 == 0 && word4 == UInt32(1).bigEndian
    }

    /// 255.255.255.255, or a group address: no answer and no user is there.
    package var isForMany: Bool {
        isIPv4 ? ipv4 >> 28 == 0xE || ipv4 == 0xFFFF_FFFF : isIPv6 && group(0) >> 8 == 0xFF
    }

    /// An IPv4 address that was written as one of IPv6 (::ffff:192.0.2.1, RFC 4291 §2.5.5.2), as IPv4; any
    /// other as it is.
    package var unmapped: SocketAddress {
        guard isIPv6, word1 == 0, word2 == 0, word3 == UInt32(0xFFFF).bigEndian else { return self }
        return SocketAddress(ipv4: UInt32(bigEndian: word4), port: port)
    }

    /// The same address with port 0: for comparing hosts.
    package var host: SocketAddress {
        var copy = self
        copy.portBig = 0
        return copy
    }

    /// Bytes of the socket structure that socket calls are told.
    package var length: UInt32 { isIPv6 ? 28 : 16 }

    /// Group `index` (0 to 7) of an IPv6 address, host order.
    package func group(_ index: Int) -> UInt16 {
        let word: UInt32
        switch index >> 1 {
        case 0: word = UInt32(bigEndian: word1)
        case 1: word = UInt32(bigEndian: word2)
        case 2: word = UInt32(bigEndian: word3)
        default: word = UInt32(bigEndian: word4)
        }
        return UInt16(truncatingIfNeeded: index & 1 == 0 ? word >> 16 : word)
    }

    /// True where this address, whatever its port, shares the first `prefix` bits with `network`; one of the
    /// other family never does.
    package func isIn(network: SocketAddress, prefix: Int) -> Bool {
        guard family == network.family else { return false }
        if isIPv4 { return prefix == 0 || (ipv4 ^ network.ipv4) >> UInt32(32 &- prefix) == 0 }
        var index = 0
        var left = prefix
        while left > 0 {
            let difference = group(index) ^ network.group(index)
            if left < 16 { return difference >> UInt16(16 &- left) == 0 }
            if difference != 0 { return false }
            left &-= 16
            index &+= 1
        }
        return true
    }

    /// Copies a structure that a socket call filled in.
    package init(_ storage: sockaddr_storage) {
        unsafe withUnsafeBytes(of: storage) { bytes in
            let found = unsafe bytes.loadUnaligned(as: UInt16.self)
            guard found == UInt16(AF_INET) || found == UInt16(AF_INET6) else { return }
            let count = found == UInt16(AF_INET) ? 8 : 28
            unsafe withUnsafeMutableBytes(of: &self) { target in
                unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[0..<count]))
            }
        }
    }

    /// Writes `192.0.2.1` or `[2001:db8::1]` (brackets only when `bracketed`), without the port.
    package func writeHost(to writer: inout ByteWriter, bracketed: Bool = true) {
        if isIPv4 {
            let value = ipv4
            writer.append(decimal: UInt64(value >> 24))
            writer.append(0x2E)
            writer.append(decimal: UInt64(value >> 16 & 255))
            writer.append(0x2E)
            writer.append(decimal: UInt64(value >> 8 & 255))
            writer.append(0x2E)
            writer.append(decimal: UInt64(value & 255))
            return
        }
        // RFC 5952: the longest run of two or more zero groups is written as "::".
        var bestStart = -1
        var bestLength = 1
        var index = 0
        while index < 8 {
            var end = index
            while end < 8 && group(end) == 0 { end += 1 }
            if end - index > bestLength {
                bestStart = index
                bestLength = end - index
            }
            index = max(end, index + 1)
        }
        if bracketed { writer.append(0x5B) }
        index = 0
        while index < 8 {
            if index == bestStart {
                writer.append("::")
                index += bestLength
                continue
            }
            if index > 0 && index != bestStart + bestLength { writer.append(0x3A) }
            let value = UInt64(group(index))
            writer.append(
                hexadecimal: value, digits: value > 0xFFF ? 4 : value > 0xFF ? 3 : value > 0xF ? 2 : 1)
            index += 1
        }
        if bracketed { writer.append(0x5D) }
    }

    /// Writes `192.0.2.1:5060` or `[2001:db8::1]:5060`.
    package func write(to writer: inout ByteWriter) {
        writeHost(to: &writer)
        writer.append(0x3A)
        writer.append(decimal: UInt64(port))
    }

    /// Allocates; for logs at start, tools and tests.
    package var text: String {
        if isNone { return "none" }
        let bytes = unsafe withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            var writer = unsafe ByteWriter(buffer)
            write(to: &writer)
            return unsafe [UInt8](UnsafeRawBufferPointer(rebasing: buffer[0..<writer.count]))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    package static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        left.family == right.family && left.portBig == right.portBig && left.word0 == right.word0
            && left.word1 == right.word1 && left.word2 == right.word2 && left.word3 == right.word3
            && left.word4 == right.word4
    }
}
