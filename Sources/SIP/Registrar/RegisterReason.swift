/// How a REGISTER was answered: travels from the locator to the worker, or to the master, as `Mail.flags`.
package enum RegisterReason: UInt8, CaseIterable, BitwiseCopyable, Sendable {
    /// 200 with the bindings as they are now.
    case accepted = 0
    case badTo, badContact, badExpires, badWildcard, contactTooLong, callIDTooLong
    /// A CSeq not higher than that of a binding with the same Call-ID.
    case outOfOrder
    case tooManyContacts
    /// 423 with Min-Expires.
    case intervalTooBrief
    /// The store could not write: nothing has changed.
    case storageFailed
    /// 503 with Retry-After.
    case tableFull
    /// The stored request was gone or unreadable.
    case requestGone
    /// RFC 3327: a Path that could not be a Route, or is too long to be kept.
    case badPath, pathTooLong
    /// A command of the control tool removes what is not there; a REGISTER may.
    case noSuchBinding

    /// The reason of that number; `requestGone` for one that we do not know.
    package init(code: UInt16) {
        self = RegisterReason(rawValue: UInt8(truncatingIfNeeded: code)) ?? .requestGone
    }

    package var status: UInt16 {
        switch self {
        case .accepted: 200
        case .badTo, .badContact, .badExpires, .badWildcard, .contactTooLong, .callIDTooLong, .badPath,
            .pathTooLong:
            400
        case .tooManyContacts: 403
        case .noSuchBinding: 404
        case .intervalTooBrief: 423
        case .outOfOrder, .storageFailed, .requestGone: 500
        case .tableFull: 503
        }
    }

    /// The reason phrase, which names the fault.
    package var text: StaticString {
        switch self {
        case .accepted: "OK"
        case .badTo: "Bad To URI"
        case .badContact: "Bad Contact"
        case .badExpires: "Bad Expires"
        case .badWildcard: "Contact * needs Expires: 0 and no other contact"
        case .contactTooLong: "Contact too long"
        case .callIDTooLong: "Call-ID too long"
        case .outOfOrder: "CSeq out of order"
        case .tooManyContacts: "Too many contacts"
        case .intervalTooBrief: "Interval Too Brief"
        case .storageFailed: "Location storage failed"
        case .tableFull: "Location table full"
        case .requestGone: "Server Internal Error"
        case .badPath: "Bad Path"
        case .pathTooLong: "Path too long"
        case .noSuchBinding: "No such binding"
        }
    }
}
