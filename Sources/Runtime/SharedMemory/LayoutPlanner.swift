/// Places regions one behind the other: each structure asks for its bytes and gets an offset.
///
/// The same plan is made by every process from the sizes in the arena's header, so no table of offsets is
/// kept.
package struct LayoutPlanner {
    /// Bytes placed so far.
    package private(set) var size = 0

    package init(reserved: Int = 0) { size = reserved }

    /// The offset of `bytes` bytes at a multiple of `alignment` (a power of two).
    package mutating func place(_ bytes: Int, alignment: Int = 64) -> Int {
        precondition(bytes >= 0)
        size = (size + alignment - 1) & ~(alignment - 1)
        let offset = size
        size += bytes
        return offset
    }

    /// As `place`, on pages of its own: regions with different writers never share a cache line.
    package mutating func placeRegion(_ bytes: Int) -> Int { place(bytes, alignment: 4096) }
}
