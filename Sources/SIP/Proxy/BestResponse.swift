/// The best final response of a response context so far: RFC 3261 §16.7 step 6, as a value.
///
/// What RFC 3261 says: any 6xx first (MUST), else the lowest class (SHOULD), within 4xx rather those that
/// affect how the request can be sent again (SHOULD), within a class any (MAY); a 503 must not reach the
/// caller as such unless every later request would meet it too (§16.7 step 6, last paragraph).
///
/// | rank | status                      | why this place                                              |
/// |------|-----------------------------|-------------------------------------------------------------|
/// | 1    | 6xx                         | global failure                                              |
/// | 2    | 2xx                         | forwarded at once by step 5; offered only for completeness  |
/// | 3    | 3xx                         | lowest class                                                |
/// | 4    | 401, 407, 415, 420, 484     | the caller can try again, and better                        |
/// | 5    | 4xx                         |                                                             |
/// | 6    | 408                         | ours: nobody was there; any real answer says more           |
/// | 7    | 5xx                         |                                                             |
/// | 8    | 503                         | ours: could not be reached. Sent as 500                     |
///
/// Within a rank the first one to arrive stays.
package struct BestResponse: BitwiseCopyable, Equatable {
    /// The status held, or 0.
    package private(set) var status: UInt16 = 0
    /// The fork that gave it.
    package private(set) var fork: UInt8 = 0

    package init() {}

    /// Takes a final response into account; 1xx and what is no status are ignored.
    ///
    /// True when `status` replaces what is held (the caller then stores that fork's response).
    package mutating func offer(status: UInt16, fork: UInt8) -> Bool {
        guard let rank = Self.rank(status) else { return false }
        if let held = Self.rank(self.status), held <= rank { return false }
        self.status = status
        self.fork = fork
        return true
    }

    /// The status that goes upstream when all forks are done: 408 when none answered (step 6), 500 for a 503.
    package var upstreamStatus: UInt16 {
        switch status {
        case 0: 408
        case 503: 500
        default: status
        }
    }

    /// The place in the table above, lower is better; nil for what is no final response.
    private static func rank(_ status: UInt16) -> UInt8? {
        switch status {
        case 600...699: 1
        case 200...299: 2
        case 300...399: 3
        case 401, 407, 415, 420, 484: 4
        case 408: 6
        case 400...499: 5
        case 503: 8
        case 500...599: 7
        default: nil
        }
    }
}
