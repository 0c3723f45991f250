import Glibc
import Mailbox
import Platform
import SharedMemory
import SharedState

/// The loop of the resolver: mail in, sockets of name servers, answers out.
///
/// Its work is not done in turns: a successor finds the cache as it was, sends the mail that is still in the
/// rings, and reads on in the mailbox; what had been read and not answered is asked again.
struct ResolverProcess: ~Copyable {
    private let state: SharedState
    private var service: ResolverService
    private var inbox: PlainReceiver
    private var mailboxes: PeerMailboxes
    /// Whom we send mail: their mailboxes are watched by process number, as our own is.
    private let receivers: [ProcessID]
    private var poller: Poller
    private var isMailLeft = false
    /// Sockets to name servers, by number.
    private var watched: Set<Int32> = []

    private static let me = ProcessID.resolver
    /// Tokens of sockets to name servers are their numbers and this.
    private static let socketToken: UInt64 = 0x1_0000
    /// Milliseconds between heartbeats at most.
    private static let longestWait: UInt64 = 1000
    /// Mail that is taken before the name servers' turn.
    private static let batch = 4096

    init(state: SharedState) throws(SystemError) {
        let workers = Int(state.sizes.workers)
        receivers = [.master, .logger] + (0..<workers).map { ProcessID.worker($0) }
        let poller = try Poller()
        try poller.add(ChildDescriptors.mailbox, token: UInt64(ResolverProcess.me.index))
        var mailboxes = PeerMailboxes(state: state, process: ResolverProcess.me)
        for process in receivers {
            try mailboxes.add(process, ChildDescriptors.mailbox(of: process), poller)
        }
        let snapshot = state.configuration.snapshot
        let servers = (0..<Int(snapshot.nameServerCount)).map { snapshot.nameServers[$0] }
        let names = NameServers(servers, timeout: Int32(snapshot.resolverTimeout))
        service = ResolverService(state: state, names: names)
        inbox = PlainReceiver(mailbox: ChildDescriptors.mailbox)
        self.mailboxes = mailboxes
        self.state = state
        self.poller = poller
    }

    mutating func run() {
        flush()
        state.processes.setReady(true, ResolverProcess.me)
        FaultPoint.resolverReady.pass(state.memory)
        while true {
            let now = Clock.milliseconds()
            state.processes.beat(now, ResolverProcess.me)
            let events = poller.wait(milliseconds: patience(now))
            FaultPoint.resolverWoken.pass(state.memory)
            for event in 0..<events { handle(poller.event(event)) }
            service.names.processTime()
            takeMail()
            service.advance(now: Clock.milliseconds())
            FaultPoint.resolverAdvanced.pass(state.memory)
            watchSockets()
            flush()
        }
    }

    private func patience(_ now: UInt64) -> Int32 {
        if isMailLeft { return 0 }
        var wait = ResolverProcess.longestWait
        if let time = service.names.patience { wait = min(wait, UInt64(time)) }
        if let deadline = service.nextDeadline { wait = min(wait, deadline > now ? deadline - now : 0) }
        return Int32(wait)
    }

    private mutating func handle(_ event: Poller.Event) {
        if event.token >= ResolverProcess.socketToken {
            // A failure is read as an error, or shows when written.
            service.names.process(
                Int32(event.token - ResolverProcess.socketToken), isReadable: event.readable || event.failed,
                isWritable: event.writable)
            return
        }
        let process = ProcessID(rawValue: UInt8(event.token))
        if process != ResolverProcess.me && event.writable { resume(process) }
    }

    private mutating func takeMail() {
        let now = Clock.milliseconds()
        for _ in 0..<ResolverProcess.batch {
            guard let mail = inbox.next() else {
                isMailLeft = false
                return
            }
            FaultPoint.mailTaken.pass(state.memory)
            service.take(mail, now: now)
            FaultPoint.resolverAsked.pass(state.memory)
        }
        // What lies in the receiver wakes nobody.
        isMailLeft = true
    }

    // MARK: sockets

    private mutating func watchSockets() {
        for change in service.names.takeSocketChanges() {
            // Closed by now, perhaps opened again under the same number.
            if watched.remove(change.number) != nil { poller.remove(change.number) }
            var interest: Poller.Interest = []
            if change.isReadable { interest.insert(.readable) }
            if change.isWritable { interest.insert(.writable) }
            if interest.isEmpty { continue }
            let token = ResolverProcess.socketToken + UInt64(change.number)
            // One that is closed again already; its end is the next change.
            if (try? poller.add(change.number, token: token, interest)) != nil {
                watched.insert(change.number)
            }
        }
    }

    // MARK: sending

    private mutating func flush() {
        if service.log.takeWake() {
            var mail = Mail(.logged)
            mail.sender = ResolverProcess.me
            _ = state.resolverRing(to: .logger).append(mail)
        }
        for process in receivers { flush(to: process) }
    }

    private mutating func flush(to receiver: ProcessID) {
        mailboxes.flush(state.resolverRing(to: receiver), to: receiver, poller)
    }

    private mutating func resume(_ receiver: ProcessID) {
        mailboxes.resume(state.resolverRing(to: receiver), to: receiver, poller)
    }
}
