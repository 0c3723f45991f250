import SharedState

extension SharedState {
    /// Mail for a process that lies in the rings of others, its mailbox being full.
    func mailWaiting(for process: ProcessID) -> Int {
        var waiting = masterRing(to: process).waiting + locatorRing(to: process).waiting
        waiting += resolverRing(to: process).waiting
        for sender in 0..<Int(sizes.workers) { waiting += shard(sender).ring(to: process).waiting }
        return waiting
    }

    /// What the master has handed to a worker that has not handled it yet.
    func queue(of worker: Int) -> Int {
        // In this order: what is handled while we look counts as handled.
        let tail = masterRing(to: .worker(worker)).tail
        let handled = shard(worker).seen.last(from: .master)
        return tail > handled ? Int(clamping: tail - handled) : 0
    }
}

extension MailRing {
    /// Appended and not yet sent; what is sent while we look counts as sent.
    fileprivate var waiting: Int {
        let appended = tail
        let gone = sent
        return appended > gone ? Int(clamping: appended - gone) : 0
    }
}
