// What the targets share.
import Platform
import Syntax

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

/// The address of record, read as a URI, gives the same address of record.
func checkAddressOfRecord(_ uri: SIPURI, _ bytes: Span<UInt8>) {
    let first = written { writer in
        writer.append("sip:")
        uri.writeAddressOfRecord(bytes, to: &writer)
    }
    guard first.count <= 65_535 else { return }
    guard let again = SIPURI.parse(first.span) else { preconditionFailure("address of record is no URI") }
    let second = written { writer in
        writer.append("sip:")
        again.writeAddressOfRecord(first.span, to: &writer)
    }
    precondition(first == second)
}
