import Platform
import Testing

@testable import Syntax

@Suite struct OptionTagsTests {
    /// What `writeUnsupported` says of a REGISTER with these header lines; nil where it knows all.
    private func unsupported(_ lines: [String], room: Int = 1000) -> String? {
        let scanned = Scanned(
            (["REGISTER sip:h SIP/2.0", "Via: SIP/2.0/UDP h;branch=z9hG4bK1"] + lines + ["", ""]).joined(
                separator: "\n"))
        var isWritten = false
        let bytes = written(room) {
            isWritten = OptionTags.writeUnsupported(
                Message(scanned.bytes.span, scanned.index), in: .require, to: &$0)
        }
        return isWritten ? string(bytes) : nil
    }

    @Test(
        arguments: [
            ([], nil), (["Require:"], nil), (["Require: path"], nil),
            (["Require: PATH, path", "require: Path"], nil),
            (["Require: gruu"], "Unsupported: gruu\r\n"),
            (["Require: outbound,\n path, gruu", "Require: x"], "Unsupported: outbound, gruu, x\r\n"),
            (["Require: paths, pat"], "Unsupported: paths, pat\r\n"),
            (["Supported: gruu", "Proxy-Require: gruu"], nil),
        ] as [([String], String?)])
    func listsWhatIsUnknown(lines: [String], answer: String?) { #expect(unsupported(lines) == answer) }

    @Test func leavesOutWhatHasNoRoom() {
        #expect(unsupported(["Require: gruu"], room: 10) == "")
    }

    @Test func findsATagInAnyLine() {
        let scanned = Scanned(
            "REGISTER sip:h SIP/2.0\nk: 100rel, Path\nSupported: gruu\nRequire: outbound\n\n")
        let message = Message(scanned.bytes.span, scanned.index)
        #expect(message.lists("path", in: .supported) && message.lists("gruu", in: .supported))
        #expect(!message.lists("path", in: .require) && !message.lists("100re", in: .supported))
    }
}
