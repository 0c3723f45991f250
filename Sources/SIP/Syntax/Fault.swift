/// What the scanner found.
package enum ScanResult: Equatable, Sendable {
    /// A message that keeps the rules a proxy depends on.
    case complete
    /// No SIP start line: keep-alive, other protocol, garbage. Dropped without an answer.
    case notSIP
    /// SIP, but wrong: requests other than ACK are answered with `fault.status`, responses dropped.
    case faulty(Fault)
}

/// The first thing wrong with a message.
package enum Fault: UInt8, CaseIterable, Equatable, Sendable {
    case badStartLine, badRequestURI, unsupportedVersion, badStatusCode
    case headerWithoutColon, bareLineEnd, headerNotTerminated, messageTooLarge
    case missingVia, missingFrom, missingTo, missingCallID, missingCSeq
    case badVia, badFrom, badTo, badCallID, badCSeq, badMaxForwards, badContentLength
    case methodMismatch, bodyTooShort
    case duplicateFrom, duplicateTo, duplicateCallID, duplicateCSeq, duplicateMaxForwards,
        duplicateContentLength
    /// Of streams only (`StreamFramer`).
    case missingContentLength, headerTooLarge

    /// The status of the answer: 400, or 505 and 513 where RFC 3261 §21 has a code of its own.
    package var status: UInt16 {
        switch self {
        case .unsupportedVersion: 505
        case .messageTooLarge, .headerTooLarge: 513
        default: 400
        }
    }

    /// The reason phrase of the answer, which names the fault.
    package var reason: StaticString {
        switch self {
        case .badStartLine: "Bad start line"
        case .badRequestURI: "Bad Request-URI"
        case .unsupportedVersion: "Version Not Supported"
        case .badStatusCode: "Bad status code"
        case .headerWithoutColon: "Header field without colon"
        case .bareLineEnd: "CR or LF alone"
        case .headerNotTerminated: "Header not terminated"
        case .messageTooLarge: "Message Too Large"
        case .missingVia: "Missing Via"
        case .missingFrom: "Missing From"
        case .missingTo: "Missing To"
        case .missingCallID: "Missing Call-ID"
        case .missingCSeq: "Missing CSeq"
        case .badVia: "Bad Via"
        case .badFrom: "Bad From"
        case .badTo: "Bad To"
        case .badCallID: "Bad Call-ID"
        case .badCSeq: "Bad CSeq"
        case .badMaxForwards: "Bad Max-Forwards"
        case .badContentLength: "Bad Content-Length"
        case .methodMismatch: "CSeq method does not match"
        case .bodyTooShort: "Body shorter than Content-Length"
        case .duplicateFrom: "Duplicate From"
        case .duplicateTo: "Duplicate To"
        case .duplicateCallID: "Duplicate Call-ID"
        case .duplicateCSeq: "Duplicate CSeq"
        case .duplicateMaxForwards: "Duplicate Max-Forwards"
        case .duplicateContentLength: "Duplicate Content-Length"
        case .missingContentLength: "Missing Content-Length"
        case .headerTooLarge: "Header Too Large"
        }
    }
}
