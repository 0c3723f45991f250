import Glibc
import Proxy
import SharedState

/// What a worker does first: the predecessor's turn, the mail that has waited, the requests whose connections are gone.
extension WorkerProcess {
    /// Receives at most so often before timers fire: more than a mailbox holds.
    private static let mostReceived = 1024

    /// Design §5.2. The mail that has waited comes before the timers: an answer that is there is not too late.
    /// How often mail was there.
    @discardableResult mutating func recover() -> Int {
        recoverTurn()
        handleTurn(expires: false)
        var taken = 0
        // With no room for what it brings, the loop goes on with it.
        while taken < WorkerProcess.mostReceived && hasRoomToSend() {
            receive()
            if received == 0 { break }
            handleTurn(expires: false)
            taken += 1
        }
        if shard.master != state.header.masters { followMaster() }
        handleTurn()
        return taken
    }

    /// There is another master, and the connections of the one before are gone. What was sent over one and is not
    /// answered is sent again over a new one: for a peer who has it a repetition (RFC 3261 §17.2), which brings the
    /// answer that the old connection had taken along.
    private mutating func followMaster() {
        begin()
        for cell in 1..<UInt32(shard.table.pool.everUsed + 1) {
            let kind = shard.table.header(cell).kind
            guard kind == RecordKind.fork || kind == RecordKind.cancel else { continue }
            let record = fork(cell)
            if !record.endpoint.isReliable || record.request.isNone || record.isResolving { continue }
            transmit(record)
            if turn.isFilling || !hasRoomToSend() {
                commit()
                waitForRoom()
                begin()
            }
        }
        shard.setMaster(state.header.masters)
        commit()
    }

    /// The master serves already, and takes what was posted; for two seconds at most.
    private mutating func waitForRoom() {
        for _ in 0..<10_000 {
            if hasRoomToSend() { return }
            usleep(200)
        }
    }
}
