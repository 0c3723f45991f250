import Platform
import SharedState
import Syntax

/// The limits of the registrar, in seconds and contacts.
package struct RegistrarLimits: BitwiseCopyable, Sendable {
    package var minExpires: UInt64
    package var defaultExpires: UInt64
    package var maxExpires: UInt64
    /// Per address of record.
    package var maxContacts: Int

    package init(minExpires: UInt64, defaultExpires: UInt64, maxExpires: UInt64, maxContacts: Int) {
        self.minExpires = minExpires
        self.defaultExpires = defaultExpires
        self.maxExpires = maxExpires
        self.maxContacts = maxContacts
    }

    package init(_ configuration: ConfigurationSnapshot) {
        self.init(
            minExpires: UInt64(configuration.minExpires),
            defaultExpires: UInt64(configuration.defaultExpires),
            maxExpires: UInt64(configuration.maxExpires), maxContacts: Int(configuration.maxContacts))
    }
}

/// What a REGISTER does to the bindings of its address of record, all or nothing.
package struct RegisterOutcome {
    /// A binding that the record shall have.
    package enum Entry {
        /// The binding of that index stays as it is.
        case kept(Int)
        /// A new or refreshed one, its texts in the request.
        case updated(RequestedContact)
    }

    package var reason: RegisterReason
    /// True where the record is to be written again; else the rest is empty.
    package var isChange = false
    /// In the order of their last update; empty where the record goes.
    package var entries: [Entry] = []
    /// Indices of bindings whose text does not come back: removed, expired, or replaced by an equal URI of
    /// another spelling.
    package var dropped: [Int] = []

    package var status: UInt16 { reason.status }

    init(_ reason: RegisterReason) { self.reason = reason }
}

/// The rules of a registrar, RFC 3261 §10.3 from step 5 on (the steps before are the front's: our domain,
/// Require, authentication, authorisation).
///
///     no Contact             the current bindings
///     *, Expires: 0, alone   every binding goes
///     else, for each Contact: expires 0    its binding goes
///                             known        refreshed, where Call-ID differs or CSeq is higher
///                             new          added
///     a lower CSeq of the same Call-ID     500, nothing changes
///
/// Ours beyond the text: the same Call-ID, CSeq, Path and contacts again are a replay (the answer was lost
/// with a process) and change nothing; of equal contacts in one request the last counts; too many contacts
/// are refused with 403. Bindings that have expired do not exist; they are dropped whenever the record is
/// written.
///
/// All domains of the server are one to the registrar: an address of record of one of them is valid for a
/// Request-URI of another, or of a listening address, for phones name the one or the other as registrar.
package enum Registrar {
    /// - Parameters: request: complete; set: the bindings now, nil for none; now: seconds since 1970.
    package static func apply(
        _ request: borrowing RegisterRequest, to set: BindingSet?, now: UInt64, limits: RegistrarLimits
    ) -> RegisterOutcome {
        let requested: RequestedContacts
        switch RequestedContacts.parse(request.message, limits: limits) {
        case .failure(let reason): return RegisterOutcome(reason)
        case .success(let contacts): requested = contacts
        }
        if requested.contacts.isEmpty && !requested.isWildcard { return RegisterOutcome(.accepted) }
        // Every contact is compared with every other: no request may make that long.
        if requested.contacts.count > 2 * limits.maxContacts + (set?.count ?? 0) {
            return RegisterOutcome(.tooManyContacts)
        }
        var update = Update(set, now: now)
        let reason =
            requested.isWildcard
            ? update.removeAll(request.message) : update.apply(requested.contacts, request, now: now)
        guard reason == .accepted else { return RegisterOutcome(reason) }
        return update.outcome(request.message, limits: limits)
    }
}

/// The record as it changes contact by contact; thrown away on a fault.
private struct Update {
    private let set: BindingSet?
    /// Of each binding: true where it stays as it is.
    private var isKept: [Bool] = []
    private var live = 0
    private var updated: [RequestedContact] = []
    private var isChange = false

    init(_ set: BindingSet?, now: UInt64) {
        self.set = set
        guard let set else { return }
        isKept.reserveCapacity(set.count)
        for binding in set {
            let isLive = binding.expiresAt > now
            if isLive { live += 1 }
            isKept.append(isLive)
        }
    }

    /// Step 6, the wildcard: with the same Call-ID only a higher CSeq may remove.
    mutating func removeAll(_ request: borrowing Message) -> RegisterReason {
        guard let set else { return .accepted }
        for (index, binding) in set.enumerated() where isKept[index] {
            if binding.callID.isEqual(to: request.callID) && request.index.cseqNumber <= binding.cseq {
                return .outOfOrder
            }
            isKept[index] = false
            isChange = true
        }
        return .accepted
    }

    /// Step 7, for each contact.
    mutating func apply(
        _ contacts: [RequestedContact], _ register: borrowing RegisterRequest, now: UInt64
    ) -> RegisterReason {
        let request = register.message
        var isReplayed = false
        for (position, contact) in contacts.enumerated() {
            let isRepeated = contacts[(position + 1)...].contains {
                SIPURI.equal($0.uri, request.bytes, contact.uri, request.bytes)
            }
            if isRepeated { continue }
            var added = contact
            added.expiresAt = now &+ contact.expires
            var isReplay = false
            if let set {
                for (index, binding) in set.enumerated() where isKept[index] {
                    guard let known = SIPURI.parse(binding.uri),
                        SIPURI.equal(known, binding.uri, contact.uri, request.bytes)
                    else { continue }
                    if binding.callID.isEqual(to: request.callID) && request.index.cseqNumber <= binding.cseq
                    {
                        isReplay =
                            request.index.cseqNumber == binding.cseq && contact.q == binding.q
                            && contact.expires > 0
                            && binding.uri.isEqual(to: request.bytes.slice(contact.uri.whole))
                            && binding.path.isEqual(to: register.path)
                        if !isReplay { return .outOfOrder }
                        isReplayed = true
                        break
                    }
                    // Go on: equality is not transitive, and a second equal binding would ring twice.
                    isKept[index] = false
                    isChange = true
                }
            }
            if isReplay || contact.expires == 0 { continue }
            updated.append(added)
            isChange = true
        }
        // Part of it was there and part was not: another request that calls itself the same.
        return isReplayed && isChange ? .outOfOrder : .accepted
    }

    func outcome(_ request: borrowing Message, limits: RegistrarLimits) -> RegisterOutcome {
        var outcome = RegisterOutcome(.accepted)
        guard isChange else { return outcome }
        outcome.isChange = true
        outcome.entries.reserveCapacity(isKept.count + updated.count)
        if let set {
            for (index, binding) in set.enumerated() {
                if isKept[index] {
                    outcome.entries.append(.kept(index))
                } else if !updated.contains(where: {
                    binding.uri.isEqual(to: request.bytes.slice($0.uri.whole))
                }) {
                    outcome.dropped.append(index)
                }
            }
        }
        for contact in updated { outcome.entries.append(.updated(contact)) }
        // A limit that was lowered must not keep those from refreshing who are there.
        if outcome.entries.count > limits.maxContacts && outcome.entries.count > live {
            return RegisterOutcome(.tooManyContacts)
        }
        return outcome
    }
}
