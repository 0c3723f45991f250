import ArgumentParser

// `sipforkctl --json status` is `sipforkctl status --json`: the options belong to every command, and stand
// where one likes.
do {
    var command = try Sipforkctl.parseAsRoot(
        ArgumentOrder.optionsLast(Array(CommandLine.arguments.dropFirst())))
    try command.run()
} catch {
    Sipforkctl.exit(withError: error)
}
