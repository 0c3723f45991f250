import Platform
import Syntax

/// `sipforkctl register` and `unregister`: as the tool sends them to the master, and as a REGISTER for the
/// locator, which so makes and removes their bindings by the rules that hold for all.
///
///     register␊sip:alice@example.org␊sip:alice@192.0.2.4:5062␊3600␊0.5␊<sip:edge.example.org;lr>␊
///     unregister␊sip:alice@example.org␊␊␊␊␊
package struct RegisterCommand: Equatable {
    package enum Action: String {
        case register, unregister
    }

    package var action: Action
    /// The URI of the address of record.
    package var addressOfRecord: String
    /// A URI without angle brackets. Empty, for `unregister` alone: every contact.
    package var contact: String
    /// Seconds, q and Path values as a REGISTER has them; empty where not given.
    package var expires = ""
    package var q = ""
    package var path = ""

    /// The longest that is sent, and the longest REGISTER that is made of one.
    package static let longest = 8192

    package init(_ action: Action, _ addressOfRecord: String, contact: String) {
        self.action = action
        self.addressOfRecord = addressOfRecord
        self.contact = contact
    }

    // MARK: from the tool to the master

    private static let separator = UInt8(ascii: "\n")

    package var encoded: [UInt8] {
        let fields = [action.rawValue, addressOfRecord, contact, expires, q, path]
        return fields.flatMap { Array($0.utf8) + [RegisterCommand.separator] }
    }

    /// Nil where `bytes` are no such command.
    package init?(decoding bytes: Span<UInt8>) {
        var fields: [String] = []
        var field: [UInt8] = []
        for index in bytes.indices {
            if bytes[index] == RegisterCommand.separator {
                fields.append(String(decoding: field, as: UTF8.self))
                field.removeAll(keepingCapacity: true)
            } else {
                field.append(bytes[index])
            }
        }
        guard field.isEmpty, fields.count == 6, let action = Action(rawValue: fields[0]) else { return nil }
        self.init(action, fields[1], contact: fields[2])
        (expires, q, path) = (fields[3], fields[4], fields[5])
    }

    // MARK: checks

    /// What is wrong with the form of it; nil for nothing. The rules of the registrar come later.
    package var fault: RegisterReason? {
        if !isAddressOfRecord { return .badTo }
        let isEveryContact = action == .unregister && contact.isEmpty
        if !isEveryContact && !RegisterCommand.isURI(contact) { return .badContact }
        if !expires.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) { return .badExpires }
        let number = Array(q.utf8)
        if !number.isEmpty && qThousandths(number.span, number.span.wholeRange) == nil { return .badContact }
        // The others can hold no line end by now.
        return path.utf8.contains { $0 < 0x20 || $0 == 0x7F } ? .badPath : nil
    }

    /// The address of record is a SIP URI with a user.
    private var isAddressOfRecord: Bool {
        let bytes = Array(addressOfRecord.utf8)
        guard let uri = SIPURI.parse(bytes.span) else { return false }
        return uri.isSIP && !uri.user.isEmpty
    }

    private static func isURI(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return SIPURI.parse(bytes.span) != nil
    }

    // MARK: from the master to the locator

    /// The REGISTER of a command without a fault; empty where that were too long. Each has a Call-ID of its
    /// own: with another one the rules ask for no order (§10.3 step 7), so that no command comes too late,
    /// whoever made the binding.
    ///
    /// - Parameters: number: of this command alone; host: our name.
    package func request(number: UInt64, host: String) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: RegisterCommand.longest) { buffer, count in
            var writer = unsafe ByteWriter(UnsafeMutableRawBufferPointer(buffer))
            write(number: number, host: host, to: &writer)
            count = writer.overflowed ? 0 : writer.count
        }
    }

    private func write(number: UInt64, host: String, to writer: inout ByteWriter) {
        let bytes = Array(addressOfRecord.utf8)
        guard let uri = SIPURI.parse(bytes.span) else { return writer.fail() }
        writer.append("REGISTER sip:")
        writer.append(bytes.span.slice(uri.host))
        writer.append(" SIP/2.0\r\nVia: SIP/2.0/UDP localhost;branch=z9hG4bK")
        writer.append(hexadecimal: number, digits: 16)
        writer.append("\r\nFrom: <")
        writer.append(bytes.span)
        writer.append(">;tag=sipforkctl\r\nTo: <")
        writer.append(bytes.span)
        writer.append(">\r\nCall-ID: sipforkctl-")
        writer.append(hexadecimal: number, digits: 16)
        writer.append("@")
        writer.append(string: host)
        writer.append("\r\nCSeq: 1 REGISTER\r\nUser-Agent: sipforkctl\r\n")
        writeContact(to: &writer)
        if !path.isEmpty {
            writer.append("Path: ")
            writer.append(string: path)
            writer.append("\r\n")
        }
        writer.append("Content-Length: 0\r\n\r\n")
    }

    private func writeContact(to writer: inout ByteWriter) {
        if contact.isEmpty {
            writer.append("Contact: *\r\nExpires: 0\r\n")
            return
        }
        writer.append("Contact: <")
        writer.append(string: contact)
        writer.append(">")
        if !q.isEmpty {
            writer.append(";q=")
            writer.append(string: q)
        }
        let seconds = action == .unregister ? "0" : expires
        if !seconds.isEmpty {
            writer.append(";expires=")
            writer.append(string: seconds)
        }
        writer.append("\r\n")
    }
}
