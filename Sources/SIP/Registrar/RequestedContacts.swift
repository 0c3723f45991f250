import Platform
import SharedState
import Syntax

/// One Contact value of a REGISTER.
package struct RequestedContact: BitwiseCopyable {
    /// Ranges into the request.
    package var uri: SIPURI
    /// Seconds, within the limits; 0 removes.
    package var expires: UInt64
    /// Seconds since 1970; set when the binding is made.
    package var expiresAt: UInt64 = 0
    /// Thousandths; 1000 without q.
    package var q: UInt16
}

/// The Contact values of a REGISTER, checked; or the first thing wrong with them.
struct RequestedContacts {
    /// Longer texts are refused: a record with all its contacts must fit one block, and one 200.
    static let longestContact = 2048
    static let longestCallID = 1024

    var contacts: [RequestedContact] = []
    /// `Contact: *` with `Expires: 0`.
    var isWildcard = false

    enum Result {
        case success(RequestedContacts)
        case failure(RegisterReason)
    }

    static func parse(_ request: borrowing Message, limits: RegistrarLimits) -> Result {
        let bytes = request.bytes
        if request.callID.count > longestCallID { return .failure(.callIDTooLong) }
        var header: UInt64?
        if request.index.has(.expires) {
            guard let seconds = deltaSeconds(bytes, request.index.first(.expires).value) else {
                return .failure(.badExpires)
            }
            header = seconds
        }
        var result = RequestedContacts()
        var values = request.values(.contact)
        while let value = values.next() {
            if bytes.matches(value.range, "*") {
                if result.isWildcard { return .failure(.badWildcard) }
                result.isWildcard = true
                continue
            }
            switch contact(bytes, value.range, header: header, limits: limits) {
            case .failure(let reason): return .failure(reason)
            case .success(let contact): result.contacts.append(contact)
            }
        }
        if result.isWildcard && (!result.contacts.isEmpty || header != 0) { return .failure(.badWildcard) }
        if request.index.has(.contact) && !result.isWildcard && result.contacts.isEmpty {
            return .failure(.badContact)
        }
        return .success(result)
    }

    private enum ContactResult {
        case success(RequestedContact)
        case failure(RegisterReason)
    }

    private static func contact(
        _ bytes: Span<UInt8>, _ range: ByteRange, header: UInt64?, limits: RegistrarLimits
    ) -> ContactResult {
        guard let address = NameAddress.parse(bytes, range), Int(address.end) == range.end,
            let uri = SIPURI.parse(bytes, address.uri)
        else { return .failure(.badContact) }
        if uri.whole.count > longestContact { return .failure(.contactTooLong) }
        var expires = header ?? limits.defaultExpires
        if let parameter = address.parameter(named: "expires", bytes) {
            // RFC 3261 §20.10: a malformed value counts as 3600.
            expires = deltaSeconds(bytes, parameter.unquoted(bytes)) ?? 3600
        }
        if expires > 0 {
            // Only intervals below an hour may be refused, §10.3; the configuration sees to that.
            if expires < limits.minExpires { return .failure(.intervalTooBrief) }
            expires = min(expires, limits.maxExpires)
        }
        var q: UInt16 = 1000
        if let parameter = address.parameter(named: "q", bytes) {
            guard let thousandths = qThousandths(bytes, parameter.value) else { return .failure(.badContact) }
            q = UInt16(thousandths)
        }
        return .success(RequestedContact(uri: uri, expires: expires, q: q))
    }

    /// Digits only; a number beyond 32 bits counts as the largest, which the limits bring down.
    private static func deltaSeconds(_ bytes: Span<UInt8>, _ range: ByteRange) -> UInt64? {
        if range.isEmpty { return nil }
        var seconds: UInt64 = 0
        for place in range.start..<range.end {
            let digit = bytes[place] &- 0x30
            if digit > 9 { return nil }
            seconds = min(seconds * 10 + UInt64(digit), UInt64(UInt32.max))
        }
        return seconds
    }
}
