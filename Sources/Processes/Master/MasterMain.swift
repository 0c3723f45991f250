import Configuration
import Glibc
import Mailbox
import Platform
import Proxy
import SharedMemory
import SharedState
import Systemd

/// The master process: sockets, parsing, dispatch, supervision. It may be sent `registered` by the locator
/// (`MailGraph`).
package enum MasterMain {
    /// Runs the service until it is told to stop; the exit status.
    package static func run(_ options: MasterOptions) -> Int32 {
        do {
            for directory in [options.stateDirectory, options.runtimeDirectory] {
                try makeDirectory(directory)
            }
            let snapshot = try makeSnapshot(options)
            var master = try MasterProcess(options, snapshot)
            return master.run()
        } catch {
            Console.report(.error, "cannot start: \(error)", event: .note)
            return 1
        }
    }

    /// Makes a directory, and those above it, where it is missing: systemd has made ours, a first try by hand
    /// has not.
    private static func makeDirectory(_ path: String) throws(SystemError) {
        var partial = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            partial += "/" + component
            if unsafe mkdir(partial, 0o750) < 0 && SystemError.lastCode != EEXIST {
                throw .last("mkdir \(partial)")
            }
        }
    }

    private static func makeSnapshot(_ options: MasterOptions) throws(SystemError) -> ConfigurationSnapshot {
        let configuration = options.configuration
        var snapshot = ConfigurationSnapshot()
        let workers =
            configuration.workers == 0 ? max(2, sysconf(Int32(_SC_NPROCESSORS_ONLN))) : configuration.workers
        snapshot.workers = UInt32(min(workers, ProcessID.maximumWorkers))
        for domain in configuration.domains where !snapshot.addDomain(domain) {
            throw SystemError("server.domains: at most 64 names of at most 127 bytes", code: E2BIG)
        }
        guard configuration.listen.count <= ConfigurationSnapshot.maximumListeners else {
            throw SystemError("server.listen: at most 16 listeners", code: E2BIG)
        }
        for (index, listener) in configuration.listen.enumerated() {
            var advertised = configuration.advertised(for: listener).address
            if advertised.isWildcard {
                advertised = ListeningSocket.publicAddress(family: advertised.family, port: advertised.port)
            }
            snapshot.transports[index] = listener.transport
            snapshot.listeners[index] = listener.address
            snapshot.advertised[index] = advertised
        }
        snapshot.listenerCount = UInt32(configuration.listen.count)
        for (index, network) in configuration.relayFrom.prefix(ConfigurationSnapshot.maximumNetworks)
            .enumerated()
        {
            snapshot.networks[index] = network.address
            snapshot.networkPrefixes[index] = UInt32(network.prefix)
        }
        snapshot.networkCount = UInt32(
            min(configuration.relayFrom.count, ConfigurationSnapshot.maximumNetworks))
        snapshot.isStateless = configuration.mode == .stateless ? 1 : 0
        snapshot.recordRoute = configuration.recordRoute ? 1 : 0
        snapshot.maxBreadth = UInt32(configuration.maxBreadth)
        snapshot.orderByQ = configuration.order == .qValue ? 1 : 0
        snapshot.recurse = configuration.recurse ? 1 : 0
        snapshot.maxPasses = UInt32(configuration.maxPasses)
        snapshot.t1 = UInt32(configuration.t1)
        snapshot.t2 = UInt32(configuration.t2)
        snapshot.t4 = UInt32(configuration.t4)
        snapshot.timerC = UInt32(configuration.c)
        snapshot.tcpMaxConnections = UInt32(configuration.tcpMaxConnections)
        snapshot.tcpMaxConnectionsPerPeer = UInt32(configuration.tcpMaxConnectionsPerPeer)
        snapshot.tcpIdleTimeout = UInt32(configuration.tcpIdleTimeout)
        snapshot.tcpMessageTimeout = UInt32(configuration.tcpMessageTimeout)
        snapshot.tcpConnectTimeout = UInt32(configuration.tcpConnectTimeout)
        snapshot.tcpMaxMessage = UInt32(configuration.tcpMaxMessage)
        snapshot.tcpMaxHeader = UInt32(configuration.tcpMaxHeader)
        snapshot.tcpMaxQueue = UInt32(configuration.tcpMaxQueue)
        for (index, server) in configuration.nameServers.enumerated() { snapshot.nameServers[index] = server }
        snapshot.nameServerCount = UInt32(configuration.nameServers.count)
        snapshot.resolverTimeout = UInt32(configuration.resolverTimeout)
        snapshot.candidateTimeout = UInt32(configuration.candidateTimeout)
        snapshot.candidateDeadTime = UInt32(configuration.candidateDeadTime)
        snapshot.registrarEnabled = configuration.registrarEnabled ? 1 : 0
        snapshot.minExpires = UInt32(configuration.minExpires)
        snapshot.defaultExpires = UInt32(configuration.defaultExpires)
        snapshot.maxExpires = UInt32(configuration.maxExpires)
        snapshot.maxContacts = UInt32(configuration.maxContacts)
        snapshot.storeInMemory = configuration.store == .memory ? 1 : 0
        snapshot.logLevel = UInt32(configuration.logLevel.priority)
        snapshot.logCalls = configuration.logCalls == .none ? 0 : configuration.logCalls == .failed ? 1 : 2
        snapshot.transactionsPerWorker = UInt64(max(configuration.maxTransactions / Int(snapshot.workers), 1))
        guard snapshot.setStateDirectory(options.stateDirectory) else {
            throw SystemError("state directory", code: ENAMETOOLONG)
        }
        return snapshot
    }
}
