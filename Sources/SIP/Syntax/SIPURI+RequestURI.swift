import Platform

/// URIs as Request-URIs: some parts of a URI have no place there.
extension SIPURI {
    /// True where the URI has parts that a Request-URI must not have (RFC 3261 §19.1.1, table 1).
    package func needsEditing(_ bytes: Span<UInt8>) -> Bool {
        isSIP && (!headers.isEmpty || hasParameter("method", bytes))
    }

    /// Writes the URI without headers and `method` parameter (§16.6 step 2).
    package func writeRequestURI(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        if !needsEditing(bytes) {
            writer.append(bytes.slice(whole))
            return
        }
        var end = parameters.isEmpty ? headers.start &- 1 : parameters.start &- 1
        // sip:a@b;?x=y
        while end > host.end && bytes[end &- 1] == Ascii.semicolon { end &-= 1 }
        writer.append(bytes, from: whole.start, to: end)
        writeParameters(bytes, except: "method", "method", to: &writer)
    }

    /// Writes the URI without `maddr`, port and transport, as a proxy that the `maddr` names must read it
    /// (§16.4).
    package func writeWithoutMaddr(_ bytes: Span<UInt8>, to writer: inout ByteWriter) {
        writer.append(bytes, from: whole.start, to: host.end)
        writeParameters(bytes, except: "maddr", "transport", to: &writer)
    }

    private func writeParameters(
        _ bytes: Span<UInt8>, except first: StaticString, _ second: StaticString,
        to writer: inout ByteWriter
    ) {
        var list = URIComponents(bytes, parameters, separator: Ascii.semicolon)
        while let (name, value) = list.next() {
            if bytes.matches(name, ignoringCase: first) || bytes.matches(name, ignoringCase: second) {
                continue
            }
            writer.append(Ascii.semicolon)
            writer.append(bytes.slice(ByteRange(name.start, value.end)))
        }
    }
}
