import Platform

/// Option tags (RFC 3261 §19.2) where we are the server: requests to the registrar and to the proxy itself.
package enum OptionTags {
    /// The extensions that we know there, as Supported lists them: Path (RFC 3327).
    package static let supported: StaticString = "path"

    /// Writes `Unsupported` with those tags of Require (as a server, §8.2.2.3) or Proxy-Require (§16.3 step 5)
    /// that we do not know; false where we know all, and nothing is written. Without the line where that is
    /// too long for the writer.
    package static func writeUnsupported(
        _ request: borrowing Message, in header: HeaderID, to writer: inout ByteWriter
    ) -> Bool {
        var tags = request.values(header)
        var isFirst = true
        while let tag = tags.next() {
            // Path is nothing that a proxy would have to do.
            if header == .require && request.bytes.matches(tag.range, ignoringCase: supported) { continue }
            writer.append(isFirst ? "Unsupported: " : ", ")
            writer.append(request.bytes, tag.range, unfolding: true)
            isFirst = false
        }
        if isFirst { return false }
        writer.append("\r\n")
        if writer.overflowed { writer.reset() }
        return true
    }
}

extension Message {
    /// True where one of the lines of `id` (Supported, Require) lists the option tag.
    package func lists(_ tag: StaticString, in id: HeaderID) -> Bool {
        var tags = values(id)
        while let found = tags.next() {
            if bytes.matches(found.range, ignoringCase: tag) { return true }
        }
        return false
    }
}
