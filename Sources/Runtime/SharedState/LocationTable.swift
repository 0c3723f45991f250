import Platform
import SharedMemory

/// Bindings by address of record, for all to read and the locator to write.
package struct LocationTable: BitwiseCopyable {
    package static let layoutVersion = 1
    package static func bytes(capacity: Int) -> Int { 4096 }
    package init(memory: Memory, at base: Int, capacity: Int) {}
}
