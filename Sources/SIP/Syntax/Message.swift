/// A scanned message: its bytes and what the scanner found in them. A view; it owns nothing.
package struct Message: ~Escapable {
    package let bytes: Span<UInt8>
    package let index: MessageIndex

    /// - Parameter index: of these very bytes.
    @_lifetime(copy bytes)
    package init(_ bytes: Span<UInt8>, _ index: MessageIndex) {
        self.bytes = bytes
        self.index = index
    }

    package var isRequest: Bool { index.isRequest }
    package var method: Method { index.method }
    package var status: UInt16 { index.status }

    package var methodToken: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.methodRange) } }
    package var requestURI: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.requestURI) } }
    package var reason: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.reason) } }
    package var callID: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.callID) } }
    package var fromTag: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.fromTag) } }
    package var toTag: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.toTag) } }
    package var branch: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.topVia.branch) } }
    package var body: Span<UInt8> { @_lifetime(copy self) get { bytes.slice(index.body) } }

    /// The first value line of `id` without surrounding white space, empty where there is none.
    @_lifetime(copy self)
    package func value(_ id: HeaderID) -> Span<UInt8> { bytes.slice(index.first(id).value) }

    /// All header lines, in order.
    package var lines: HeaderLines { @_lifetime(copy self) get { HeaderLines(self) } }

    /// The header lines of one name, in order.
    @_lifetime(copy self)
    package func lines(_ id: HeaderID) -> HeaderLines { HeaderLines(self, id) }

    /// The comma-separated values of all lines of one name, in order.
    @_lifetime(copy self)
    package func values(_ id: HeaderID) -> HeaderValues { HeaderValues(self, id) }
}
