import CPlatform
import Configuration
import Glibc
import Platform
import SharedState
import Systemd

/// Why something that a former master has left is not taken over.
struct Unusable: Error {
    let reason: String
}

/// The descriptors that a former master has left with systemd, by their names there. Whoever uses one takes it.
struct Inheritance {
    private var kept: [DescriptorStore.Kept]
    /// Of the memory and the mailboxes that were there.
    private let names: [String]

    static let arena = "arena"
    static let keys = "keys"
    static func reading(_ process: ProcessID) -> String { mailPrefix + "read-\(process.rawValue)" }
    static func writing(_ process: ProcessID) -> String { mailPrefix + "write-\(process.rawValue)" }
    private static let mailPrefix = "mail-"
    static func listener(_ number: Int) -> String { listenerPrefix + "\(number)" }
    private static let listenerPrefix = "listener-"

    init(_ store: DescriptorStore) throws(SystemError) {
        kept = try store.take()
        names = kept.map(\.name).filter {
            $0 == Inheritance.arena || $0 == Inheritance.keys || $0.hasPrefix(Inheritance.mailPrefix)
        }
    }

    /// Nothing of a former master's is there: a first start, or one by hand.
    var isEmpty: Bool { names.isEmpty }

    /// The descriptor of that name, owned from now on.
    mutating func take(_ name: String) throws(Unusable) -> Int32 {
        guard let place = kept.firstIndex(where: { $0.name == name }) else {
            throw Unusable(reason: "its descriptor \"\(name)\" is missing")
        }
        return kept.remove(at: place).descriptor
    }

    /// True where the descriptor of that name is an end of a mailbox.
    func hasMailbox(_ name: String) -> Bool {
        guard let found = kept.first(where: { $0.name == name }) else { return false }
        var domain: Int32 = 0
        var type: Int32 = 0
        return unsafe cp_socket_kind(found.descriptor, &domain, &type) == 0 && domain == AF_UNIX
            && type == Int32(SOCK_SEQPACKET.rawValue)
    }

    /// The sockets that are bound to an address of ours, whoever made them: a former master, or a socket unit.
    mutating func takeListeners() -> [ListenerSet.Kept] {
        var found: [ListenerSet.Kept] = []
        var others: [DescriptorStore.Kept] = []
        for one in kept {
            guard let listener = Inheritance.listener(of: one.descriptor) else {
                others.append(one)
                continue
            }
            let number =
                one.name.hasPrefix(Inheritance.listenerPrefix)
                ? Int(one.name.dropFirst(Inheritance.listenerPrefix.count)) : nil
            found.append(
                ListenerSet.Kept(
                    name: one.name, number: number, listener: listener, socket: one.descriptor))
        }
        kept = others
        return found
    }

    private static func listener(of socket: Int32) -> Listener? {
        var domain: Int32 = 0
        var type: Int32 = 0
        guard unsafe cp_socket_kind(socket, &domain, &type) == 0, domain == AF_INET || domain == AF_INET6
        else { return nil }
        let isDatagram = type == Int32(SOCK_DGRAM.rawValue)
        guard isDatagram || type == Int32(SOCK_STREAM.rawValue) else { return nil }
        let address = Connections.localAddress(socket)
        return address.port == 0 ? nil : Listener(isDatagram ? .udp : .tcp, address)
    }

    /// Has the store forget memory and mailboxes, which cannot be used.
    func drop(from store: DescriptorStore) { for name in names { store.drop(name) } }

    /// Closes what nobody has taken, here and in the store.
    mutating func discard(from store: DescriptorStore) {
        for one in kept {
            close(one.descriptor)
            store.drop(one.name)
        }
        kept = []
    }
}
