extension Counter {
    /// What it counts: the text of `metrics`, and word for word that of sipforkctl(8).
    package var help: String {
        switch self {
        case .messagesReceived: "Datagrams, and messages on TCP connections, that arrived"
        case .messagesSent: "Datagrams, and messages on TCP connections, that were sent"
        case .requestsReceived: "Requests among the messages that arrived"
        case .responsesReceived: "Responses among the messages that arrived"
        case .droppedNotSip: "Datagrams that were no SIP, and connections closed for that"
        case .badRequests: "Requests answered 400 or 505 for their form, and faulty ACKs dropped"
        case .badResponses: "Responses with a fault, dropped"
        case .strayResponses: "Responses to nothing that is known, or whose Via is not ours, dropped"
        case .retransmissionsAbsorbed: "Requests that came again"
        case .retransmissionsSent: "Messages that were sent again"
        case .loopsDetected: "Requests answered 482, and ACKs dropped, because they had been here before"
        case .refusedFull: "Requests answered 503 because a table was full"
        case .refusedOverload: "Requests answered 503 because a process had too much to do: server.max-delay"
        case .answersAcknowledged: "ACKs to answers that were given without a transaction, which end here"
        case .droppedNoSlot: "Datagrams dropped because no memory for messages was free"
        case .sendErrors:
            "Messages that could not be sent: the kernel refused a datagram, or there was no connection and none"
                + " could be made, or too much waited for the peer already"
        case .mailDropped: "Messages between processes, lost for want of room"
        case .mailRepeated: "Messages between processes, dropped because they had been seen before"
        case .callsStarted: "INVITEs that begin a call (without a To tag) and got a transaction"
        case .callsAnswered: "Calls answered 2xx"
        case .callsFailed: "Calls that got any other final answer"
        case .forksStarted: "Requests forwarded, one for each target"
        case .forksCancelled: "CANCELs sent to targets"
        case .candidatesFailed:
            "Attempts that were followed by one at the next address of the same next hop"
        case .registersAccepted: "REGISTER requests that the locator accepted"
        case .registersRefused: "REGISTER requests that the locator refused"
        case .logEntriesDropped: "Log entries that the journal did not take in time"
        case .dnsQuestions: "Names that were looked up"
        case .dnsFailures: "Names that no name server could tell of"
        case .dnsRefused: "Names given up or refused because too many were being looked up"
        case .dnsEvicted:
            "Answers of name servers that were forgotten before their time, for want of room"
        case .connectionsAccepted: "TCP connections that peers made"
        case .connectionsOpened: "TCP connections that the proxy made"
        case .connectionsRefused:
            "TCP connections for which tcp.max-connections or tcp.max-connections-per-peer left no room"
        case .connectionsFailed:
            "TCP connections that could not be made or broke, that took too long for a message, or that carried"
                + " no SIP"
        case .quarantined:
            "Messages and timers dropped because they had ended the process that handled them twice"
        }
    }
}
