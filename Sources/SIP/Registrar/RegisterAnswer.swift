import Platform
import SharedState

/// The header fields of the answer to a REGISTER that speak of bindings.
package enum RegisterAnswer {
    /// Writes a line `Contact: <uri>;expires=N;q=0.5` for each binding alive at `now` (seconds since 1970),
    /// as §10.3 step 8 wants it: the seconds that are left. Without q where it is 1.
    package static func writeContacts(set: BindingSet, now: UInt64, to writer: inout ByteWriter) {
        for binding in set where binding.expiresAt > now {
            writer.append("Contact: <")
            writer.append(binding.uri)
            writer.append(">;expires=")
            writer.append(decimal: binding.expiresAt &- now)
            if binding.q != 1000 {
                writer.append(";q=0")
                writeThousandths(binding.q, to: &writer)
            }
            writer.append("\r\n")
        }
    }

    /// ".5" for 500, ".125" for 125, nothing for 0.
    private static func writeThousandths(_ q: UInt16, to writer: inout ByteWriter) {
        var rest = q % 1000
        if rest > 0 { writer.append(0x2E) }
        while rest > 0 {
            writer.append(0x30 &+ UInt8(rest / 100))
            rest = rest % 100 * 10
        }
    }
}
