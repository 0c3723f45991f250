// Framing of streams: the same messages however the bytes come, and the end of each where the scanner sees
// it.
import Syntax

private let limits = StreamFramer.Limits(header: 1024, message: 2048)

func checkStream(_ bytes: Span<UInt8>) {
    // Pieces of all sizes up to eight, as the bytes themselves say.
    let whole = frame(bytes, pieces: false)
    precondition(frame(bytes, pieces: true) == whole)
}

/// Ends of what was found, and what ended it.
private func frame(_ bytes: Span<UInt8>, pieces: Bool) -> [Int] {
    var framer = StreamFramer()
    var found: [Int] = []
    var from = 0
    var to = 0
    while to < bytes.count {
        to = pieces ? min(to + 1 + Int(bytes[to] & 7), bytes.count) : bytes.count
        stream: while true {
            let part = bytes.extracting(from..<to)
            switch framer.next(part, limits) {
            case .more: break stream
            case .blank(let count, let pings):
                precondition(count > 0 && count <= part.count && pings * 4 <= count + 3)
                from += count
                found += Array(repeating: -1, count: pings)
            case .message(let count):
                precondition(count > 0 && count <= part.count && count <= limits.message)
                checkMessage(part.extracting(0..<count))
                framer.begin()
                from += count
                found.append(from)
            case .faulty(let fault, let readable):
                precondition(readable <= part.count && readable <= limits.header)
                return found + [-2, Int(fault.rawValue), readable]
            case .notSIP: return found + [-3]
            }
        }
    }
    return found
}

private func checkMessage(_ bytes: Span<UInt8>) {
    var index = MessageIndex()
    guard Scanner.scan(bytes, into: &index) == .complete else { return }
    precondition(Int(index.end) == bytes.count && index.start == 0)
}
