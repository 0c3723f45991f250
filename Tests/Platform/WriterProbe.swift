import Platform

/// What a closure wrote into a stretch of `capacity` bytes, and whether the bytes around it were left alone.
struct WriterProbe {
    let text: String
    let overflowed: Bool
    let surroundingsAreIntact: Bool

    init(capacity: Int = 64, _ body: (inout ByteWriter) -> Void) {
        let margin = 32
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity + 2 * margin, alignment: 8)
        defer { unsafe buffer.deallocate() }
        unsafe _ = buffer.initializeMemory(as: UInt8.self, repeating: 0xA5)
        var writer = unsafe ByteWriter(unsafe: buffer.baseAddress! + margin, capacity: capacity)
        body(&writer)
        var bytes: [UInt8] = []
        let written = writer.written
        for index in written.indices { bytes.append(written[index]) }
        text = String(decoding: bytes, as: UTF8.self)
        overflowed = writer.overflowed
        var intact = true
        for index in 0..<margin {
            if unsafe buffer[index] != 0xA5 || buffer[margin + capacity + index] != 0xA5 { intact = false }
        }
        surroundingsAreIntact = intact
    }
}
