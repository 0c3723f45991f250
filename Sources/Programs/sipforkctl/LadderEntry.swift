import Platform
import Proxy
import Syntax
import Systemd

/// An entry of the journal about one call: a message of it that was traced, or something else that the
/// service said of it.
struct LadderEntry: Equatable {
    enum Kind: String {
        case incoming = "in"
        case outgoing = "out"
        case note
    }

    /// The fork whose message it is, and which of its attempts, from 0.
    struct Fork: Equatable {
        var index: Int
        var attempt = 0
    }

    var kind = Kind.note
    /// Microseconds since 1970.
    var time: UInt64 = 0
    /// transport:address:port
    var peer = ""
    /// The process that handled the message, or that says something; empty where nobody has it.
    var process = ""
    var fork: Fork?
    var event = ""
    /// Of the CSeq.
    var method = ""
    /// Of a response.
    var status: Int?
    var reason = ""
    var from = ""
    var to = ""
    /// The line that the journal shows.
    var message = ""
    /// The errno of a message that could not be sent.
    var error: Int?
    var raw: [UInt8] = []
    /// The same bytes went the same way before.
    var isAgain = false
}

extension LadderEntry {
    /// - Parameters: journalTime: when the journal took it; field: the value of a field, nil for none.
    init(journalTime: UInt64, field: (String) -> [UInt8]?) {
        func text(_ name: String) -> String { field(name).map { String(decoding: $0, as: UTF8.self) } ?? "" }
        time = UInt64(text("SIPFORK_TIME")) ?? journalTime
        event = text("SIPFORK_EVENT")
        message = text("MESSAGE")
        method = text("SIP_METHOD")
        status = Int(text("SIP_STATUS"))
        peer = text("SIP_PEER")
        from = text("SIP_FROM")
        to = text("SIP_TO")
        process = text("SIPFORK_PROCESS")
        guard event == "message-traced", let kind = Kind(rawValue: text("SIPFORK_DIRECTION")), kind != .note
        else { return }
        self.kind = kind
        process = text("SIPFORK_HANDLER")
        error = Int(text("ERRNO"))
        raw = field("SIP_MESSAGE") ?? []
        var index = MessageIndex()
        if Scanner.scan(raw.span, into: &index) != .notSIP {
            reason = String(decoding: raw[index.reason.start..<index.reason.end], as: UTF8.self)
        }
        // The top Via is ours in what we forward, and in the answers to it.
        let branch = field("SIP_BRANCH") ?? []
        if (kind == .outgoing) == (status == nil), let ours = Branch(branch.span), !ours.isStateless {
            fork = Fork(index: Int(ours.fork), attempt: Int(ours.attempt))
        }
    }

    var json: JSON {
        [
            "time_us": .number(Int(clamping: time)), "event": .string(event),
            "direction": kind == .note ? .null : .string(kind.rawValue),
            "peer": peer.isEmpty ? .null : .string(peer),
            "process": process.isEmpty ? .null : .string(process),
            "fork": .optional(fork?.index), "attempt": .optional(fork?.attempt),
            "method": method.isEmpty ? .null : .string(method), "status": .optional(status),
            "message": .string(message), "errno": .optional(error), "retransmission": .bool(isAgain),
            "sip_message": kind == .note ? .null : .string(String(decoding: raw, as: UTF8.self)),
        ]
    }
}

/// `ladder`: the story of one call, from the journal.
struct LadderView: View, Equatable {
    let callID: String
    let entries: [LadderEntry]
    var style = LadderStyle()
    /// When it begins, for people.
    var start = ""

    /// Puts entries in order, leaves out what the journal has twice, and marks what was sent again.
    init(callID: String, _ found: [LadderEntry]) {
        self.callID = callID
        var entries: [LadderEntry] = []
        let order = found.indices.sorted { (found[$0].time, $0) < (found[$1].time, $1) }
        for place in order where entries.last != found[place] { entries.append(found[place]) }
        var seen: Set<[UInt8]> = []
        for index in entries.indices where entries[index].kind != .note {
            let entry = entries[index]
            let way = Array("\(entry.kind.rawValue) \(entry.peer)\n".utf8)
            entries[index].isAgain = !seen.insert(way + entry.raw).inserted
        }
        self.entries = entries
    }

    var hasMessages: Bool { entries.contains { $0.kind != .note } }

    var json: JSON { .array(entries.map(\.json)) }

    var text: String { LadderDrawing(self).text }
}

extension LadderView {
    /// Of a Call-ID no more than this is in the journal.
    private static let longestCallID = 1000

    init(reading callID: String, files: [String]) throws(ControlFailure) {
        let name = Array("SIP_CALL_ID=".utf8) + Array(callID.utf8).prefix(LadderView.longestCallID)
        var found: [LadderEntry] = []
        do throws(JournalReader.Failure) {
            var reader = try JournalReader(
                files: files, matching: [name, Array("SYSLOG_IDENTIFIER=sipfork".utf8)])
            while try reader.next() {
                found.append(LadderEntry(journalTime: reader.time) { reader.field($0) })
            }
        } catch {
            let what = files.isEmpty ? "the journal" : files.joined(separator: ", ")
            throw ControlFailure(message: "\(what) cannot be read: \(SystemError.text(error.code))")
        }
        self.init(callID: callID, found)
    }
}
