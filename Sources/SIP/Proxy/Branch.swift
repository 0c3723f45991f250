import Platform
import SharedState
import Syntax

/// The branch parameter of our Via: names the fork, so that its response finds the worker without a search.
///
///     z9hG4bK s 0100000200000007 01 00 9f86d081884c7d65 5c3fb1d24a27cc1e
///               server           │  │  keyed check      loop mark
///               transaction   fork  attempt
///
/// It is derived from the record, not drawn: a worker that does its turn again sends the same bytes. A
/// request that is forwarded without a transaction (ACK to a 2xx, CANCEL that matches nothing) has the
/// transaction 0, and a check over the branch below, Call-ID, CSeq number (§16.11) and the address that the
/// answer goes to, which its response repeats. The loop mark (`LoopCheck`) is of the request that came in, and matters to nobody but us when the
/// request comes here again.
package struct Branch: BitwiseCopyable, Equatable {
    package static let length = 7 + 1 + 16 + 2 + 2 + 16 + 16

    package var transaction: TransactionReference
    package var fork: UInt8
    package var attempt: UInt8
    package var check: UInt64
    package var loopMark: UInt64

    private init(
        transaction: TransactionReference, fork: UInt8, attempt: UInt8, check: UInt64, loopMark: UInt64
    ) {
        self.transaction = transaction
        self.fork = fork
        self.attempt = attempt
        self.check = check
        self.loopMark = loopMark
    }

    /// The branch of a fork.
    package init(
        _ transaction: TransactionReference, fork: UInt8, attempt: UInt8, loopMark: UInt64 = 0, keys: Keys
    ) {
        var hash = keys.marks(.branch)
        hash.combine(transaction.rawValue)
        hash.combine(UInt64(fork) << 8 | UInt64(attempt))
        hash.combine(loopMark)
        self.init(
            transaction: transaction, fork: fork, attempt: attempt, check: hash.finalize(),
            loopMark: loopMark)
    }

    /// The branch of a request that is forwarded without state.
    package init(
        statelessOver branch: Span<UInt8>, callID: Span<UInt8>, cseq: UInt32, answeredTo: AnswerAddress,
        loopMark: UInt64, keys: Keys
    ) {
        var hash = keys.marks(.statelessBranch)
        hash.combine(branch)
        hash.combine(UInt8(0))
        hash.combine(callID)
        hash.combine(UInt64(cseq))
        answeredTo.combine(into: &hash)
        hash.combine(loopMark)
        self.init(transaction: .none, fork: 0, attempt: 0, check: hash.finalize(), loopMark: loopMark)
    }

    package var isStateless: Bool { transaction.isNone }

    /// Reads a branch; nil where it has not our form. Whether it is ours is for `isGenuine`.
    package init?(_ text: Span<UInt8>) {
        guard text.count == Branch.length else { return nil }
        let magic: StaticString = "z9hG4bKs"
        for index in 0..<8 {
            if unsafe text[index] != magic.utf8Start[index] { return nil }
        }
        guard let transaction = Branch.number(text, 8, 16), let fork = Branch.number(text, 24, 2),
            let attempt = Branch.number(text, 26, 2), let check = Branch.number(text, 28, 16),
            let loopMark = Branch.number(text, 44, 16)
        else { return nil }
        self.init(
            transaction: TransactionReference(rawValue: transaction), fork: UInt8(fork),
            attempt: UInt8(attempt), check: check, loopMark: loopMark)
    }

    static func number(_ text: Span<UInt8>, _ start: Int, _ digits: Int) -> UInt64? {
        var value: UInt64 = 0
        var start = start
        var digits = digits
        while digits >= 8 {
            guard let eight = Branch.eightDigits(text, start) else { return nil }
            value = value << 32 | eight
            start += 8
            digits -= 8
        }
        for index in start..<(start + digits) {
            let byte = text[index]
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte &- 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(byte &- 0x57)
            default: return nil
            }
        }
        return value
    }

    /// Eight digits at once, in lower case as we write them.
    private static func eightDigits(_ text: Span<UInt8>, _ start: Int) -> UInt64? {
        precondition(start >= 0 && start + 8 <= text.count)
        // Inside, as was just seen. The first digit in the highest byte.
        let word = UInt64(
            bigEndian: unsafe text.bytes.unsafeLoadUnaligned(
                fromUncheckedByteOffset: start, as: UInt64.self))
        let (ones, high) = (0x0101_0101_0101_0101 as UInt64, 0x8080_8080_8080_8080 as UInt64)
        // The highest bit of each byte: at least "0", beyond "9", at least "a", beyond "f". No sum carries.
        let low = word & ~high
        let isDigit = (low &+ ones &* (0x80 - 0x30)) & ~(low &+ ones &* (0x80 - 0x3A))
        let isLetter = (low &+ ones &* (0x80 - 0x61)) & ~(low &+ ones &* (0x80 - 0x67))
        if (isDigit | isLetter) & ~word & high != high { return nil }
        var value = (word & 0x0F0F_0F0F_0F0F_0F0F) &+ (isLetter & high) >> 7 &* 9
        value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
        value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
        return (value | value >> 16) & 0xFFFF_FFFF
    }

    /// True where the check is the one that we would have made.
    package func isGenuine(keys: Keys) -> Bool {
        !isStateless
            && Branch(transaction, fork: fork, attempt: attempt, loopMark: loopMark, keys: keys) == self
    }

    package func write(to writer: inout ByteWriter) {
        writer.append("z9hG4bKs")
        writer.append(hexadecimal: transaction.rawValue, digits: 16)
        writer.append(hexadecimal: UInt64(fork), digits: 2)
        writer.append(hexadecimal: UInt64(attempt), digits: 2)
        writer.append(hexadecimal: check, digits: 16)
        writer.append(hexadecimal: loopMark, digits: 16)
    }

    /// The look-up key of the fork's record.
    package func key(keys: Keys, cancel: Bool) -> UInt64 {
        Branch.key(transaction, fork: fork, attempt: attempt, keys: keys, cancel: cancel)
    }

    /// The same where nothing else of the branch is wanted.
    package static func key(
        _ transaction: TransactionReference, fork: UInt8, attempt: UInt8, keys: Keys, cancel: Bool
    ) -> UInt64 {
        var hash = keys.tables
        hash.combine(transaction.rawValue)
        hash.combine(UInt64(fork) << 16 | UInt64(attempt) << 8 | (cancel ? 1 : 0))
        return hash.finalize()
    }
}

