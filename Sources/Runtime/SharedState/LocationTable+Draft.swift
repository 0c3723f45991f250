import Platform
import SharedMemory

/// The texts and numbers of a binding that is about to be written.
package struct BindingFields: ~Escapable {
    let uri: Span<UInt8>
    let callID: Span<UInt8>
    let expiresAt: UInt64
    let q: UInt16
    let cseq: UInt32

    /// - Parameters: expiresAt: seconds since 1970; q: thousandths. Each text is shorter than 65,536 bytes.
    @_lifetime(copy uri, copy callID)
    package init(uri: Span<UInt8>, callID: Span<UInt8>, expiresAt: UInt64, q: UInt16, cseq: UInt32) {
        precondition(uri.count <= 0xFFFF && callID.count <= 0xFFFF)
        self.uri = uri
        self.callID = callID
        self.expiresAt = expiresAt
        self.q = q
        self.cseq = cseq
    }

    /// Bytes that such a binding takes in its block.
    package static func bytes(uri: Int, callID: Int) -> Int {
        LocationTable.bindingHead + ((uri + callID + 7) & ~7)
    }
}

/// A block that nobody sees yet: filled by the locator, then published or discarded. What is written here
/// needs no undo, for until the store that publishes it the block counts as free.
package struct RecordDraft: BitwiseCopyable {
    let memory: Memory
    package let block: Int
    /// Bindings of the published record that this one replaces.
    let replaced: Int
    private let end: Int
    private var position: Int
    private let aorCount: Int
    private var count = 0

    /// Bytes of a block with an address of record of that length, and bindings of `bindings` bytes together.
    package static func bytes(aor: Int, bindings: Int) -> Int {
        LocationTable.blockHead + ((aor + 7) & ~7) + bindings
    }

    init(memory: Memory, block: Int, size: Int, aor: Span<UInt8>, hash: UInt64, replaced: Int) {
        self.memory = memory
        self.block = block
        self.replaced = replaced
        aorCount = aor.count
        end = block + size
        position = block + RecordDraft.bytes(aor: aor.count, bindings: 0)
        // An odd version: a cursor of the control tool that comes by on a stale chain copies nothing from
        // here.
        memory.storeAtomic(UInt64(version | 1), at: block + LocationTable.countsOffset)
        Ordering.fullFence()
        memory.store(hash, at: block + LocationTable.hashOffset)
        memory.store(UInt32(size), at: block + LocationTable.sizeOffset)
        var writer = memory.writer(block + LocationTable.blockHead, capacity: aor.count)
        writer.append(aor)
    }

    private var version: UInt32 { memory.load(block + LocationTable.countsOffset) }

    /// Takes a binding over from the record that is being replaced.
    package mutating func append(_ binding: Binding) {
        let size = binding.size
        precondition(size <= end - position, "draft too small")
        memory.copy(from: binding.offset, to: position, count: size)
        position += size
        count += 1
    }

    package mutating func append(_ fields: BindingFields) {
        let texts = fields.uri.count + fields.callID.count
        let size = BindingFields.bytes(uri: fields.uri.count, callID: fields.callID.count)
        precondition(size <= end - position, "draft too small")
        memory.store(fields.expiresAt, at: position)
        memory.store(fields.cseq, at: position + 8)
        memory.store(fields.q, at: position + 12)
        memory.store(UInt16(fields.uri.count), at: position + 14)
        memory.store(UInt16(fields.callID.count), at: position + 16)
        // Path, User-Agent, padding.
        memory.store(UInt16(0), at: position + 18)
        memory.store(UInt16(0), at: position + 20)
        memory.store(UInt16(0), at: position + 22)
        var writer = memory.writer(position + LocationTable.bindingHead, capacity: texts)
        writer.append(fields.uri)
        writer.append(fields.callID)
        position += size
        count += 1
    }

    /// Fixes the content; from now on it does not change.
    package func seal() -> BindingSet {
        Ordering.fullFence()
        let even = UInt64(version &+ 1)
        memory.storeAtomic(
            even | UInt64(aorCount) << 32 | UInt64(count) << 48, at: block + LocationTable.countsOffset)
        return BindingSet(memory: memory, block: block)
    }
}
