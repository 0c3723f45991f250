/// How many single-character insertions, deletions, replacements and swaps of neighbours turn `left` into
/// `right`.
///
///     domain → domains   1 (one inserted)        lsiten → listen   1 (one swapped)
func editDistance(_ left: String, _ right: String) -> Int {
    let left = Array(left.utf8)
    let right = Array(right.utf8)
    // Rows of the classic table for the prefixes of `left` of length i - 2, i - 1 and i.
    var beforeLast = [Int](repeating: 0, count: right.count + 1)
    var last = Array(0...right.count)
    for i in 0..<left.count {
        var row = [i + 1] + [Int](repeating: 0, count: right.count)
        for j in 0..<right.count {
            let replaced = last[j] + (left[i] == right[j] ? 0 : 1)
            row[j + 1] = min(row[j] + 1, last[j + 1] + 1, replaced)
            if i > 0 && j > 0 && left[i] == right[j - 1] && left[i - 1] == right[j] {
                row[j + 1] = min(row[j + 1], beforeLast[j - 1] + 1)
            }
        }
        beforeLast = last
        last = row
    }
    return last[right.count]
}
