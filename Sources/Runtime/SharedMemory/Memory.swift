import CPlatform
import Glibc
import Platform

/// The mapped arena, addressed by offsets. Offsets come from our own structures only: one outside traps.
///
/// Plain loads and stores are for cells with a single writer; a cell that another process reads while it
/// changes is loaded and stored through the atomic calls.
@safe package struct Memory: BitwiseCopyable {
    private let base: UnsafeMutableRawPointer
    /// Bytes mapped.
    package let size: Int

    package init(unsafe base: UnsafeMutableRawPointer, size: Int) {
        unsafe self.base = base
        self.size = size
    }

    @inline(__always) private func checked(_ offset: Int, _ count: Int) -> UnsafeMutableRawPointer {
        precondition(offset >= 0 && count >= 0 && offset <= size &- count, "offset outside the arena")
        return unsafe base + offset
    }

    @inline(__always) package func load<T: BitwiseCopyable>(_ offset: Int, as type: T.Type = T.self) -> T {
        unsafe checked(offset, MemoryLayout<T>.size).load(as: T.self)
    }

    @inline(__always) package func store<T: BitwiseCopyable>(_ value: T, at offset: Int) {
        unsafe checked(offset, MemoryLayout<T>.size).storeBytes(of: value, as: T.self)
    }

    /// Acquire.
    @inline(__always) package func loadAtomic(_ offset: Int) -> UInt64 {
        unsafe cp_load64(checked(offset, 8))
    }

    /// Release.
    @inline(__always) package func storeAtomic(_ value: UInt64, at offset: Int) {
        unsafe cp_store64(checked(offset, 8), value)
    }

    /// Sequentially consistent.
    @inline(__always) package func exchange(_ value: UInt64, at offset: Int) -> UInt64 {
        unsafe cp_exchange64(checked(offset, 8), value)
    }

    /// Adds to a word that several processes add to; the value before. Orders nothing else.
    @inline(__always) package func addAtomic(_ value: UInt64, at offset: Int) -> UInt64 {
        unsafe cp_add64(checked(offset, 8), value)
    }

    /// The bytes at `offset`; valid while the arena is mapped, which is as long as the process lives.
    @_lifetime(immortal)
    @inline(__always) package func bytes(_ offset: Int, count: Int) -> Span<UInt8> {
        let start = unsafe checked(offset, count).assumingMemoryBound(to: UInt8.self)
        return unsafe _overrideLifetime(Span(_unsafeStart: start, count: count), copying: ())
    }

    /// Has the pages of a stretch made at once: a fault for each, when it is written first, costs several times as
    /// much. Where the kernel does not know how (before 5.14), nothing happens.
    package func populate(_ offset: Int, count: Int) {
        let populateWrite: Int32 = 23
        _ = unsafe madvise(checked(offset, count), count, populateWrite)
    }

    /// A writer over `capacity` bytes at `offset`.
    @inline(__always) package func writer(_ offset: Int, capacity: Int) -> ByteWriter {
        unsafe ByteWriter(unsafe: checked(offset, capacity), capacity: capacity)
    }

    package func zero(_ offset: Int, count: Int) {
        unsafe checked(offset, count).initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    /// Copies `count` bytes inside the arena; the stretches do not overlap.
    package func copy(from source: Int, to target: Int, count: Int) {
        unsafe checked(target, count).copyMemory(from: checked(source, count), byteCount: count)
    }

    /// The address of `count` bytes at `offset`, for system calls that fill or send them.
    @unsafe package func address(_ offset: Int, count: Int) -> UnsafeMutableRawPointer {
        unsafe checked(offset, count)
    }

    /// Gives the mapping back: nothing of it may be used any more.
    @unsafe package func unmap() { _ = unsafe munmap(base, size) }
}
