import Testing

@testable import sipforkctl

/// Both forms of each view, from plain values.
struct ViewTests {
    @Test func writesWorkers() {
        let view = WorkersView(workers: [
            .init(
                index: 0, pid: 4713, restarts: 2, isReady: true, transactions: 5, records: 11, stored: 20,
                mailWaiting: 3, queue: 44, delay: 120, idle: 1249),
            .init(
                index: 1, pid: 0, restarts: 0, isReady: false, transactions: 0, records: 0, stored: 0,
                mailWaiting: 0,
                idle: nil),
        ])
        #expect(
            view.json.text
                == #"[{"index":0,"pid":4713,"restarts":2,"ready":true,"transactions":5,"records":11,"stored":20,"#
                + #""mail_waiting":3,"queue":44,"delay_ms":120,"heartbeat_age_ms":1249},"#
                + #"{"index":1,"pid":0,"restarts":0,"ready":false,"transactions":0,"records":0,"stored":0,"#
                + #""mail_waiting":0,"queue":0,"delay_ms":0,"heartbeat_age_ms":null}]"#)
        #expect(
            view.text == """
                WORKER   PID  RESTARTS  STATE        TRANSACTIONS  RECORDS  STORED  MAIL WAITING  QUEUE   DELAY  LAST TURN
                     0  4713         2  ready                   5       11      20             3     44  120 ms   1.2s ago
                     1     -         0  not running             0        0       0             0      0    0 ms          -

                """)
    }

    @Test func writesRegistrations() {
        let view = RegistrationsView(registrations: [
            .init(
                addressOfRecord: "alice@example.org",
                contacts: [
                    .init(
                        uri: "sip:alice@192.0.2.4:5062", expires: 3599, q: 1000,
                        path: "<sip:p1;lr>, <sip:p2;lr>",
                        userAgent: "Twinkle/1.10"),
                    .init(
                        uri: "sip:\u{1B}x\"@h", expires: 7, q: 700, path: nil, userAgent: "Phone\u{9B}"),
                    .init(uri: "sip:x@h", expires: 60, q: 0, path: nil, userAgent: nil),
                ])
        ])
        #expect(
            view.json.text
                == #"[{"aor":"alice@example.org","contacts":[{"uri":"sip:alice@192.0.2.4:5062","expires":3599,"q":1,"#
                + #""path":"<sip:p1;lr>, <sip:p2;lr>","user_agent":"Twinkle/1.10"},"#
                + #"{"uri":"sip:\u001bx\"@h","expires":7,"q":0.7,"path":null,"user_agent":"Phone\u009b"},"#
                + #"{"uri":"sip:x@h","expires":60,"q":0,"path":null,"user_agent":null}]}]"#)
        #expect(
            view.text == """
                ADDRESS OF RECORD  CONTACT                   EXPIRES IN  Q    USER AGENT    PATH
                alice@example.org  sip:alice@192.0.2.4:5062       59:59  1    Twinkle/1.10  <sip:p1;lr>, <sip:p2;lr>
                                   sip:?x"@h                         7s  0.7  Phone?        -
                                   sip:x@h                         1:00  0    -             -

                """)
        #expect(RegistrationsView().text == "no registrations\n" && RegistrationsView().json.text == "[]")
    }

    @Test(
        arguments: [
            ("alice@Example.ORG", "alice@example.org"), ("sip:alice@example.org", "alice@example.org"),
            ("SIPS:%61lice:secret@example.org:5061;transport=tcp", "alice@example.org"),
            ("example.org", "example.org"),
            ("alice@[2001:DB8::1]", "alice@[2001:db8::1]"), ("tel:+123", nil), ("", nil), ("a b@c", nil),
            ("@", nil),
        ] as [(String, String?)])
    func understandsAddressesOfRecord(_ text: String, _ canonical: String?) {
        #expect(AddressOfRecord.canonical(text).map { String(decoding: $0, as: UTF8.self) } == canonical)
    }

    @Test func writesTransactions() {
        let view = TransactionsView(transactions: [
            .init(
                callID: "a84b4c76e66710@pc33", method: "INVITE", state: "proceeding",
                requestURI: "sip:bob@example.org",
                worker: 1, pid: 4714, age: 3249, status: 180,
                forks: [
                    .init(
                        index: 0, worker: 1, pid: 4714, state: "proceeding", target: "sip:bob@192.0.2.4",
                        nextHop: "udp:192.0.2.4:5060", status: 180, cancel: nil),
                    .init(
                        index: 1, worker: 0, pid: 4713, state: "completed", target: "udp:192.0.2.5:5060",
                        nextHop: "udp:192.0.2.5:5060", status: nil, cancel: "trying"),
                ]),
            .init(
                callID: nil, method: "BYE", state: "completed", requestURI: nil, worker: 0, pid: 0, age: 0,
                status: nil,
                forks: []),
        ])
        #expect(
            view.json.text
                == #"[{"call_id":"a84b4c76e66710@pc33","method":"INVITE","state":"proceeding","#
                + #""request_uri":"sip:bob@example.org","status":180,"worker":1,"pid":4714,"age_ms":3249,"forks":["#
                + #"{"index":0,"worker":1,"pid":4714,"state":"proceeding","target":"sip:bob@192.0.2.4","#
                + #""next_hop":"udp:192.0.2.4:5060","status":180,"cancel":null},"#
                + #"{"index":1,"worker":0,"pid":4713,"state":"completed","target":"udp:192.0.2.5:5060","#
                + #""next_hop":"udp:192.0.2.5:5060","status":null,"cancel":"trying"}]},"#
                + #"{"call_id":null,"method":"BYE","state":"completed","request_uri":null,"status":null,"#
                + #""worker":0,"pid":0,"age_ms":0,"forks":[]}]"#)
        #expect(
            view.text == """
                INVITE sip:bob@example.org  proceeding 180  worker 1 (pid 4714)  3.2s  call-id a84b4c76e66710@pc33
                    fork 0  worker 1 (pid 4714)  proceeding 180  sip:bob@192.0.2.4 via udp:192.0.2.4:5060
                    fork 1  worker 0 (pid 4713)  completed  udp:192.0.2.5:5060  CANCEL trying
                BYE -  completed  worker 0 (pid 0)  0.0s  call-id -

                """)
        #expect(TransactionsView().text == "no transactions\n" && TransactionsView().json.text == "[]")
    }
}
