import CSystemd
import Glibc
import Platform

/// The descriptors that systemd keeps for the next process of this service (`FileDescriptorStoreMax=`,
/// systemd.service(5)); it closes them once the service is stopped and nobody has asked for a start.
///
/// Without systemd nothing is kept, and nothing is there.
package struct DescriptorStore: Sendable {
    /// One that was kept, owned by whoever takes it.
    package struct Kept {
        package let name: String
        package let descriptor: Int32
    }

    /// More than systemd has room for: 255 bytes a name.
    private static let namesBytes = 256 * 256

    package init() {}

    /// Takes what was kept, once, above the numbered descriptors of a child; `$LISTEN_FDS` is forgotten. Sockets of a
    /// socket unit come the same way, by the names they have there.
    package func take() throws(SystemError) -> [Kept] {
        let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: DescriptorStore.namesBytes)
        unsafe buffer.initialize(repeating: 0, count: DescriptorStore.namesBytes)
        defer { unsafe buffer.deallocate() }
        let count = unsafe cs_take_descriptors(buffer, DescriptorStore.namesBytes)
        if count < 0 { throw SystemError("sd_listen_fds", code: -count) }
        var kept: [Kept] = []
        var name = unsafe buffer
        for place in 0..<count {
            let text = unsafe String(cString: name)
            unsafe name += strlen(name) + 1
            let raised = try Descriptor(owning: 3 + place).raised()
            kept.append(Kept(name: text, descriptor: raised.release()))
        }
        return kept
    }

    /// Has systemd keep a copy, without watching it: a socket with a pending error would be dropped else. Waits until
    /// systemd has the message.
    package func keep(_ descriptor: Int32, _ name: String) {
        unsafe _ = cs_notify_with("FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", descriptor)
    }

    /// Has systemd close all that it keeps under this name.
    package func drop(_ name: String) { unsafe _ = cs_notify("FDSTOREREMOVE=1\nFDNAME=\(name)") }
}
