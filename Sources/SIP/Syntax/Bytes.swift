/// The characters of the grammar in RFC 3261 §25.1, by name.
enum Ascii {
    static let tab: UInt8 = 0x09
    static let lineFeed: UInt8 = 0x0A
    static let carriageReturn: UInt8 = 0x0D
    static let space: UInt8 = 0x20
    static let quote: UInt8 = 0x22
    static let percent: UInt8 = 0x25
    static let ampersand: UInt8 = 0x26
    static let comma: UInt8 = 0x2C
    static let dot: UInt8 = 0x2E
    static let slash: UInt8 = 0x2F
    static let zero: UInt8 = 0x30
    static let colon: UInt8 = 0x3A
    static let semicolon: UInt8 = 0x3B
    static let less: UInt8 = 0x3C
    static let equals: UInt8 = 0x3D
    static let greater: UInt8 = 0x3E
    static let question: UInt8 = 0x3F
    static let at: UInt8 = 0x40
    static let openBracket: UInt8 = 0x5B
    static let backslash: UInt8 = 0x5C
    static let closeBracket: UInt8 = 0x5D
}

/// A set of ASCII characters as two words of bits: one shift instead of a table look-up or a chain of
/// comparisons.
struct CharacterSet {
    private let low: UInt64
    private let high: UInt64

    /// - Parameters: bit *n* of `low` is character *n*, of `high` character 64 + *n*.
    @inline(__always)
    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        let bits = byte < 64 ? low : byte < 128 ? high : 0
        return (bits >> UInt64(byte & 63)) & 1 != 0
    }

    /// Letters, digits and - . ! % * _ + ` ' ~
    @inline(__always) static var token: CharacterSet {
        CharacterSet(low: 0x03FF_6CA2_0000_0000, high: 0x47FF_FFFF_87FF_FFFE)
    }
    /// Letters, digits and the marks - _ . ! ~ * ' ( )
    @inline(__always) static var unreserved: CharacterSet {
        CharacterSet(low: 0x03FF_6782_0000_0000, high: 0x47FF_FFFE_87FF_FFFE)
    }
    /// ; / ? : @ & = + $ ,
    @inline(__always) static var reserved: CharacterSet {
        CharacterSet(low: 0xAC00_9850_0000_0000, high: 0x0000_0000_0000_0001)
    }
    /// Letters, digits, + - . : what follows the first letter of a URI scheme.
    @inline(__always) static var scheme: CharacterSet {
        CharacterSet(low: 0x03FF_6800_0000_0000, high: 0x07FF_FFFE_07FF_FFFE)
    }
}

extension UInt8 {
    @inline(__always) var isDigit: Bool { self &- 0x30 < 10 }
    @inline(__always) var isLetter: Bool { (self | 0x20) &- 0x61 < 26 }
    @inline(__always) var lowercased: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }
    /// SP or HTAB.
    @inline(__always) var isBlank: Bool { self == 0x20 || self == 0x09 }
    /// SP, HTAB, and CR and LF, which inside a value can only be a fold.
    @inline(__always) var isWhitespace: Bool {
        self <= 0x20 && (1 << UInt64(self)) & (0x1_0000_2600 as UInt64) != 0
    }

    @inline(__always) var hexadecimalValue: UInt8? {
        switch self {
        case 0x30...0x39: self &- 0x30
        case 0x41...0x46: self &- 0x37
        case 0x61...0x66: self &- 0x57
        default: nil
        }
    }
}

extension Span<UInt8> {
    /// The first place at or behind `from` that holds no white space, at most `end`.
    @inline(__always)
    func skippingWhitespace(_ from: Int, _ end: Int) -> Int {
        var position = from
        while position < end && self[position].isWhitespace { position &+= 1 }
        return position
    }

    /// The range without white space at both ends.
    @inline(__always)
    func trimmed(_ start: Int, _ end: Int) -> ByteRange {
        let first = skippingWhitespace(start, end)
        var last = end
        while last > first && self[last &- 1].isWhitespace { last &-= 1 }
        return ByteRange(first, last)
    }

    /// True where the bytes of `range` are `text`, from its byte `skipped` on, letters of either case alike.
    @inline(__always)
    package func matches(_ range: ByteRange, ignoringCase text: StaticString, from skipped: Int = 0) -> Bool {
        let count = Int(range.count)
        guard text.utf8CodeUnitCount &- skipped == count else { return false }
        let start = range.start
        for index in 0..<count {
            // Inside, for the counts are the same.
            let wanted = unsafe text.utf8Start[index &+ skipped]
            if self[start &+ index].lowercased != wanted.lowercased { return false }
        }
        return true
    }

    /// True where the bytes of `range` are exactly `text`.
    @inline(__always)
    package func matches(_ range: ByteRange, _ text: StaticString) -> Bool {
        guard text.utf8CodeUnitCount == Int(range.count) else { return false }
        let start = range.start
        for index in 0..<Int(range.count) where unsafe self[start &+ index] != text.utf8Start[index] {
            return false
        }
        return true
    }

    /// True where the bytes of both ranges are the same.
    @inline(__always)
    package func matches(_ range: ByteRange, _ other: ByteRange, of bytes: Span<UInt8>) -> Bool {
        guard range.count == other.count else { return false }
        for index in 0..<Int(range.count) where self[range.start &+ index] != bytes[other.start &+ index] {
            return false
        }
        return true
    }
}

/// A decimal number without sign; nil where the range is empty, holds anything but digits, or exceeds 64
/// bits.
package func parseDecimal(_ bytes: Span<UInt8>, _ range: ByteRange) -> UInt64? {
    guard !range.isEmpty else { return nil }
    var value: UInt64 = 0
    for position in range.start..<range.end {
        let byte = bytes[position]
        guard byte.isDigit else { return nil }
        let (product, tooLarge) = value.multipliedReportingOverflow(by: 10)
        let (sum, overflow) = product.addingReportingOverflow(UInt64(byte &- Ascii.zero))
        if tooLarge || overflow { return nil }
        value = sum
    }
    return value
}

/// A q value (RFC 3261 §25.1: 0 to 1 with up to three decimals) in thousandths; nil where it is none.
package func qThousandths(_ bytes: Span<UInt8>, _ range: ByteRange) -> Int? {
    guard range.count >= 1 && range.count <= 5 else { return nil }
    let first = bytes[range.start]
    guard first == 0x30 || first == 0x31 else { return nil }
    var value = Int(first &- 0x30)
    if range.count > 1 && bytes[range.start &+ 1] != Ascii.dot { return nil }
    for place in 2..<5 {
        var digit = 0
        if place < Int(range.count) {
            let byte = bytes[range.start &+ place]
            guard byte.isDigit else { return nil }
            digit = Int(byte &- 0x30)
        }
        value = value &* 10 &+ digit
    }
    return value <= 1000 ? value : nil
}
