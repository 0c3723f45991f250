/// A message of a caller or callee while it is made. They are not counted, but a run must not take long.
struct Text {
    var bytes: [UInt8] = []

    mutating func add(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { unsafe bytes.append(text.utf8Start[index]) }
    }

    mutating func add(_ other: ArraySlice<UInt8>) { bytes += other }

    /// In nine digits, so that all calls are of one length.
    mutating func add(number: Int) {
        var divisor = 100_000_000
        while divisor > 0 {
            bytes.append(UInt8(number / divisor % 10) + 0x30)
            divisor /= 10
        }
    }

    func begins(_ text: StaticString) -> Bool { stands(text, at: 0) }

    private func stands(_ text: StaticString, at place: Int) -> Bool {
        guard bytes.count >= place + text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount
        where unsafe bytes[place + index] != text.utf8Start[index] { return false }
        return true
    }

    /// The lines of a name, with their ends.
    func lines(_ name: StaticString) -> ArraySlice<UInt8> {
        var found: ArraySlice<UInt8> = []
        var start = 0
        while start < bytes.count {
            var end = start
            while end < bytes.count && bytes[end] != 0x0A { end += 1 }
            end = min(end + 1, bytes.count)
            if stands(name, at: start) { found += bytes[start..<end] }
            if end - start <= 2 { break }
            start = end
        }
        return found
    }

    /// The value of the one line of a name.
    func value(_ name: StaticString) -> ArraySlice<UInt8> {
        lines(name).dropFirst(name.utf8CodeUnitCount).dropLast(2)
    }
}
