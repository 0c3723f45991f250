import CPlatform
import Glibc
import Platform

/// Something on a loopback address, or nothing, that is asked as a name server.
protocol TestServer: AnyObject {
    var address: SocketAddress { get }
}

/// An address where nobody listens.
final class Nobody: TestServer {
    let address = SocketAddress(host: "127.0.0.55", port: 15_353)!
}

/// A real name server on a loopback address of its own, until it is stopped or nobody has it any more.
final class Dnsmasq: TestServer {
    let address: SocketAddress
    private var pid: Int32 = 0

    /// - Parameters: lines: as in dnsmasq.conf(5); isForTest: it knows all there is of .test; of other names
    ///   it cannot tell.
    init(_ host: String, port: UInt16, _ lines: [String], isForTest: Bool = true) throws {
        address = SocketAddress(host: host, port: port)!
        let options =
            [
                "no-daemon", "no-resolv", "no-hosts", "conf-file=/dev/null", "pid-file=", "bind-interfaces",
                "listen-address=\(host)", "port=\(port)", "user=", "group=", "local-ttl=100",
            ] + lines + (isForTest ? ["local=/test/"] : [])
        // Ends with this process, however that ends.
        try start(
            ["setpriv", "--pdeathsig", "KILL", "--", "/usr/sbin/dnsmasq"] + options.map { "--" + $0 })
    }

    private func start(_ arguments: [String]) throws {
        let null = unsafe open("/dev/null", O_RDWR)
        let raised = fcntl(null, F_DUPFD_CLOEXEC, 100)
        defer {
            close(null)
            close(raised)
        }
        let texts = unsafe arguments.map { unsafe strdup($0) }
        defer { for index in unsafe texts.indices { unsafe free(texts[index]) } }
        var pointers: [UnsafeMutablePointer<CChar>?] = unsafe texts + [nil]
        var environment: [UnsafeMutablePointer<CChar>?] = unsafe [nil]
        pid = unsafe cp_spawn("/usr/bin/setpriv", &pointers, &environment, [raised, raised, raised], 3)
        if pid < 0 { throw SystemError.last("setpriv") }
        // It serves once its TCP port takes connections.
        for _ in 0..<500 {
            if isListening { return }
            usleep(10_000)
        }
    }

    private var isListening: Bool {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(number) }
        var copy = address
        return unsafe withUnsafePointer(to: &copy) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(number, $0, 16) == 0
            }
        }
    }

    func stop() {
        if pid <= 0 { return }
        kill(pid, SIGKILL)
        _ = waitpid(pid, nil, 0)
        pid = 0
    }

    deinit { stop() }
}

/// A name server that reads and never answers.
final class SilentServer: TestServer {
    let address: SocketAddress
    private let number: Int32

    init(_ host: String, port: UInt16) {
        address = SocketAddress(host: host, port: port)!
        number = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        var copy = address
        let bound = unsafe withUnsafePointer(to: &copy) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(number, $0, 16) }
        }
        precondition(bound == 0)
    }

    /// Datagrams that have come.
    var received: Int {
        var count = 0
        var byte: UInt8 = 0
        while unsafe recv(number, &byte, 1, Int32(MSG_DONTWAIT)) >= 0 { count += 1 }
        return count
    }

    deinit { close(number) }
}
