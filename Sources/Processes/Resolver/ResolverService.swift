import Mailbox
import Platform
import SharedMemory
import SharedState

/// What the resolver does with questions, without its mailbox and its poller: who asks the same is joined,
/// the answer goes into the cache, and all who asked are told.
///
///     mail ─► copy the question ─► known already ───────────────────────────────────► tell
///                                ├ under way: one waiter more                          ▲
///                                └ a `Resolution`: lookups ─► replies ─► … ─► cache ───┤ all its waiters
///                                        └ its time is up: with what is there by then ─┘
///
/// Nothing here is replayed: who was not told asks again.
struct ResolverService {
    /// Names under way, and those who wait for them; beyond, the oldest name ends as failed.
    static let maximumQuestions = 1024
    static let maximumWaiters = 16_384
    /// Milliseconds for which a refused question counts as failed.
    private static let refusal: UInt64 = 1000
    /// Milliseconds between looks at the files of the system, and between entries of one kind.
    private static let fileInterval: UInt64 = 1000
    private static let complaintInterval: UInt64 = 60_000

    /// Who asked, and what comes back.
    private struct Waiter: Hashable {
        let asker: ProcessID
        let transaction: TransactionReference
        let fork: UInt8
        let attempt: UInt8
        let third: UInt64

        init(_ mail: Mail) {
            asker = mail.sender
            transaction = mail.transaction
            fork = mail.fork
            attempt = mail.attempt
            third = mail.third
        }
    }

    private struct Question {
        let text: [UInt8]
        let kind: DNSQuestion.Kind
        var resolution: Resolution
        /// In the order in which they came, and as a set: who is not told soon asks again, and waits once.
        private(set) var waiters: [Waiter] = []
        private var known: Set<Waiter> = []
        /// Numbers of its lookups.
        var lookups: Set<UInt64> = []

        init(_ text: [UInt8], _ kind: DNSQuestion.Kind, _ resolution: Resolution) {
            self.text = text
            self.kind = kind
            self.resolution = resolution
        }

        func isAwaited(by waiter: Waiter) -> Bool { known.contains(waiter) }

        mutating func add(_ waiter: Waiter) {
            known.insert(waiter)
            waiters.append(waiter)
        }
    }

    let state: SharedState
    var names: NameServers
    var log: LogWriter
    private var hosts: LocalHosts
    private let reach: Resolution.Reach
    /// Milliseconds after which a question ends, whatever has come by then.
    private let patience: UInt64
    private var questions: [UInt64: Question] = [:]
    /// By their texts.
    private var numbers: [[UInt8]: UInt64] = [:]
    /// In the order of their time; some are answered already.
    private var deadlines: ArraySlice<(time: UInt64, question: UInt64)> = []
    /// Which question a lookup belongs to, and its number there.
    private var lookups: [UInt64: (question: UInt64, number: Int)] = [:]
    private var waiterCount = 0
    private var lastNumber: UInt64 = 0
    private var nextLook: UInt64 = 0
    private var nextFailureEntry: UInt64 = 0
    private var nextLimitEntry: UInt64 = 0
    private var quarantineLimit = RateLimit(perSecond: 1)

    init(state: SharedState, names: NameServers, hosts: LocalHosts = LocalHosts()) {
        let snapshot = state.configuration.snapshot
        self.state = state
        self.names = names
        self.names.note = { state.processes.setEvent($0, .resolver) }
        self.hosts = hosts
        reach = Resolution.Reach(snapshot)
        patience = snapshot.questionTime
        log = LogWriter(state: state, process: .resolver, level: snapshot.logLevel)
    }

    /// The number of names that are being looked up.
    var underWay: Int { questions.count }

    /// When `advance` is due at the latest, by its deadlines.
    var nextDeadline: UInt64? { deadlines.first?.time }

    // MARK: questions

    mutating func take(_ mail: Mail, now: UInt64) {
        precondition(
            MailGraph.allows(mail.kind, from: mail.sender, to: .resolver), "mail from the wrong process")
        // Gone: whoever asked has ended.
        guard let text = copyQuestion(mail) else { return }
        let mark = state.quarantine.hash(ofQuestion: text.span)
        state.processes.setEvent(mark, .resolver)
        defer { state.processes.setEvent(0, .resolver) }
        let waiter = Waiter(mail)
        guard let kind = DNSQuestion.Kind(rawValue: text[0]), text.count > 1 else { return tell(waiter) }
        let host = Array(text.dropFirst())
        if state.quarantine.isActive && state.quarantine.strikes(mark) >= Quarantine.limit {
            return drop(waiter, kind, host, now)
        }
        #if DEBUG
            FaultTrigger.resolver.meet(text.span, state.memory)
        #endif
        if state.dns.find(kind, host: host.span, now: now) != nil { return tell(waiter) }
        if let number = numbers[text] {
            if questions[number]!.isAwaited(by: waiter) { return }
            if waiterCount == ResolverService.maximumWaiters { return refuse(waiter, kind, host, now) }
            questions[number]!.add(waiter)
            waiterCount += 1
            return
        }
        if questions.count == ResolverService.maximumQuestions
            || waiterCount == ResolverService.maximumWaiters
        {
            endOldest(now)
        }
        lookAtFiles(now)
        begin(text, kind, String(decoding: host, as: UTF8.self), waiter, now)
    }

