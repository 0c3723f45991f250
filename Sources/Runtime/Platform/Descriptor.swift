import CPlatform
import Glibc

/// An open file descriptor; closed when its owner goes.
package struct Descriptor: ~Copyable {
    package let number: Int32

    /// Takes over a descriptor that nothing else closes.
    package init(owning number: Int32) {
        precondition(number >= 0)
        self.number = number
    }

    deinit { close(number) }

    /// Gives the number away; the receiver closes it.
    package consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }

    /// A duplicate above the numbered descriptors of a child (`CPlatform.cp_spawn` wants its sources there).
    package consuming func raised() throws(SystemError) -> Descriptor {
        let number = number
        return Descriptor(owning: try check("fcntl") { fcntl(number, F_DUPFD_CLOEXEC, 100) })
    }

    /// Makes reads and writes return at once.
    package func setNonBlocking() throws(SystemError) {
        let number = number
        let flags = try check("fcntl") { fcntl(number, F_GETFL) }
        try check("fcntl") { fcntl(number, F_SETFL, flags | O_NONBLOCK) }
    }
}
