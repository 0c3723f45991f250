extension Span<UInt8> {
    /// True where both hold the same bytes.
    package func isEqual(to other: Span<UInt8>) -> Bool {
        if count != other.count { return false }
        for index in indices where self[index] != other[index] { return false }
        return true
    }
}
