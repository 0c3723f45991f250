import Platform
import SharedMemory

/// The texts and numbers of a binding that is about to be written.
package struct BindingFields: ~Escapable {
    package let uri: Span<UInt8>
    package let callID: Span<UInt8>
    package let path: Span<UInt8>
    package let userAgent: Span<UInt8>
    package let expiresAt: UInt64
    package let q: UInt16
    package let cseq: UInt32

    /// - Parameters: expiresAt: seconds since 1970; q: thousandths.
    @_lifetime(copy uri, copy callID, copy path, copy userAgent)
    package init(
        uri: Span<UInt8>, callID: Span<UInt8>, path: Span<UInt8>, userAgent: Span<UInt8>, expiresAt: UInt64,
        q: UInt16, cseq: UInt32
    ) {
        self.uri = uri
        self.callID = callID
        self.path = path
        self.userAgent = userAgent
        self.expiresAt = expiresAt
        self.q = q
        self.cseq = cseq
    }

    /// A contact that is reached without Path, of a phone that did not say what it is.
    @_lifetime(copy uri, copy callID)
    package init(uri: Span<UInt8>, callID: Span<UInt8>, expiresAt: UInt64, q: UInt16, cseq: UInt32) {
        self.init(
            uri: uri, callID: callID, path: Span(), userAgent: Span(), expiresAt: expiresAt, q: q, cseq: cseq)
    }

    fileprivate var textBytes: Int { uri.count + callID.count + path.count + userAgent.count }

    /// Bytes that the binding takes in its block.
    package var size: Int { BindingFields.bytes(texts: textBytes) }

    /// Bytes that a binding with so many bytes of text takes in its block.
    package static func bytes(texts: Int) -> Int { LocationTable.bindingHead + ((texts + 7) & ~7) }
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

    /// Each text is shorter than 65,536 bytes.
    package mutating func append(_ fields: BindingFields) {
        let size = fields.size
        precondition(size <= end - position, "draft too small")
        memory.store(fields.expiresAt, at: position)
        memory.store(fields.cseq, at: position + 8)
        memory.store(fields.q, at: position + 12)
        memory.store(UInt16(fields.uri.count), at: position + 14)
        memory.store(UInt16(fields.callID.count), at: position + 16)
        memory.store(UInt16(fields.path.count), at: position + 18)
        memory.store(UInt16(fields.userAgent.count), at: position + 20)
        // Padding.
        memory.store(UInt16(0), at: position + 22)
        var writer = memory.writer(position + LocationTable.bindingHead, capacity: fields.textBytes)
        writer.append(fields.uri)
        writer.append(fields.callID)
        writer.append(fields.path)
        writer.append(fields.userAgent)
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
