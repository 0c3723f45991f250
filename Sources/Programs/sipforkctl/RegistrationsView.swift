import Platform
import SharedState

/// `registrations`: addresses of record and their contacts.
struct RegistrationsView: View, Equatable {
    struct Contact: Equatable {
        let uri: String
        /// Seconds left.
        let expires: Int
        /// Thousandths.
        let q: Int
        /// Path values (RFC 3327), joined by commas; nil for none.
        let path: String?
        let userAgent: String?
    }

    struct Registration: Equatable {
        let addressOfRecord: String
        let contacts: [Contact]
    }

    var registrations: [Registration] = []

    var json: JSON {
        .array(
            registrations.map { registration in
                [
                    "aor": .string(registration.addressOfRecord),
                    "contacts": .array(
                        registration.contacts.map { contact in
                            [
                                "uri": .string(contact.uri), "expires": .number(contact.expires),
                                "q": .thousandths(contact.q), "path": .optional(contact.path),
                                "user_agent": .optional(contact.userAgent),
                            ]
                        }),
                ]
            })
    }

    var text: String {
        if registrations.isEmpty { return "no registrations\n" }
        var rows: [[String]] = []
        for registration in registrations {
            for (index, contact) in registration.contacts.enumerated() {
                rows.append([
                    index == 0 ? Layout.printable(registration.addressOfRecord) : "",
                    Layout.printable(contact.uri),
                    Layout.duration(contact.expires), Decimal.thousandths(contact.q),
                    Layout.printable(contact.userAgent ?? "-"), Layout.printable(contact.path ?? "-"),
                ])
            }
        }
        return Layout.table(
            ["ADDRESS OF RECORD", "CONTACT", "EXPIRES IN", "Q", "USER AGENT", "PATH"], rows, right: [2])
    }
}

extension RegistrationsView {
    /// - Parameter only: one address of record; nil: all.
    init(reading state: SharedState, only text: String?) {
        let now = Clock.epochSeconds()
        var cursor = LocationCursor(state.locations)
        if let text {
            let uri = AddressOfRecord.uri(text, state) ?? text
            if let bytes = AddressOfRecord.canonical(uri), let set = cursor.find(bytes.span) {
                add(set, now)
            }
        } else {
            while let set = cursor.next() { add(set, now) }
        }
        registrations.sort { $0.addressOfRecord < $1.addressOfRecord }
    }

    private mutating func add(_ set: BindingSet, _ now: UInt64) {
        var contacts: [Contact] = []
        for binding in set where binding.expiresAt > now {
            contacts.append(
                Contact(
                    uri: String(binding.uri), expires: Int(clamping: binding.expiresAt - now),
                    q: Int(binding.q), path: binding.path.isEmpty ? nil : String(binding.path),
                    userAgent: binding.userAgent.isEmpty ? nil : String(binding.userAgent)))
        }
        if !contacts.isEmpty {
            registrations.append(Registration(addressOfRecord: String(set.aor), contacts: contacts))
        }
    }
}

extension String {
    /// Faulty UTF-8 becomes U+FFFD.
    init(_ bytes: Span<UInt8>) {
        self = unsafe bytes.withUnsafeBufferPointer { unsafe String(decoding: $0, as: UTF8.self) }
    }
}
