import Platform
import Testing

struct ByteWriterTests {
    @Test(arguments: [
        (0 as UInt64, "0"), (7, "7"), (10, "10"), (4_294_967_296, "4294967296"),
        (UInt64.max, "18446744073709551615"),
    ])
    func writesUnsignedDecimals(_ value: UInt64, _ text: String) {
        #expect(WriterProbe { $0.append(decimal: value) }.text == text)
    }

    @Test(arguments: [
        (0, "0"), (-1, "-1"), (Int.max, "9223372036854775807"), (Int.min, "-9223372036854775808"),
    ])
    func writesSignedDecimals(_ value: Int, _ text: String) {
        #expect(WriterProbe { $0.append(decimal: value) }.text == text)
    }

    @Test(arguments: [
        (0 as UInt64, 1, "0"), (0xAB, 4, "00ab"), (0x1234, 2, "34"), (UInt64.max, 16, "ffffffffffffffff"),
        (1, 18, "000000000000000001"),
    ])
    func writesHexadecimals(_ value: UInt64, _ digits: Int, _ text: String) {
        #expect(WriterProbe { $0.append(hexadecimal: value, digits: digits) }.text == text)
    }

    @Test func fillsItsRoomToTheLastByte() {
        let probe = WriterProbe(capacity: 5) { $0.append("hello") }
        #expect(probe.text == "hello")
        #expect(!probe.overflowed)
        #expect(probe.surroundingsAreIntact)
    }

    /// Whatever is appended behind the end is left out, and later appends that would fit are as well: a
    /// message with a hole is worse than none.
    @Test func leavesOutWhatDoesNotFit() {
        let tooLong: [UInt8] = Array("123456789".utf8)
        let appends: [(inout ByteWriter) -> Void] = [
            { $0.append("123456789") }, { $0.append(tooLong.span) }, { $0.append(string: "123456789") },
            { $0.append(hexadecimal: 1, digits: 9) },
        ]
        for append in appends {
            let probe = WriterProbe(capacity: 8) { writer in
                append(&writer)
                writer.append(0x41)
            }
            #expect(probe.text == "")
            #expect(probe.overflowed)
            #expect(probe.surroundingsAreIntact)
        }
        let decimal = WriterProbe(capacity: 8) { $0.append(decimal: 123_456_789 as UInt64) }
        #expect(decimal.overflowed)
        #expect(decimal.surroundingsAreIntact)
    }

    @Test func takesNothingAtCapacityZero() {
        let empty: [UInt8] = []
        let probe = WriterProbe(capacity: 0) { writer in
            writer.append(empty.span)
            writer.append(string: "")
        }
        #expect(!probe.overflowed)
        #expect(WriterProbe(capacity: 0) { $0.append(1) }.overflowed)
    }

    @Test func writesPartsOfBytes() {
        let bytes: [UInt8] = Array("abcdef".utf8)
        let probe = WriterProbe { writer in
            writer.append(bytes.span, from: 2, to: 5)
            writer.append(bytes.span, from: 3, to: 3)
        }
        #expect(probe.text == "cde")
    }

    @Test func resets() {
        let probe = WriterProbe(capacity: 4) { writer in
            writer.append("12345")
            writer.reset()
            writer.append("abc")
        }
        #expect(probe.text == "abc")
        #expect(!probe.overflowed)
    }
}
