import Platform
import Syntax

/// The first value of a stored Path, and where the others begin.
package struct PathRoute {
    package let uri: SIPURI
    package let isLoose: Bool
    package let rest: Int

    package init?(_ path: Span<UInt8>) {
        guard let address = NameAddress.parse(path, path.wholeRange),
            let uri = SIPURI.parse(path, address.uri)
        else { return nil }
        self.uri = uri
        isLoose = uri.hasParameter("lr", path)
        var place = Int(address.end)
        while place < path.count && (path[place] == UInt8(ascii: ",") || path[place] <= 0x20) { place += 1 }
        rest = place
    }
}
