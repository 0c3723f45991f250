/// Patterns over parts of a URI: `*` is any run of characters, `?` any one, all else itself.
///
/// Both sides are read with their escapes resolved as RFC 3261 §19.1.4 wants, so that `%61` is `a`, but an
/// escaped reserved character is not the plain one; `%2A` in a pattern is a star that stands for itself.
///
///     pattern  +49*       user  +4930123456   matches      user  %2B4930  does not (+ is reserved)
///     pattern  j?rg*      user  j%6Frgen      matches
package enum Glob {
    /// True where all of `text` is what `pattern` says.
    ///
    /// On a mismatch only the star that was met last takes one character more: what those before it took
    /// cannot matter any longer. The last star of the pattern takes all but what must follow. So the work
    /// grows with the text, and at most with the longest run between two stars, whatever a sender writes.
    package static func matches(_ pattern: Span<UInt8>, _ text: Span<UInt8>, ignoringCase: Bool) -> Bool {
        var wanted = URICharacters(pattern, pattern.wholeRange)
        var found = URICharacters(text, text.wholeRange)
        /// Behind the last star in the pattern, -1 before any; and the end of what it has taken.
        var star = -1
        var taken = 0
        while true {
            if wanted.position < pattern.count && pattern[wanted.position] == asterisk {
                wanted.position &+= 1
                if wanted.position == pattern.count { return true }
                if let tail = charactersAfterLastStar(pattern, from: wanted.position) {
                    guard skipAll(but: tail, in: &found) else { return false }
                    star = -1
                } else {
                    star = wanted.position
                    taken = found.position
                }
                continue
            }
            guard let character = found.next() else { return wanted.position == pattern.count }
            if wanted.position < pattern.count {
                if pattern[wanted.position] == Ascii.question {
                    wanted.position &+= 1
                    continue
                }
                if let other = wanted.next(), areEqual(other, character, ignoringCase) { continue }
            }
            if star < 0 { return false }
            wanted.position = star
            found.position = taken
            _ = found.next()
            taken = found.position
        }
    }

    private static let asterisk: UInt8 = 0x2A

    /// Nil where there is another star.
    private static func charactersAfterLastStar(_ pattern: Span<UInt8>, from start: Int) -> Int? {
        var rest = URICharacters(pattern, ByteRange(start, pattern.wholeRange.end))
        var count = 0
        while rest.position < pattern.count {
            if pattern[rest.position] == asterisk { return nil }
            _ = rest.next()
            count &+= 1
        }
        return count
    }

    /// False where there are fewer than `tail`.
    private static func skipAll(but tail: Int, in characters: inout URICharacters) -> Bool {
        var ahead = characters
        for _ in 0..<tail { if ahead.next() == nil { return false } }
        while ahead.next() != nil { _ = characters.next() }
        return true
    }

    @inline(__always)
    private static func areEqual(
        _ left: URICharacters.Character, _ right: URICharacters.Character, _ ignoringCase: Bool
    ) -> Bool {
        left == right
            || ignoringCase && left.isEscaped == right.isEscaped
                && left.byte.lowercased == right.byte.lowercased
    }
}
