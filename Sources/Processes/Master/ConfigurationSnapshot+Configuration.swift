import Configuration
import Glibc
import Platform
import SharedState

extension ConfigurationSnapshot {
    /// As many as the configuration says, or as there are processors, at least two.
    static func workers(_ configuration: Configuration) -> Int {
        let wanted =
            configuration.workers == 0 ? max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN))) : configuration.workers
        return min(wanted, ProcessID.maximumWorkers)
    }

    /// - Parameters: listeners: those that are open; workers: how many there are.
    init(
        _ configuration: Configuration, listeners: ListenerSet, workers: Int, stateDirectory: String
    ) throws(SystemError) {
        self.init()
        self.workers = UInt32(workers)
        for domain in configuration.domains where !addDomain(domain) {
            throw SystemError("server.domains: at most 64 names of at most 127 bytes", code: E2BIG)
        }
        setListeners(listeners, configuration)
        for (index, network) in configuration.relayFrom.prefix(ConfigurationSnapshot.maximumNetworks)
            .enumerated()
        {
            networks[index] = network.address
            networkPrefixes[index] = UInt32(network.prefix)
        }
        networkCount = UInt32(
            min(configuration.relayFrom.count, ConfigurationSnapshot.maximumNetworks))
        isStateless = configuration.mode == .stateless ? 1 : 0
        recordRoute = configuration.recordRoute ? 1 : 0
        maxBreadth = UInt32(configuration.maxBreadth)
        orderByQ = configuration.order == .qValue ? 1 : 0
        recurse = configuration.recurse ? 1 : 0
        maxPasses = UInt32(configuration.maxPasses)
        t1 = UInt32(configuration.t1)
        t2 = UInt32(configuration.t2)
        t4 = UInt32(configuration.t4)
        timerC = UInt32(configuration.c)
        maxDelay = UInt32(configuration.maxDelay)
        gather = UInt32(configuration.gather)
        tcpMaxConnections = UInt32(configuration.tcpMaxConnections)
        tcpMaxConnectionsPerPeer = UInt32(configuration.tcpMaxConnectionsPerPeer)
        tcpIdleTimeout = UInt32(configuration.tcpIdleTimeout)
        tcpMessageTimeout = UInt32(configuration.tcpMessageTimeout)
        tcpConnectTimeout = UInt32(configuration.tcpConnectTimeout)
        tcpMaxMessage = UInt32(configuration.tcpMaxMessage)
        tcpMaxHeader = UInt32(configuration.tcpMaxHeader)
        tcpMaxQueue = UInt32(configuration.tcpMaxQueue)
        for (index, server) in configuration.nameServers.enumerated() { nameServers[index] = server }
        nameServerCount = UInt32(configuration.nameServers.count)
        resolverTimeout = UInt32(configuration.resolverTimeout)
        candidateTimeout = UInt32(configuration.candidateTimeout)
        candidateDeadTime = UInt32(configuration.candidateDeadTime)
        registrarEnabled = configuration.registrarEnabled ? 1 : 0
        minExpires = UInt32(configuration.minExpires)
        defaultExpires = UInt32(configuration.defaultExpires)
        maxExpires = UInt32(configuration.maxExpires)
        maxContacts = UInt32(configuration.maxContacts)
        storeInMemory = configuration.store == .memory ? 1 : 0
        logLevel = UInt32(configuration.logLevel.priority)
        logCalls = configuration.logCalls == .none ? 0 : configuration.logCalls == .failed ? 1 : 2
        transactionsPerWorker = UInt64(max(configuration.maxTransactions / Int(workers), 1))
        guard setStateDirectory(stateDirectory) else {
            throw SystemError("state directory", code: ENAMETOOLONG)
        }
    }

    private mutating func setListeners(_ set: ListenerSet, _ configuration: Configuration) {
        listenerCount = UInt32(set.count)
        for number in set.numbers {
            let listener = set[number]!.listener
            var shown = configuration.advertised(for: listener).address
            if shown.isWildcard {
                shown = ListeningSocket.publicAddress(family: shown.family, port: shown.port)
            }
            transports[number] = listener.transport
            listeners[number] = listener.address
            advertised[number] = shown
        }
    }

    /// Remembers what the listeners were called before; the oldest is forgotten where there is no room.
    mutating func remember(_ before: ConfigurationSnapshot) {
        var known: [SocketAddress] = []
        for index in 0..<Int(listenerCount) { known += [listeners[index], advertised[index]] }
        var earlier: [SocketAddress] = []
        for index in 0..<Int(before.listenerCount) {
            earlier += [before.advertised[index], before.listeners[index]]
        }
        for index in 0..<before.formerly.count { earlier.append(before.formerly[index]) }
        var count = 0
        for address in earlier where !address.isNone && !address.isWildcard && !known.contains(address) {
            if count == formerly.count { return }
            known.append(address)
            formerly[count] = address
            count += 1
        }
    }
}
