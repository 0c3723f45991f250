extension ScanPass {
    /// Checks a value that a proxy depends on. Wrong values in other header fields are left to those who read
    /// them.
    @inline(__always)
    mutating func scanField(_ id: HeaderID, _ value: ByteRange, _ isFirst: Bool, _ index: inout MessageIndex)
    {
        switch id {
        case .via:
            guard isFirst else {
                if index.first(.via).count == 2 && index.topVia.rest == 0 { index.lowerVias = value }
                return
            }
            guard let via = Via.parse(bytes, value) else { return note(.badVia) }
            index.topVia = via
            if via.rest != 0 { index.lowerVias = ByteRange(Int(via.rest), value.end) }
        case .from:
            guard isFirst else { return note(.duplicateFrom) }
            if let tag = scanAddress(value) { index.fromTag = tag } else { note(.badFrom) }
        case .to:
            guard isFirst else { return note(.duplicateTo) }
            if let tag = scanAddress(value) { index.toTag = tag } else { note(.badTo) }
        case .callID:
            guard isFirst else { return note(.duplicateCallID) }
            index.callID = value
            if value.isEmpty || bytes.first(value.start, value.end, { $0.blankOrControl }) < value.end {
                note(.badCallID)
            }
        case .cseq:
            guard isFirst else { return note(.duplicateCSeq) }
            if !scanCSeq(value, &index) { note(.badCSeq) }
        case .maxForwards:
            guard index.isRequest else { return }  // means nothing in a response
            guard isFirst else { return note(.duplicateMaxForwards) }
            // §20.22: 0 to 255.
            if let number = parseDecimal(bytes, value), number <= 255 {
                index.maxForwards = Int16(truncatingIfNeeded: number)
            } else {
                note(.badMaxForwards)
            }
        case .contentLength:
            guard isFirst else {
                // Which one counts cannot be known, so none does.
                index.contentLength = -1
                return note(.duplicateContentLength)
            }
            if let number = parseDecimal(bytes, value), number <= UInt64(Int32.max) {
                index.contentLength = Int32(truncatingIfNeeded: number)
            } else {
                note(.badContentLength)
            }
        default: break
        }
    }

    /// The tag of a From or To value, an empty range where it has none; nil where the value is broken. A
    /// comma is no separator here, for there is but one value.
    @inline(__always)
    private func scanAddress(_ value: ByteRange) -> ByteRange? {
        guard let address = NameAddress.parse(bytes, value), Int(address.end) == value.end else { return nil }
        return address.tag
    }

    /// Sequence number below 2**31, white space, method (RFC 3261 §8.1.1.5, §20.16).
    @inline(__always)
    private func scanCSeq(_ value: ByteRange, _ index: inout MessageIndex) -> Bool {
        var place = value.start
        while place < value.end && bytes[place].isDigit { place &+= 1 }
        guard let number = parseDecimal(bytes, ByteRange(value.start, place)), number < 1 << 31 else {
            return false
        }
        let method = bytes.skippingWhitespace(place, value.end)
        guard method > place, method < value.end else { return false }
        place = method
        while place < value.end && CharacterSet.token.contains(bytes[place]) { place &+= 1 }
        guard place == value.end else { return false }
        index.cseqNumber = UInt32(truncatingIfNeeded: number)
        index.cseqMethodRange = ByteRange(method, place)
        index.cseqMethod = Method(bytes, index.cseqMethodRange)
        return true
    }
}
