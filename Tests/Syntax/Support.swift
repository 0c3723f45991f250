import Platform

@testable import Syntax

/// A message from a text whose lines end with LF alone in the source: they get CRLF.
func wire(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if byte == 0x0A { bytes.append(0x0D) }
        bytes.append(byte)
    }
    return bytes
}

/// A scanned message with the bytes that it refers to.
struct Scanned {
    let bytes: [UInt8]
    let index: MessageIndex
    let result: ScanResult

    init(_ bytes: [UInt8]) {
        var index = MessageIndex()
        result = Scanner.scan(bytes.span, into: &index)
        self.bytes = bytes
        self.index = index
    }

    init(_ text: String) { self.init(wire(text)) }

    subscript(range: ByteRange) -> String { text(bytes, range) }

    /// All values of a header field.
    func values(_ id: HeaderID) -> [String] {
        var found: [String] = []
        var values = Message(bytes.span, index).values(id)
        while let value = values.next() { found.append(self[value.range]) }
        return found
    }
}

func text(_ bytes: [UInt8], _ range: ByteRange) -> String {
    String(decoding: bytes[range.start..<range.end], as: UTF8.self)
}

/// What `build` writes.
func written(_ capacity: Int = 70_000, _ build: (inout ByteWriter) -> Void) -> [UInt8] {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
    defer { unsafe memory.deallocate() }
    var writer = unsafe ByteWriter(memory)
    build(&writer)
    return unsafe [UInt8](memory.prefix(writer.count))
}

func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

extension SocketAddress {
    init(_ host: String, _ port: UInt16) { self = SocketAddress(host: host, port: port)! }
}