    /// The bytes of a question, checked to be those of that generation; nil where it is gone.
    private func copyQuestion(_ mail: Mail) -> [UInt8]? {
        if let worker = mail.sender.workerIndex {
            guard worker < Int(state.sizes.workers) else { return nil }
            let stored = state.shard(worker).stored
            guard stored.isCurrent(mail.first) else { return nil }
            let place = stored.locate(mail.first)
            let text = copy(place.offset, place.count)
            return stored.isCurrent(mail.first) ? text : nil
        }
        let slot = SlotReference(rawValue: mail.second)
        guard state.slots.isHeld(slot, by: mail.sender) else { return nil }
        let text = copy(state.slots.bytesOffset(slot.index), state.slots.bytes(slot.index).count)
        return state.slots.isHeld(slot, by: mail.sender) ? text : nil
    }

    /// Nil where it is longer or shorter than questions are.
    private func copy(_ offset: Int, _ count: Int) -> [UInt8]? {
        guard count >= 1 && count <= 1 + DNSQuestion.longestHost else { return nil }
        let bytes = state.memory.bytes(offset, count: count)
        var copy: [UInt8] = []
        copy.reserveCapacity(count)
        for index in bytes.indices { copy.append(bytes[index]) }
        Ordering.fullFence()
        return copy
    }

    private mutating func begin(
        _ text: [UInt8], _ kind: DNSQuestion.Kind, _ host: String, _ waiter: Waiter, _ now: UInt64
    ) {
        state.counters.add(.dnsQuestions, .resolver)
        lastNumber += 1
        let number = lastNumber
        let resolution = Resolution(kind, host, reach: reach, hosts: hosts)
        var question = Question(text, kind, resolution)
        question.add(waiter)
        waiterCount += 1
        let asked = question.resolution.begin()
        numbers[text] = number
        questions[number] = question
        deadlines.append((now + patience, number))
        ask(asked, number)
        if asked.isEmpty { finish(number, now) }
    }

    /// What a question is known by that is under way.
    private func mark(_ question: UInt64) -> UInt64 {
        let text = questions[question]!.text
        return state.quarantine.hash(ofQuestion: text.span)
    }

    private mutating func ask(_ asked: [Resolution.Lookup], _ question: UInt64) {
        let mark = mark(question)
        for lookup in asked {
            lastNumber += 1
            lookups[lastNumber] = (question, lookup.number)
            questions[question]!.lookups.insert(lastNumber)
            names.ask(lookup.type, lookup.name, number: lastNumber, mark: mark)
        }
    }

    // MARK: answers

    /// Takes in what name servers have said, and ends what has waited long enough.
    mutating func advance(now: UInt64) {
        var replies = names.takeReplies(now: now)
        while !replies.isEmpty {
            for (number, reply) in replies { take(reply, of: number, now) }
            replies = names.takeReplies(now: now)
        }
        while let (time, question) = deadlines.first, time <= now || questions[question] == nil {
            deadlines.removeFirst()
            questions[question]?.resolution.giveUp()
            finish(question, now)
        }
        tellIncidents(now)
    }

    private mutating func take(_ reply: DNSReply, of number: UInt64, _ now: UInt64) {
        guard let lookup = lookups.removeValue(forKey: number) else { return }
        questions[lookup.question]!.lookups.remove(number)
        state.processes.setEvent(mark(lookup.question), .resolver)
        defer { state.processes.setEvent(0, .resolver) }
        let asked = questions[lookup.question]!.resolution.take(reply, of: lookup.number)
        ask(asked, lookup.question)
        if questions[lookup.question]!.resolution.isDone { finish(lookup.question, now) }
    }

