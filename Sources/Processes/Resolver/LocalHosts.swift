import Glibc
import Platform

/// Names that need no name server: the machine's own (RFC 6761 §6.3), addresses written as names, and those
/// of the hosts file.
struct LocalHosts {
    /// Seconds for which a line of the file is believed.
    static let fileTTL: UInt32 = 60
    /// Bytes of the file that are read.
    private static let maximumBytes = 1 << 20

    private let path: String
    private var stamp = FileStamp()
    private var names: [String: [SocketAddress]] = [:]

    init(path: String = "/etc/hosts") {
        self.path = path
        refresh()
    }

    /// The addresses of a name in lower case, and for how many seconds they hold; nil where a name server has
    /// to be asked.
    func find(_ name: String) -> (addresses: [SocketAddress], ttl: UInt32)? {
        if let address = SocketAddress(host: name, port: 0) { return ([address], .max) }
        if let listed = names[name], name != "localhost" { return (listed, LocalHosts.fileTTL) }
        if name == "localhost" || name.hasSuffix(".localhost") { return ([LocalHosts.loopback], .max) }
        return nil
    }

    private static let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)

    /// Reads the file anew where it has changed.
    mutating func refresh() {
        let current = FileStamp(path: path)
        if current == stamp { return }
        stamp = current
        names = [:]
        for line in LocalHosts.read(path).split(separator: 0x0A) { add(line) }
    }

    /// `address name name # remark`, as hosts(5) has it.
    private mutating func add(_ line: ArraySlice<UInt8>) {
        let text = line.prefix { $0 != 0x23 }
        let words = text.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            .map { String(decoding: $0, as: UTF8.self).lowercased() }
        guard words.count > 1, let address = SocketAddress(host: words[0], port: 0), !address.isWildcard
        else { return }
        for name in words.dropFirst() { names[name, default: []].append(address) }
    }

    private static func read(_ path: String) -> [UInt8] {
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        if number < 0 { return [] }
        let file = Descriptor(owning: number)
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while bytes.count < maximumBytes {
            let count = unsafe Glibc.read(file.number, &piece, 65536)
            if count <= 0 { break }
            bytes += piece.prefix(count)
        }
        return bytes
    }
}

/// By what a file that has changed is told from the one before.
struct FileStamp: Equatable {
    private var inode: UInt64 = 0
    private var size: Int64 = 0
    private var seconds: Int = 0
    private var nanoseconds: Int = 0

    /// Of no file.
    init() {}

    init(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return }
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }
}
