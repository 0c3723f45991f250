/// The begin of a request of ours as an ICMP message brings it back: cut short anywhere, and written by whoever
/// sent that message.
package enum ReturnedRequest {
    /// The branch of the first Via, if the bytes are the begin of a request and reach that far; it may be cut.
    package static func branch(_ bytes: Span<UInt8>) -> ByteRange? {
        let limit = Swift.min(bytes.count, 0xFFFF)
        guard limit > 4, bytes.key(0, 4) != Word.key("sip/") else { return nil }
        var place = bytes.first(0, limit) { $0.lineEnd }
        while place < limit {
            while place < limit && bytes[place].isWhitespace { place &+= 1 }
            let line = RawLine(bytes, at: place, limit: limit)
            let end = line.isTerminated ? line.textEnd : limit
            if line.hasColon && HeaderID(bytes, ByteRange(place, line.nameEnd)) == .via {
                return branch(bytes, line.valueStart, end)
            }
            guard line.isTerminated else { return nil }
            place = line.end
        }
        return nil
    }

    /// True where the request is of that method.
    package static func isMethod(_ bytes: Span<UInt8>, _ name: StaticString) -> Bool {
        let count = name.utf8CodeUnitCount
        guard bytes.count > count, bytes[count] == Ascii.space else { return false }
        return bytes.matches(ByteRange(0, count), name)
    }

    /// The value of the first "branch=" in `start ..< end`: we write it without white space.
    private static func branch(_ bytes: Span<UInt8>, _ start: Int, _ end: Int) -> ByteRange? {
        var place = start
        while true {
            place = bytes.first(place, end) { $0.equal(Ascii.semicolon) } &+ 1
            guard place &+ 7 < end else { return nil }
            if bytes.key(place, 7) == Word.key("branch=") {
                return ByteRange(place &+ 7, bytes.first(place &+ 7, end) { $0.parameterValueEnd })
            }
        }
    }
}