    /// - Parameter isForRoom: others wait; what good answers are in the cache, stay there.
    private mutating func finish(_ number: UInt64, _ now: UInt64, isForRoom: Bool = false) {
        guard let question = questions.removeValue(forKey: number) else { return }
        numbers[question.text] = nil
        for lookup in question.lookups {
            lookups[lookup] = nil
            names.forget(lookup)
        }
        let outcome = question.resolution.outcome()
        if outcome.answer.status == .failed { state.counters.add(.dnsFailures, .resolver) }
        let host = Array(question.text.dropFirst())
        waiterCount -= question.waiters.count
        if isForRoom {
            // Who is told and finds nothing would ask at once.
            guard keepRefused(outcome.answer, question.kind, host, now) else { return }
        } else {
            keep(outcome.answer, question.kind, host, now, UInt64(outcome.ttl) * 1000)
        }
        FaultPoint.resolverFinished.pass(state.memory)
        for waiter in question.waiters { tell(waiter) }
    }

    private func keep(
        _ answer: DNSAnswer, _ kind: DNSQuestion.Kind, _ host: [UInt8], _ now: UInt64, _ time: UInt64
    ) {
        if !state.dns.store(answer, to: kind, host: host.span, now: now, expires: now + time) {
            state.counters.add(.dnsEvicted, .resolver)
        }
    }

    /// For a short time, and only where no good answer has to go.
    private func keepRefused(
        _ answer: DNSAnswer, _ kind: DNSQuestion.Kind, _ host: [UInt8], _ now: UInt64
    ) -> Bool {
        let end = now + ResolverService.refusal
        return state.dns.store(answer, to: kind, host: host.span, now: now, expires: end, onlyWhereFree: true)
    }

    /// Names whose servers are slow make room for new ones, which perhaps are not.
    private mutating func endOldest(_ now: UInt64) {
        while let (_, number) = deadlines.popFirst() {
            if questions[number] == nil { continue }
            complainOfLimit(now)
            questions[number]!.resolution.giveUp()
            return finish(number, now, isForRoom: true)
        }
    }

    private mutating func refuse(
        _ waiter: Waiter, _ kind: DNSQuestion.Kind, _ host: [UInt8], _ now: UInt64
    ) {
        complainOfLimit(now)
        if keepRefused(DNSAnswer(.failed), kind, host, now) { tell(waiter) }
    }

    /// Design §5.3: a question that has ended the resolver twice is answered without being asked.
    private mutating func drop(
        _ waiter: Waiter, _ kind: DNSQuestion.Kind, _ host: [UInt8], _ now: UInt64
    ) {
        state.counters.add(.quarantined, .resolver)
        if quarantineLimit.allows(now: now) {
            let name = String(decoding: host, as: UTF8.self)
            log.note(
                .quarantined, .error, "a question has ended the resolver twice, and is not asked: \(name)")
        }
        if keepRefused(DNSAnswer(.failed), kind, host, now) { tell(waiter) }
    }

    private mutating func complainOfLimit(_ now: UInt64) {
        state.counters.add(.dnsRefused, .resolver)
        if now >= nextLimitEntry {
            nextLimitEntry = now + ResolverService.complaintInterval
            log.note(.limitReached, .warning, "\(questions.count) names are being looked up: no more for now")
        }
    }

    private func tell(_ waiter: Waiter) {
        var mail = Mail(.resolved)
        mail.sender = .resolver
        mail.transaction = waiter.transaction
        mail.fork = waiter.fork
        mail.attempt = waiter.attempt
        mail.third = waiter.third
        if !state.resolverRing(to: waiter.asker).append(mail) { state.counters.add(.mailDropped, .resolver) }
        FaultPoint.resolverTold.pass(state.memory)
    }

    // MARK: the system, the journal

    private mutating func lookAtFiles(_ now: UInt64) {
        if now < nextLook { return }
        nextLook = now + ResolverService.fileInterval
        hosts.refresh()
        names.refresh()
    }

    private mutating func tellIncidents(_ now: UInt64) {
        for incident in names.takeIncidents() {
            switch incident {
            case .silent(let server, let name):
                log.note(
                    .resolverFailed, .warning,
                    "name server \(server.text) does not answer; it was asked for \(name)")
            case .answers(let server):
                log.note(.resolverAnswers, .notice, "name server \(server.text) answers again")
            case .failed(let server, let name):
                // Anybody can have names asked whose own servers are broken.
                if now < nextFailureEntry { continue }
                nextFailureEntry = now + ResolverService.complaintInterval
                log.note(.resolverFailed, .notice, "name server \(server.text) cannot tell about \(name)")
            }
        }
    }
}

extension Resolution.Reach {
    /// What there are listeners of.
    init(_ snapshot: ConfigurationSnapshot) {
        self.init(udp: false, tcp: false, ipv4: false, ipv6: false)
        for index in 0..<Int(snapshot.listenerCount) where snapshot.hasListener(index) {
            switch snapshot.transports[index] {
            case .udp: udp = true
            case .tcp: tcp = true
            case .tls: break
            }
            if snapshot.listeners[index].isIPv6 { ipv6 = true } else { ipv4 = true }
        }
    }
}
