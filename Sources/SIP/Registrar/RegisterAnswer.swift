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

    /// Writes the line `Date: Sat, 13 Nov 2010 23:29:00 GMT` (§10.3 step 8, §20.17): a phone without a clock
    /// sets its own by it. - Parameter now: seconds since 1970.
    package static func writeDate(now: UInt64, to writer: inout ByteWriter) {
        let days = now / 86400
        let (year, month, day) = civil(days)
        writer.append("Date: ")
        // 1970 began on a Thursday.
        writer.append(weekdays[Int(days % 7)])
        writer.append(", ")
        writeTwoDigits(day, to: &writer)
        writer.append(" ")
        writer.append(months[month - 1])
        writer.append(" ")
        writer.append(decimal: year)
        writer.append(" ")
        writeTwoDigits(Int(now / 3600 % 24), to: &writer)
        writer.append(":")
        writeTwoDigits(Int(now / 60 % 60), to: &writer)
        writer.append(":")
        writeTwoDigits(Int(now % 60), to: &writer)
        writer.append(" GMT\r\n")
    }

    private static let weekdays: InlineArray<7, StaticString> = [
        "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed",
    ]
    private static let months: InlineArray<12, StaticString> = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// Year, month and day of the Gregorian calendar, from days since 1970. Counted from the first of March,
    /// so that a leap day is a year's last:
    ///
    ///     146,097 days in 400 years, 36,524 in 100, 1461 in 4
    ///     month m of such a year begins on day (153 m + 2) / 5
    private static func civil(_ days: UInt64) -> (year: Int, month: Int, day: Int) {
        let sinceMarch = Int(days) + 719_468
        let era = sinceMarch / 146_097
        let dayOfEra = sinceMarch % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func writeTwoDigits(_ value: Int, to writer: inout ByteWriter) {
        writer.append(0x30 &+ UInt8(truncatingIfNeeded: value / 10))
        writer.append(0x30 &+ UInt8(truncatingIfNeeded: value % 10))
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
