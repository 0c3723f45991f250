import Syntax
import Testing

@testable import Registrar

/// The control tool's commands: on their way to the master, and as the REGISTER that the locator gets.
@Suite struct RegisterCommandTests {
    private static func command(
        _ action: RegisterCommand.Action = .register, _ aor: String = "sip:bob@h",
        contact: String = "sip:b@1",
        expires: String = "", q: String = "", path: String = ""
    ) -> RegisterCommand {
        var command = RegisterCommand(action, aor, contact: contact)
        (command.expires, command.q, command.path) = (expires, q, path)
        return command
    }

    @Test(arguments: [
        command(), command(.unregister, contact: ""),
        command(expires: "60", q: "0.5", path: "\"ü\" <sip:p;lr>, <sip:q;lr>"),
    ])
    func arrivesAsItWasSent(command: RegisterCommand) {
        #expect(RegisterCommand(decoding: command.encoded.span) == command)
    }

    @Test(arguments: [
        "", "view\n", "register\n", "register\nsip:bob@h\nsip:b@1\n\n\n",
        "register\nsip:bob@h\nsip:b@1\n\n\n\n\n",
        "register\nsip:bob@h\nsip:b@1\n\n\n", "remove\nsip:bob@h\nsip:b@1\n\n\n\n",
        "register\nsip:bob@h\nsip:b@1\n\n\n\nmore", "register\nsip:bob@h\nsip:b@1\n\n\n<sip:p>",
    ])
    func otherThingsAreNone(text: String) {
        let bytes = Array(text.utf8)
        #expect(RegisterCommand(decoding: bytes.span) == nil)
    }

    @Test(
        arguments: [
            (command(), nil), (command(.unregister, contact: ""), nil), (command(expires: "0", q: "0."), nil),
            (command(.register, contact: ""), .badContact), (command(contact: "*"), .badContact),
            (command(.unregister, contact: "*"), .badContact),
            (command(contact: "sip:b@1>, <sip:c@1"), .badContact),
            (command(.register, "tel:+1"), .badTo), (command(.register, "sip:h"), .badTo),
            (command(.register, "sip:b@h>;x=<y"), .badTo), (command(expires: "-1"), .badExpires),
            (command(expires: "1;q=0"), .badExpires), (command(q: "2"), .badContact),
            (command(q: "0.5;x=y"), .badContact), (command(path: "<sip:p>\r\nContact: *"), .badPath),
            (command(contact: "sip:b@1\r\nX:"), .badContact), (command(.register, "sip:b\r@h"), .badTo),
        ] as [(RegisterCommand, RegisterReason?)])
    func faults(command: RegisterCommand, fault: RegisterReason?) { #expect(command.fault == fault) }

    private func text(_ command: RegisterCommand) -> String {
        String(decoding: command.request(number: 0xAB, host: "box"), as: UTF8.self)
    }

    @Test func becomesARegister() {
        let command = Self.command(
            .register, "sips:%62ob@H:5061", expires: "60", q: "0.5", path: "<sip:p;lr>")
        #expect(
            text(command) == """
                REGISTER sip:H SIP/2.0\r
                Via: SIP/2.0/UDP localhost;branch=z9hG4bK00000000000000ab\r
                From: <sips:%62ob@H:5061>;tag=sipforkctl\r
                To: <sips:%62ob@H:5061>\r
                Call-ID: sipforkctl-00000000000000ab@box\r
                CSeq: 1 REGISTER\r
                User-Agent: sipforkctl\r
                Contact: <sip:b@1>;q=0.5;expires=60\r
                Path: <sip:p;lr>\r
                Content-Length: 0\r
                \r

                """)
        #expect(text(Self.command()).contains("\r\nContact: <sip:b@1>\r\n"))
        #expect(text(Self.command(.unregister)).contains("\r\nContact: <sip:b@1>;expires=0\r\n"))
        let all = text(Self.command(.unregister, contact: ""))
        #expect(all.contains("\r\nContact: *\r\nExpires: 0\r\n"))
    }

    @Test func itsRegisterIsSound() {
        for command in [
            Self.command(), Self.command(.unregister, contact: ""), Self.command(path: "<sip:p;lr>"),
            Self.command(.register, "sip:bob@[2001:db8::1]:5070", contact: "mailto:bob@h"),
        ] {
            let bytes = command.request(number: .max, host: "box")
            var index = MessageIndex()
            #expect(Scanner.scan(bytes.span, into: &index) == .complete)
            #expect(index.method == .register)
        }
    }

    @Test func tooLongIsNone() {
        let long = String(repeating: "x", count: RegisterCommand.longest)
        #expect(Self.command(contact: "sip:\(long)@h").request(number: 1, host: "box").isEmpty)
    }
}
