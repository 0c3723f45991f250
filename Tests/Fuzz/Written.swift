// What the targets share.
import Platform

/// One stretch for all that is built: a fresh one each time would be most of the work. Room enough for a
/// message of 65,535 bytes and all that we add.
private nonisolated(unsafe) let space = UnsafeMutableRawBufferPointer.allocate(
    byteCount: 262_144, alignment: 1)

func written(_ build: (inout ByteWriter) -> Void) -> [UInt8] {
    var writer = unsafe ByteWriter(space)
    build(&writer)
    precondition(!writer.overflowed)
    return unsafe [UInt8](space.prefix(writer.count))
}
