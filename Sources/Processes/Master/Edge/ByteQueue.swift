import Glibc

/// Bytes of a connection that wait: in front of the rest of their message, or for a peer that does not read. It has
/// memory only while there is something in it, and twice as much as it holds at most, besides a small piece.
///
///     | taken out | bytes … | room |
@safe struct ByteQueue: ~Copyable {
    private static let least = 2048

    private var base: UnsafeMutablePointer<UInt8>?
    /// Bytes of memory that it has.
    private(set) var capacity = 0
    private var first = 0
    private(set) var count = 0

    init() {}

    deinit { unsafe free(base) }

    var isEmpty: Bool { count == 0 }

    /// The bytes; valid until the queue is changed.
    var bytes: Span<UInt8> {
        @_lifetime(immortal) get {
            guard let base = unsafe base else { return Span() }
            let found = unsafe Span(_unsafeStart: base + first, count: count)
            return unsafe _overrideLifetime(found, copying: ())
        }
    }

    mutating func append(_ bytes: Span<UInt8>) {
        if bytes.count == 0 { return }
        let room = unsafe reserve(bytes.count)
        unsafe bytes.withUnsafeBufferPointer { unsafe _ = memcpy(room, $0.baseAddress!, bytes.count) }
        count += bytes.count
    }

    /// Receives at most `most` bytes behind the others; the result of the call.
    mutating func receive(from socket: Int32, atMost most: Int) -> Int {
        let received = unsafe recv(socket, reserve(most), most, Int32(MSG_DONTWAIT))
        if received > 0 { count += received }
        return received
    }

    /// Room for `more` bytes behind the others.
    private mutating func reserve(_ more: Int) -> UnsafeMutablePointer<UInt8> {
        if first > 0 && first + count + more > capacity {
            unsafe _ = memmove(base!, base! + first, count)
            first = 0
        }
        if count + more > capacity {
            let wanted = max(count + more, min(capacity * 2, 65_536), ByteQueue.least)
            guard let larger = unsafe realloc(base, wanted) else { preconditionFailure("no memory") }
            unsafe base = larger.assumingMemoryBound(to: UInt8.self)
            capacity = wanted
        }
        return unsafe base! + first + count
    }

    /// Takes bytes out at the front; the memory goes with the last one.
    mutating func removeFirst(_ number: Int) {
        precondition(number >= 0 && number <= count)
        first += number
        count -= number
        if count == 0 { removeAll() }
    }

    mutating func removeAll() {
        unsafe free(base)
        unsafe base = nil
        capacity = 0
        first = 0
        count = 0
    }
}
