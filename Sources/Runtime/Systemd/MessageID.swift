/// Kinds of journal entries, each with the 128-bit identifier that `journalctl -x` looks up in the message
/// catalogue and `journalctl MESSAGE_ID=…` finds. Random, and never changed.
package enum MessageID {
    /// The service is ready.
    package static let started: StaticString = "0e2f0a9e17154cd591963f4bd5bea859"
    /// The service stopped.
    package static let stopped: StaticString = "3bc8c9d93bc642e5b7a53adca41295ff"
    /// A process of the service was started.
    package static let childStarted: StaticString = "f59cb89460ad4049baed80cabab8a2e4"
    /// A process of the service ended by itself; another takes its place.
    package static let childDied: StaticString = "02ab057bfb93438295856df8315b20b9"
    /// The configuration was refused.
    package static let configurationRefused: StaticString = "379c056dd8244116883eb2dc8b0ba725"
    /// The configuration was accepted with a warning.
    package static let configurationWarning: StaticString = "c53d18e3352d42c79f7fb92a8a11f676"
    /// A call ended with an error.
    package static let callFailed: StaticString = "dd057f1e5b3c4efb84f1c817ac592504"
    /// A call was answered.
    package static let callAnswered: StaticString = "0c811b87f4fe428aaa58a961f89ba1de"
    /// A call ended.
    package static let callEnded: StaticString = "9fb78a23e6e24138bfb0573ddcede8fc"
    /// A message was refused or dropped for its form.
    package static let malformedMessage: StaticString = "68bb6329f0d04b03877bb0f51d05b783"
    /// Entries were dropped because nobody took them.
    package static let logDropped: StaticString = "99a02d394062420598b2c10743b8e8c6"
    /// A table or queue was full.
    package static let limitReached: StaticString = "c097b49dbb5b4206a6762171fda22950"
    /// The database of bindings failed.
    package static let storageFailed: StaticString = "06e3662dd9fa4fcf817b98df1f2a649c"
    /// A next hop of a route could not be reached.
    package static let hopFailed: StaticString = "6f6cfb15c00f417aa6c73a1e7c0e938b"
    /// A next hop of a route that could not be reached answers again.
    package static let hopAnswers: StaticString = "d17afc179cc049c59918dc1275458efd"
    /// A name server does not answer, or cannot tell.
    package static let resolverFailed: StaticString = "cc15785f32ce49d699730e83822316a6"
    /// A name server that did not answer answers again.
    package static let resolverAnswers: StaticString = "789580949727436ab1e89796f97ae8b2"
    /// A connection could not be made, or broke.
    package static let connectionFailed: StaticString = "857f1a3f3d1f4553b314f88cb6904b12"
    /// A reload was carried out, or has left something for the next start.
    package static let configurationReloaded: StaticString = "e3d0c6b7fb7d4a3c9e5b6d4c9a1f2e70"
    /// A message of a call that is traced came in or went out.
    package static let messageTraced: StaticString = "5a3ef9ab57ec4d2ab30cd9e33a8bbf7a"
    /// The service could not start, for a reason other than its configuration.
    package static let startFailed: StaticString = "1f0d5c1c6a4e4f2fb0e7a1a4a3c9d7e2"
    /// The database of bindings, which had failed, can be written again.
    package static let storageAnswers: StaticString = "7c9c1d4c0b1648a5b6c57b0ad0a5a4de"
    /// A master goes on with the memory and the sockets of the one before.
    package static let tookOver: StaticString = "ab3b6b0272984c3d86d92a84dc5f78e7"
    /// A master could not go on with them.
    package static let memoryDiscarded: StaticString = "68e1047081b142728681b42ca6140423"
    /// New requests are refused, or no longer, because a process has too much to do.
    package static let overloaded: StaticString = "15e479fdaecd4a759256b608b195dd68"
    /// A message, or a timer, is dropped because it has ended the process that handled it twice.
    package static let quarantined: StaticString = "935ccccbe73c42d0b8da5db88f149951"
}
