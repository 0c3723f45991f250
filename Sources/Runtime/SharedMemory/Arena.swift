import CPlatform
import Glibc
import Platform

/// One memfd, mapped whole by every process. Pages are taken when first touched, so a generous size costs
/// nothing.
package struct Arena: ~Copyable {
    /// Its first eight bytes.
    package static let magic: UInt64 = 0x6B72_6F66_7069_7301
    package let descriptor: Descriptor
    package let memory: Memory

    /// Creates an arena of `size` bytes, all zero. The descriptor is 0600 and raised above the numbered ones.
    package init(name: String, size: Int) throws(SystemError) {
        let created = Descriptor(
            owning: try check("memfd_create") { unsafe name.withCString { unsafe cp_memfd_create($0) } })
        let number = created.number
        try check("fchmod") { fchmod(number, 0o600) }
        try check("ftruncate") { ftruncate(number, size) }
        let raised = try created.raised()
        memory = try Arena.map(raised.number, size: size, writable: true)
        descriptor = raised
    }

    /// Maps an arena that another process made.
    package init(attaching descriptor: consuming Descriptor, writable: Bool = true) throws(SystemError) {
        var status = stat()
        let number = descriptor.number
        if unsafe fstat(number, &status) < 0 { throw .last("fstat") }
        memory = try Arena.map(number, size: Int(status.st_size), writable: writable)
        self.descriptor = descriptor
    }

    /// Maps the arena that a child has inherited as `number`, and claims its place among the processes: no two of one
    /// place ever work on it, also where a master was killed and another one starts the same children. The descriptor
    /// stays open, for the claim would end with it.
    package static func inherit(_ number: Int32, place: Int) throws(SystemError) -> Memory {
        try check("fcntl") { cp_claim(number, Int32(place)) }
        return try Arena(attaching: Descriptor(owning: number)).keep().memory
    }

    /// For someone who keeps it as long as the process lives.
    package consuming func keep() -> (memory: Memory, descriptor: Int32) {
        let memory = memory
        return (memory, descriptor.release())
    }

    /// Ends every other process that still has a place; throws where one stays.
    package func endClaimants() throws(SystemError) {
        // Each has one place, and a killed one leaves it.
        for _ in 0..<Arena.mostClaimants {
            let pid = try check("fcntl") { cp_claimant(descriptor.number) }
            if pid == 0 { return }
            kill(pid, SIGKILL)
            if cp_await_exit(pid, 5000) == 0 { break }
        }
        throw SystemError("a process that does not end", code: EBUSY)
    }

    private static let mostClaimants = 256

    private static func map(_ number: Int32, size: Int, writable: Bool) throws(SystemError) -> Memory {
        let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
        let base = unsafe mmap(nil, size, protection, MAP_SHARED | MAP_NORESERVE, number, 0)
        guard let base = unsafe base, unsafe base != MAP_FAILED else { throw .last("mmap") }
        // Calls of strangers do not belong into core dumps.
        _ = unsafe cp_no_dump(base, size)
        return unsafe Memory(unsafe: base, size: size)
    }
}
