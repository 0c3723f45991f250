import Syntax

/// Why the proxy core refuses a request before it looks for targets (RFC 3261 §16.3, §16.4).
package enum Refusal: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    case badRequestURI, badRoute, badMaxBreadth
    case unsupportedScheme, unknownExtension, tooManyHops
    /// A telephone number of somebody else's dialling plan (RFC 3966 §5.1.5).
    case foreignPhoneContext

    package var status: UInt16 {
        switch self {
        case .badRequestURI, .badRoute, .badMaxBreadth: 400
        case .foreignPhoneContext: 404
        case .unsupportedScheme: 416
        case .unknownExtension: 420
        case .tooManyHops: 483
        }
    }

    /// The reason phrase; it names a fault.
    package var reason: StaticString {
        switch self {
        case .badRequestURI: "Bad Request-URI"
        case .badRoute: "Bad Route"
        case .badMaxBreadth: "Bad Max-Breadth"
        case .foreignPhoneContext: "Phone context not served here"
        case .unsupportedScheme, .unknownExtension, .tooManyHops: ReasonPhrase.text(status)
        }
    }
}