/// Where the answer to a request goes, by its Via: who gets a branch of ours in a request may send answers to
/// nobody else with it.
package struct AnswerAddress {
    private let transport: UInt8
    /// By UDP with its port; by connections they are found otherwise.
    private let address: SocketAddress

    private init(_ via: Via, _ address: SocketAddress) {
        transport = via.transport.rawValue
        self.address = via.transport == .udp ? address : address.host
    }

    /// Of a request, whose top Via gets `received` and `rport` as it goes on.
    package init(_ request: borrowing Message, from peer: SocketAddress) {
        let via = request.index.topVia
        var address = peer
        if !via.hasRport { address.port = via.portOrDefault }
        self.init(via, address)
    }

    /// As a Via below ours says it.
    package init(of via: Via, _ bytes: Span<UInt8>) {
        let host = via.received.isEmpty ? via.host : via.received
        let port = via.rportValue != 0 ? via.rportValue : via.portOrDefault
        self.init(via, SocketAddress(host: bytes.slice(host), port: port) ?? SocketAddress())
    }

    fileprivate func combine(into hash: inout KeyedHash) {
        hash.combine(transport)
        hash.combine(UInt64(address.family) << 16 | UInt64(address.port))
        if address.isIPv4 {
            hash.combine(UInt64(address.ipv4))
        } else {
            for group in 0..<8 { hash.combine(UInt64(address.group(group))) }
        }
    }
}

/// The process graph of forks (design §4): fork i of a server transaction is worker (owner + i) mod workers'
/// job, so the first stays with its server transaction.
package enum ForkPlacement {
    package static func worker(owner: Int, fork: UInt8, workers: Int) -> Int { (owner + Int(fork)) % workers }
}
