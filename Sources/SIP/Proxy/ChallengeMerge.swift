import Platform
import Syntax

/// Joins the challenges of several forks in one response (RFC 3261 §16.7 step 7): the header lines
/// WWW-Authenticate and Proxy-Authenticate of each further 401 or 407 are put behind those of the best one.
package enum ChallengeMerge {
    package static func isChallenge(_ status: UInt16) -> Bool { status == 401 || status == 407 }

    /// Bytes that `write` adds at most.
    package static func bytes(of response: borrowing Message) -> Int {
        var sum = 0
        var lines = response.lines
        while let line = lines.next() {
            if isChallenge(line.id) { sum += Int(line.field.lineEnd) - Int(line.field.line) }
        }
        return sum
    }

    /// `best` with the challenge lines of `other`, all else byte for byte.
    package static func write(
        _ best: borrowing Message, adding other: borrowing Message, to writer: inout ByteWriter
    ) {
        let end = Int(best.index.headersEnd)
        writer.append(best.bytes, from: 0, to: end)
        var lines = other.lines
        while let line = lines.next() {
            if isChallenge(line.id) {
                writer.append(other.bytes, from: Int(line.field.line), to: Int(line.field.lineEnd))
            }
        }
        writer.append(best.bytes, from: end, to: best.bytes.count)
    }

    private static func isChallenge(_ id: HeaderID) -> Bool {
        id == .wwwAuthenticate || id == .proxyAuthenticate
    }
}
