import SharedState
import Systemd

extension LogEvent {
    /// The MESSAGE_ID of the event's entries: what `journalctl -x` explains. Nil for remarks of no kind of
    /// their own.
    var messageID: StaticString? {
        switch self {
        case .none, .note: nil
        case .started: MessageID.started
        case .stopped: MessageID.stopped
        case .childStarted: MessageID.childStarted
        case .childDied: MessageID.childDied
        case .configurationRefused: MessageID.configurationRefused
        case .configurationWarning: MessageID.configurationWarning
        case .callFailed: MessageID.callFailed
        case .callAnswered: MessageID.callAnswered
        case .callEnded: MessageID.callEnded
        case .malformedMessage: MessageID.malformedMessage
        case .limitReached: MessageID.limitReached
        case .storageFailed: MessageID.storageFailed
        case .hopFailed: MessageID.hopFailed
        case .hopAnswers: MessageID.hopAnswers
        case .resolverFailed: MessageID.resolverFailed
        case .resolverAnswers: MessageID.resolverAnswers
        case .connectionFailed: MessageID.connectionFailed
        case .configurationReloaded: MessageID.configurationReloaded
        case .messageTraced: MessageID.messageTraced
        case .startFailed: MessageID.startFailed
        case .storageAnswers: MessageID.storageAnswers
        case .tookOver: MessageID.tookOver
        case .memoryDiscarded: MessageID.memoryDiscarded
        case .overloaded: MessageID.overloaded
        case .quarantined: MessageID.quarantined
        }
    }
}

extension LogEvent {
    /// SIPFORK_EVENT: `LogEvent.name` without its allocations.
    var journalName: StaticString {
        switch self {
        case .none: "none"
        case .started: "started"
        case .stopped: "stopped"
        case .childStarted: "child-started"
        case .childDied: "child-died"
        case .configurationRefused: "configuration-refused"
        case .configurationWarning: "configuration-warning"
        case .callFailed: "call-failed"
        case .callAnswered: "call-answered"
        case .callEnded: "call-ended"
        case .malformedMessage: "malformed-message"
        case .limitReached: "limit-reached"
        case .storageFailed: "storage-failed"
        case .note: "note"
        case .hopFailed: "hop-failed"
        case .hopAnswers: "hop-answers"
        case .resolverFailed: "resolver-failed"
        case .resolverAnswers: "resolver-answers"
        case .connectionFailed: "connection-failed"
        case .configurationReloaded: "configuration-reloaded"
        case .messageTraced: "message-traced"
        case .startFailed: "start-failed"
        case .storageAnswers: "storage-answers"
        case .tookOver: "took-over"
        case .memoryDiscarded: "memory-discarded"
        case .overloaded: "overloaded"
        case .quarantined: "quarantined"
        }
    }
}

extension LogField {
    /// The journal's name, with its equals sign (design §7).
    var journalName: StaticString {
        switch self {
        case .message: "MESSAGE="
        case .callID: "SIP_CALL_ID="
        case .method: "SIP_METHOD="
        case .status: "SIP_STATUS="
        case .from: "SIP_FROM="
        case .to: "SIP_TO="
        case .branch: "SIP_BRANCH="
        case .peer: "SIP_PEER="
        case .direction: "SIPFORK_DIRECTION="
        case .handler: "SIPFORK_HANDLER="
        case .error: "ERRNO="
        case .rawMessage: "SIP_MESSAGE="
        }
    }

    /// The name in a line on stderr; nil where the field is left out there, for lines are read by eye.
    var lineName: StaticString? {
        switch self {
        case .callID: "call-id="
        case .method: "method="
        case .status: "status="
        case .peer: "peer="
        case .message, .from, .to, .branch, .direction, .handler, .error, .rawMessage: nil
        }
    }

    static let all: InlineArray<12, LogField> = [
        .message, .callID, .method, .status, .from, .to, .branch, .peer, .direction, .handler, .error,
        .rawMessage,
    ]
}
