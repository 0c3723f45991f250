import CPlatform
import Glibc
import Platform
import Proxy
import Registrar
import SharedMemory
import SharedState

/// Why nothing can be shown.
struct ControlFailure: Error, Equatable {
    let message: String
}

/// Asks the master for a read-only view of the arena (design §7), or to carry out a command.
///
///     tool:    "view\n"
///     master:  | magic : 8 | layout hash : 8 |  with the arena, opened O_RDONLY, attached
///
///     tool:    a `RegisterCommand`
///     master:  "200 OK\n", or another status with its reason
enum ControlClient {
    /// `control.sock` where systemd made the runtime directory, else where the package has it.
    static var defaultPath: String {
        let runtime = unsafe getenv("RUNTIME_DIRECTORY").map { unsafe String(cString: $0) }
        return (runtime?.split(separator: ":").first.map(String.init) ?? "/run/sipfork") + "/control.sock"
    }

    /// Seconds that a master may take: it answers between two messages. And to carry out a command, for
    /// which it waits for five seconds itself.
    static let patience = 5
    private static let longPatience = 8

    static func attach(_ path: String) throws(ControlFailure) -> SharedState {
        let descriptor = try ask(path)
        do {
            return try state(of: Arena(attaching: descriptor, writable: false).memory)
        } catch let failure as ControlFailure {
            throw failure
        } catch {
            throw ControlFailure(message: "the view of \(path) cannot be mapped: \(error)")
        }
    }

    /// The state in an arena that says of itself that it is ours and of this layout.
    static func state(of memory: Memory) throws(ControlFailure) -> SharedState {
        let stranger = ControlFailure(
            message:
                "the server is of another layout than this tool; use the sipforkctl that it came with, or"
                + " restart it (systemctl restart sipfork) after an upgrade")
        guard memory.size >= 4096 else { throw stranger }
        let header: ArenaHeader = memory.load(0)
        guard header.magic == ArenaHeader.magic, header.layoutHash == StateLayout.hash,
            header.sizes.workers >= 1, Int(header.sizes.workers) <= ProcessID.maximumWorkers,
            SharedState.bytes(header.sizes) <= memory.size
        else { throw stranger }
        return SharedState(attaching: memory)
    }

    /// The descriptor that the master hands out.
    private static func ask(_ path: String) throws(ControlFailure) -> Descriptor {
        let socket = try connected(path, patience: patience)
        let request: StaticString = "view\n"
        _ = unsafe send(socket.number, request.utf8Start, request.utf8CodeUnitCount, Int32(MSG_NOSIGNAL))
        var answer: (magic: UInt64, layout: UInt64) = (0, 0)
        var received: Int32 = -1
        let count = unsafe withUnsafeMutableBytes(of: &answer) {
            unsafe cp_receive_descriptor(socket.number, &received, $0.baseAddress!, $0.count)
        }
        let code = SystemError.lastCode
        if count < 0 && (code == EAGAIN || code == EWOULDBLOCK) {
            throw ControlFailure(message: "the server at \(path) does not answer within \(patience) seconds")
        }
        if count == 0 || count < 0 && code == ECONNRESET {
            throw ControlFailure(message: "the server at \(path) refuses: \(explain(EACCES, path))")
        }
        guard count >= 16, answer.magic == ArenaHeader.magic, received >= 0 else {
            throw ControlFailure(message: "what answers at \(path) is no sipfork, or one of another layout")
        }
        return Descriptor(owning: received)
    }

    /// Has the master carry out a command; throws what it refuses it with.
    static func order(_ command: RegisterCommand, _ path: String) throws(ControlFailure) {
        let request = command.encoded
        let name = "\(command.action) \(command.addressOfRecord)"
        guard request.count <= RegisterCommand.longest else {
            throw ControlFailure(message: "\(name): 400 Command too long")
        }
        _ = try ask(
            request, name: name, path, patience: longPatience,
            doubt: "; whether it was done shows sipforkctl registrations")
    }

    /// What an answer has room for.
    private static let longestAnswer = 8192

    /// Sends one request; the answer behind its "200 ", without the last newline. It may have several lines.
    /// What the master refuses it with is thrown, also with all its lines.
    ///
    /// - Parameters:
    ///   - name: how messages call the request.
    ///   - patience: seconds that the answer may take.
    ///   - doubt: what to say where nobody knows whether it was done.
    static func ask(
        _ request: [UInt8], name: String, _ path: String, patience: Int, doubt: String = ""
    ) throws(ControlFailure) -> String {
        let socket = try connected(path, patience: patience)
        let sent = unsafe request.withUnsafeBytes {
            unsafe send(socket.number, $0.baseAddress!, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent < 0 { throw ControlFailure(message: "\(path): \(SystemError.text(SystemError.lastCode))") }
        var answer = [UInt8](repeating: 0, count: longestAnswer)
        let count = unsafe answer.withUnsafeMutableBytes {
            unsafe recv(socket.number, $0.baseAddress!, $0.count, 0)
        }
        let code = SystemError.lastCode
        if count < 0 && (code == EAGAIN || code == EWOULDBLOCK) {
            throw ControlFailure(
                message: "the server at \(path) does not answer within \(patience) seconds\(doubt)")
        }
        if count <= 0 { throw ControlFailure(message: "the server at \(path) has hung up\(doubt)") }
        var text = String(decoding: answer[..<count], as: UTF8.self)
        while text.last == "\n" { text.removeLast() }
        if text.hasPrefix("2") { return String(text.drop { $0 != " " }.dropFirst()) }
        throw ControlFailure(message: "\(name): \(text)\(text.hasPrefix("504 ") ? doubt : "")")
    }

    private static func connected(_ path: String, patience: Int) throws(ControlFailure) -> Descriptor {
        let type = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let number = Glibc.socket(AF_UNIX, type, 0)
        if number < 0 { throw ControlFailure(message: explain(SystemError.lastCode, path)) }
        let descriptor = Descriptor(owning: number)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < 108 else { throw ControlFailure(message: explain(ENAMETOOLONG, path)) }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { target in
            for index in bytes.indices { unsafe target[index] = bytes[index] }
        }
        let result = unsafe withUnsafeBytes(of: &address) {
            unsafe connect(
                number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        if result < 0 { throw ControlFailure(message: explain(SystemError.lastCode, path)) }
        var time = timeval(tv_sec: patience, tv_usec: 0)
        _ = unsafe setsockopt(
            descriptor.number, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }

    /// What an operator can do about it; the words are those of the manual's DIAGNOSTICS.
    static func explain(_ code: Int32, _ path: String) -> String {
        let reason = "\(path): \(SystemError.text(code))"
        switch code {
        case ENOENT:
            return "\(reason); is sipfork running (systemctl status sipfork), and is this its socket?"
        case ECONNREFUSED: return "\(reason); sipfork is not running any more (systemctl status sipfork)"
        case EACCES, EPERM: return "\(reason); root may ask, and members of the group \(group(of: path))"
        default: return reason
        }
    }

    /// The group of the socket, where one may see it.
    private static func group(of path: String) -> String {
        var status = stat()
        guard unsafe stat(path, &status) == 0, status.st_gid != 0, let entry = unsafe getgrgid(status.st_gid)
        else {
            return "sipfork"
        }
        return unsafe String(cString: entry.pointee.gr_name)
    }
}
