import Glibc

/// Appends bytes to a fixed stretch of memory. What does not fit is left out and sets `overflowed`; nothing
/// traps.
///
/// The owner of the memory (a slot, a stored message, the outbox) makes the writer and keeps the memory
/// alive; the writer is passed `inout` down to whoever builds the message.
@safe package struct ByteWriter {
    private let base: UnsafeMutableRawPointer
    package let capacity: Int
    /// Bytes written so far.
    package private(set) var count = 0
    /// True once an append did not fit: the content is not to be used.
    package private(set) var overflowed = false

    /// - Parameter base: at least `capacity` writable bytes that outlive the writer.
    package init(unsafe base: UnsafeMutableRawPointer, capacity: Int) {
        unsafe self.base = base
        self.capacity = capacity
    }

    package init(_ buffer: UnsafeMutableRawBufferPointer) {
        unsafe base = buffer.baseAddress!
        capacity = buffer.count
    }

    private mutating func reserve(_ length: Int) -> Bool {
        if length > capacity &- count || overflowed {
            overflowed = true
            return false
        }
        return true
    }

    package mutating func append(_ byte: UInt8) {
        guard reserve(1) else { return }
        unsafe base.storeBytes(of: byte, toByteOffset: count, as: UInt8.self)
        count &+= 1
    }

    package mutating func append(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        guard reserve(length) else { return }
        unsafe memcpy(base + count, text.utf8Start, length)
        count &+= length
    }

    package mutating func append(_ bytes: Span<UInt8>) {
        let length = bytes.count
        guard length > 0, reserve(length) else { return }
        unsafe bytes.withUnsafeBufferPointer { unsafe _ = memcpy(base + count, $0.baseAddress!, length) }
        count &+= length
    }

    /// The part `from ..< to` of `bytes`; traps where that is outside, for such offsets are ours.
    package mutating func append(_ bytes: Span<UInt8>, from: Int, to: Int) {
        append(bytes.extracting(from..<to))
    }

    /// Allocates; for start-up and tools only.
    package mutating func append(string: String) {
        var text = string
        text.withUTF8 { buffer in
            guard buffer.count > 0, reserve(buffer.count) else { return }
            unsafe _ = memcpy(base + count, buffer.baseAddress!, buffer.count)
            count &+= buffer.count
        }
    }

    package mutating func append(decimal value: UInt64) {
        var length = 1
        var limit: UInt64 = 10
        while value >= limit {
            length &+= 1
            // Beyond 64 bits there are no more.
            let (next, overflow) = limit.multipliedReportingOverflow(by: 10)
            if overflow { break }
            limit = next
        }
        guard reserve(length) else { return }
        var rest = value
        count &+= length
        for place in 1...length {
            let digit = UInt8(truncatingIfNeeded: rest % 10) &+ 0x30
            unsafe base.storeBytes(of: digit, toByteOffset: count &- place, as: UInt8.self)
            rest /= 10
        }
    }

    package mutating func append(decimal value: Int) {
        if value < 0 { append(0x2D) }
        append(decimal: UInt64(value.magnitude))
    }

    /// Lower-case hexadecimal, `digits` long, leading zeros kept.
    package mutating func append(hexadecimal value: UInt64, digits: Int) {
        guard reserve(digits) else { return }
        var rest = value
        var place = count &+ digits
        while place > count {
            place &-= 1
            let nibble = UInt8(truncatingIfNeeded: rest) & 15
            unsafe base.storeBytes(
                of: nibble < 10 ? nibble &+ 0x30 : nibble &+ 0x57, toByteOffset: place, as: UInt8.self)
            rest &>>= 4
        }
        count &+= digits
    }

    /// What was written so far: valid as long as the memory is, whose owner outlives the writer. A lifetime
    /// bound to the writer would put each local one on the heap.
    package var written: Span<UInt8> {
        @_lifetime(immortal) get {
            let bytes = unsafe Span<UInt8>(
                _unsafeStart: base.assumingMemoryBound(to: UInt8.self), count: count)
            return unsafe _overrideLifetime(bytes, copying: ())
        }
    }

    /// Writes a byte anew that was written before.
    package mutating func replace(_ byte: UInt8, at place: Int) {
        precondition(place >= 0 && place < count, "nothing was written there")
        unsafe base.storeBytes(of: byte, toByteOffset: place, as: UInt8.self)
    }

    /// Leaves `length` bytes as they are: another writer has filled them.
    package mutating func skip(_ length: Int) {
        guard length >= 0, reserve(length) else { return }
        count &+= length
    }

    /// Makes the content one that is not to be used.
    package mutating func fail() { overflowed = true }

    /// Forgets all that was written.
    package mutating func reset() {
        count = 0
        overflowed = false
    }
}
