import CPlatform

/// Where the parts of the region lie that the master receives datagrams into, and how large they are.
package enum DatagramLayout {
    /// What of the longest datagram does not fit a small slot.
    package static let spillBytes = 65536 - Slots.smallCapacity
    package static let inboxOffset = 64
    package static let spillOffset = inboxOffset + Int(cp_inbox_bytes)
    package static let bytes = spillOffset + Int(cp_batch) * spillBytes
}
