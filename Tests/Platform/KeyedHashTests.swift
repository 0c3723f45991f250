import Platform
import Testing

struct KeyedHashTests {
    /// SipHash-1-3 of the bytes 0, 1, 2 …: made with a separate implementation, the second set by CPython
    /// 3.11 (`PYTHONHASHSEED=1 python3 -c 'print(hash(bytes(range(n))))'`).
    struct Vector: CustomTestStringConvertible {
        let key0: UInt64
        let key1: UInt64
        let length: Int
        let hash: UInt64
        var testDescription: String { "\(length) bytes" }

        static let ascending: [Vector] = [
            (0, 0xabac_0158_050f_c4dc), (1, 0xc9f4_9bf3_7d57_ca93), (7, 0xd392_7d98_9bb1_1140),
            (8, 0x3690_9511_8d29_9a8e), (63, 0x9d19_9062_b7bb_b3a8),
        ].map { Vector(key0: 0x0706_0504_0302_0100, key1: 0x0f0e_0d0c_0b0a_0908, length: $0, hash: $1) }

        static let python: [Vector] = [
            (1, 0xecd3_e5af_cecd_a4b9), (3, 0x8d5b_20ab_227b_a858), (7, 0xfd15_e780_52a6_9ddf),
            (8, 0xc0b5_739e_7e28_dd01), (9, 0x208a_1a5a_0cbb_f778), (15, 0xfa87_985f_39e9_7a53),
            (16, 0x12e9_d283_f9f3_7002), (31, 0xb8c1_7103_f21d_8810), (63, 0x5420_5234_5bc6_8274),
        ].map { Vector(key0: 0xaed6_6ce1_84be_2329, key1: 0xebe9_bbf1_f149_9052, length: $0, hash: $1) }
    }

    @Test(arguments: Vector.ascending + Vector.python)
    func agreesWithTheReference(_ vector: Vector) {
        let bytes = (0..<vector.length).map { UInt8($0) }
        var hash = KeyedHash(key0: vector.key0, key1: vector.key1)
        hash.combine(bytes.span)
        #expect(hash.finalize() == vector.hash)
        // Asking changes nothing.
        #expect(hash.finalize() == vector.hash)
    }

    @Test(arguments: 0..<9)
    func takesWordsAsTheirBytes(_ before: Int) {
        let word: UInt64 = 0x8877_6655_4433_2211
        var words = KeyedHash(key0: 3, key1: 4)
        var bytes = KeyedHash(key0: 3, key1: 4)
        for index in 0..<before {
            words.combine(UInt8(index))
            bytes.combine(UInt8(index))
        }
        words.combine(word)
        for shift in 0..<8 { bytes.combine(UInt8(truncatingIfNeeded: word >> UInt64(shift * 8))) }
        words.combine(0xEE as UInt8)
        bytes.combine(0xEE as UInt8)
        #expect(words.finalize() == bytes.finalize())
    }

    @Test func lowersLettersOnly() {
        func hash(_ text: String, lowering: Bool) -> UInt64 {
            let bytes = Array(text.utf8)
            var hash = KeyedHash(key0: 1, key1: 2)
            if lowering { hash.combine(lowercasing: bytes.span) } else { hash.combine(bytes.span) }
            return hash.finalize()
        }
        #expect(hash("AZ@[`{Ä-az", lowering: true) == hash("az@[`{Ä-az", lowering: false))
        #expect(hash("Host", lowering: false) != hash("host", lowering: false))
    }

    @Test func dependsOnBothKeysAndTheLength() {
        var hashes: Set<UInt64> = []
        for (key0, key1, count) in [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2), (0, 0, 0)]
            as [(UInt64, UInt64, Int)]
        {
            var hash = KeyedHash(key0: key0, key1: key1)
            for _ in 0..<count { hash.combine(0 as UInt8) }
            hashes.insert(hash.finalize())
        }
        #expect(hashes.count == 5)
    }
}
