/// Eight bytes of a message at once: finds the next delimiter in a fraction of the time that a look at each
/// byte takes. The byte at the lowest address is the lowest of the word.
///
/// A mask has the highest bit of each byte that is meant. Masks of `equal` and `below` may have false bits
/// above the lowest true one (a borrow runs upward), so only the lowest bit of their union counts, and that
/// is exact.
struct Word {
    let bits: UInt64

    @inline(__always)
    init(_ bits: UInt64) { self.bits = bits }

    private static var highBits: UInt64 { 0x8080_8080_8080_8080 }

    @inline(__always)
    private static func repeating(_ byte: UInt8) -> UInt64 { UInt64(byte) &* 0x0101_0101_0101_0101 }

    /// Bytes that are `byte`.
    @inline(__always)
    func equal(_ byte: UInt8) -> UInt64 {
        let difference = bits ^ Word.repeating(byte)
        return (difference &- Word.repeating(1)) & ~difference & Word.highBits
    }

    /// Bytes less than `byte`, which is at most 128.
    @inline(__always)
    func below(_ byte: UInt8) -> UInt64 { (bits &- Word.repeating(byte)) & ~bits & Word.highBits }

    /// Bytes from `first` to `last`, both ASCII; exact in every byte.
    @inline(__always)
    func within(_ first: UInt8, _ last: UInt8) -> UInt64 {
        let seven = bits & ~Word.highBits
        let atLeast = seven &+ Word.repeating(0x80 &- first)
        let beyond = seven &+ Word.repeating(0x7F &- last)
        return atLeast & ~beyond & ~bits & Word.highBits
    }

    /// SP and all controls below it.
    @inline(__always) var blankOrControl: UInt64 { below(0x21) }
    /// CR and LF.
    @inline(__always) var lineEnd: UInt64 { equal(Ascii.carriageReturn) | equal(Ascii.lineFeed) }
    /// What ends a header name.
    @inline(__always) var nameEnd: UInt64 { blankOrControl | equal(Ascii.colon) }
    /// < and >
    @inline(__always) var angle: UInt64 { Word(bits | Word.repeating(2)).equal(Ascii.greater) }
    /// What may not stand in a URI at all.
    @inline(__always) var notInURI: UInt64 { blankOrControl | equal(0x7F) | equal(Ascii.quote) | angle }
    /// What ends the name of a parameter: ; < = > , " and white space.
    @inline(__always) var parameterNameEnd: UInt64 {
        blankOrControl | within(Ascii.semicolon, Ascii.greater) | equal(Ascii.comma) | equal(Ascii.quote)
    }
    /// What ends an unquoted value of a parameter: the same but =, which Base64 in unknown parameters ends
    /// with.
    @inline(__always) var parameterValueEnd: UInt64 {
        notInURI | equal(Ascii.semicolon) | equal(Ascii.comma)
    }
    /// What cannot stand in a host name: all but letters, digits, - . and _ (which the field uses).
    @inline(__always) var notInHostname: UInt64 {
        let letters = Word(bits | Word.repeating(0x20)).within(UInt8(ascii: "a"), UInt8(ascii: "z"))
        let digits = within(UInt8(ascii: "-"), UInt8(ascii: "9")) & ~within(Ascii.slash, Ascii.slash)
        return ~(letters | digits | within(UInt8(ascii: "_"), UInt8(ascii: "_"))) & Word.highBits
    }
    /// With letters in lower case, and five other characters changed that no name has.
    @inline(__always) var lowercased: UInt64 { bits | Word.repeating(0x20) }

    /// The first eight bytes of a literal, letters in lower case, zero beyond its end. Folded by the
    /// optimiser.
    @inline(__always)
    static func key(_ text: StaticString) -> UInt64 {
        var key: UInt64 = 0
        let count = Swift.min(text.utf8CodeUnitCount, 8)
        for index in 0..<count { key |= unsafe UInt64(text.utf8Start[index] | 0x20) << UInt64(index &* 8) }
        return key
    }

    /// The same of the eight bytes from the literal's byte `offset` on.
    @inline(__always)
    static func key(_ text: StaticString, from offset: Int) -> UInt64 {
        var key: UInt64 = 0
        let count = Swift.min(text.utf8CodeUnitCount &- offset, 8)
        for index in 0..<count {
            key |= unsafe UInt64(text.utf8Start[offset &+ index] | 0x20) << UInt64(index &* 8)
        }
        return key
    }
}

extension Span<UInt8> {
    /// The eight bytes at `place`, zero beyond the end.
    @inline(__always)
    func word(_ place: Int) -> Word {
        place >= 0 && place <= count &- 8 ? wholeWord(place) : lastWord(place)
    }

    /// - Parameter place: at least 0, and eight bytes lie there: the caller has compared.
    @inline(__always)
    private func wholeWord(_ place: Int) -> Word {
        Word(
            UInt64(
                littleEndian: unsafe bytes.unsafeLoadUnaligned(
                    fromUncheckedByteOffset: place, as: UInt64.self)))
    }

    @inline(never)
    private func lastWord(_ place: Int) -> Word {
        var bits: UInt64 = 0
        var index = place
        while index < count && index < place &+ 8 {
            bits |= UInt64(self[index]) << UInt64((index &- place) &* 8)
            index &+= 1
        }
        return Word(bits)
    }

    /// The first `length` (at most 8) bytes at `place`, letters in lower case, zero beyond: to compare with
    /// `Word.key`.
    @inline(__always)
    func key(_ place: Int, _ length: Int) -> UInt64 {
        word(place).lowercased & (length >= 8 ? ~0 : (1 &<< UInt64(length &* 8)) &- 1)
    }

    /// The first place in `start ..< end` that the mask marks, or `end`.
    @inline(__always)
    func first(_ start: Int, _ end: Int, _ mask: (Word) -> UInt64) -> Int {
        guard start >= 0 else { return end }
        var place = start
        let wholeEnd = Swift.min(end, count &- 7)
        while place < wholeEnd {
            let found = mask(wholeWord(place))
            if found != 0 { return Swift.min(place &+ found.trailingZeroBitCount >> 3, end) }
            place &+= 8
        }
        while place < end {
            let found = mask(lastWord(place))
            if found != 0 { return Swift.min(place &+ found.trailingZeroBitCount >> 3, end) }
            place &+= 8
        }
        return end
    }
}
