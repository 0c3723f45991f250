"""mode = "stateless" over TCP and to names: answers find the connection, a wait for DNS keeps order and bounds."""

from harness import DOMAIN, memory
from internet import ANSWER, Internet, received
from message import parameter, uri_of
from nameserver import host, srv
from stateless import belongs_to, ok_of
from testing import equal, test, true
from ua import Dialog, token

FAR = "sip:bob@example.test"
UDP, TCP = "_sip._udp.example.test", "_sip._tcp.example.test"
A, B = host("a.example.test", 31), host("b.example.test", 32)
REASON = "Next hop cannot be resolved"


def stateless(*records, **more):
    return Internet(*records, **more, server={"mode": "stateless"})


def call(caller, callee, uri):
    """INVITE to BYE between any two user agents; gives the INVITE at the callee."""
    invite = caller.send(caller.request("INVITE", uri))
    seen = callee.expect("INVITE", ANSWER)
    callee.answer(seen, 180)
    caller.answer_of(invite, 180, ignore=())
    response = callee.answer(seen, 200)
    ok = caller.answer_of(invite, 200, ignore=())
    outgoing, incoming = Dialog.of_caller(caller, invite, ok), Dialog.of_callee(callee, seen, response)
    caller.send(outgoing.request("ACK"))
    callee.expect("ACK", ANSWER)
    for first, second in ((outgoing, incoming), (incoming, outgoing)):
        info = first.ua.send(first.request("INFO"))
        second.ua.answer(second.ua.expect("INFO", ANSWER), 200)
        first.ua.answer_of(info, 200)
    bye = caller.send(outgoing.request("BYE"))
    callee.answer(callee.expect("BYE", ANSWER), 200)
    caller.answer_of(bye, 200)
    return seen


# TCP

@test("TCP to UDP, UDP to TCP, TCP to TCP: whole calls; each Via and Record-Route says its transport")
def mixed():
    with stateless(tcp=True) as stage:
        alice, carol = stage.alice, stage.stream("carol", 4)
        bob, dave = stage.peer("bob", 31), stage.stream("dave", 32)
        for phone in (bob, dave):
            phone.register()
        for caller in (alice, carol):
            for callee in (bob, dave):
                seen = call(caller, callee, callee.aor)
                names = ["TCP" if agent in (carol, dave) else "UDP" for agent in (callee, caller)]
                equal([via.split()[0] for via in seen.values("Via")], [f"SIP/2.0/{name}" for name in names], "Vias")
                recorded = [uri_of(value) for value in seen.values("Record-Route")]
                if names[0] != names[1]:
                    equal(len(recorded), 2, f"Record-Routes where the transport changes (RFC 5658): {recorded}")
                ours = ["TCP" if ";transport=tcp" in uri else "UDP" for uri in recorded]
                equal(ours, names if len(ours) == 2 else names[:1], "transports of the Record-Routes")


@test("an answer goes to the connection that the request came on, whatever Via says")
def connection():
    with stateless(tcp=True) as stage:
        bob, carol, dave = stage.peer("bob", 31), stage.stream("carol", 4), stage.stream("dave", 5)
        bob.register()
        for via in (f"SIP/2.0/TCP {dave.host}:{dave.port}", "SIP/2.0/TCP far.invalid:9", f"SIP/2.0/TCP {carol.host}"):
            request = carol.send(carol.request("MESSAGE", bob.aor, via=f"{via};branch=z9hG4bK{token()}"))
            bob.answer(bob.expect("MESSAGE"), 200)
            equal(carol.answer_of(request, 200).source, carol.way, "the connection of the answer")
        # Two connections with the same sent-by and branch: each has its answers.
        shared = f"SIP/2.0/TCP 192.0.2.7:5060;branch=z9hG4bK{token()}"
        requests = [ua.send(ua.request("MESSAGE", bob.aor, via=shared)) for ua in (carol, dave)]
        for _ in requests:
            bob.answer(bob.expect("MESSAGE"), 200)
        for ua, request in zip((carol, dave), requests):
            ua.answer_of(request, 200)


@test("the connection is gone: the answer goes to what Via says, by a new one (§18.2.2)")
def connection_gone():
    with stateless(tcp=True) as stage:
        bob, carol = stage.peer("bob", 31), stage.stream("carol", 4)
        bob.register()
        request = carol.send(carol.request("MESSAGE", bob.aor))
        seen = bob.expect("MESSAGE")
        carol.way.close()
        stage.alice.answer_of(stage.alice.send(stage.alice.request("OPTIONS", "sip:example.org")), 200)
        bob.answer(seen, 200)
        carol.answer_of(request, 200)


@test("a forged connection in our Via is good for nothing")
def connection_forged():
    with stateless(tcp=True) as stage:
        bob, carol, dave = stage.peer("bob", 31), stage.stream("carol", 4), stage.stream("dave", 5)
        bob.register()
        dave.answer_of(dave.send(dave.request("OPTIONS", "sip:example.org")), 200)
        carol.send(carol.request("MESSAGE", bob.aor))
        seen = bob.expect("MESSAGE")
        ours, theirs = seen.values("Via")
        names = [part.split("=")[0] for part in ours.split(";")[1:] + theirs.split(";")[1:]]
        for name in set(names) - {"branch", "received", "rport"}:
            value = parameter(ours, name) or parameter(theirs, name)
            for wrong in ("0", "1", "2", "3", "ffffffff", "-1", "9" * 30, "", value[::-1]):
                vias = [via.replace(f";{name}={value}", f";{name}={wrong}") for via in (ours, theirs)]
                bob.send(ok_of(seen, [f"Via: {via}" for via in vias]), seen.source)
        dave.silent(0.2)
        bob.answer(seen, 200)
        carol.expect(200, again=True)


# Names

@test("a name as next hop: whole calls by UDP and by TCP, and nobody is asked twice")
def names():
    with stateless(srv(UDP, "a.example.test", 5071), srv(TCP, "b.example.test", 5071), A, B, tcp=True) as stage:
        bob, dave = stage.peer("bob", 31, 5071), stage.stream("dave", 32, 5071)
        call(stage.alice, bob, FAR)
        call(stage.alice, dave, f"{FAR};transport=tcp")
        before = stage.asked()
        call(stage.alice, bob, FAR)
        equal(stage.asked(), before, "questions for the second call")


@test("servers of equal priority and weight: all messages of a transaction go to one of them (RFC 3263 §4.4)")
def deterministic():
    for weights in ((0, 0), (10, 10), (10, 30)):
        records = srv(UDP, "a.example.test", 5071, 10, weights[0]), srv(UDP, "b.example.test", 5071, 10, weights[1])
        with stateless(*records, A, B, ttl=1) as stage:
            alice, peers = stage.alice, (stage.peer("first", 31, 5071), stage.peer("second", 32, 5071))
            for _ in range(12):
                invite = stage.sends(FAR, "INVITE")
                taker, seen = received(*peers)
                for _ in range(3):
                    alice.send(invite)
                    equal(taker.expect("INVITE", again=True).raw, seen.raw, "the retransmission")
                alice.cancel(invite)
                belongs_to(taker.expect("CANCEL"), seen)
                taker.answer(seen, 487)
                alice.ack_failure(invite, alice.answer_of(invite, 487, ignore=()))
                belongs_to(taker.expect("ACK"), seen)
            for peer in peers:
                peer.silent(0.05, again=True)


@test("while DNS is asked the message waits, others pass; INVITE and CANCEL arrive in the end, no 100 is sent")
def waits():
    with stateless(srv(UDP, "a.example.test", 5071), A, rogue=True, resolver={"timeout": 10000}) as stage:
        alice, bob, phone, carol = (
            stage.alice, stage.peer("bob", 31, 5071), stage.peer("phone", 33), stage.peer("carol", 3, 0))
        phone.register()
        stage.server.hold()
        invite = stage.sends(FAR, "INVITE")
        stage.server.await_question()
        alice.send(invite)
        alice.cancel(invite)
        for _ in range(3):
            call(carol, phone, f"sip:phone@{DOMAIN}")
        equal([message.start for message in alice.drain()], [], "messages for who waits for DNS")
        stage.server.release()
        kinds = [bob.expect("INVITE", ANSWER), *(bob.receive(0.5) for _ in range(2))]
        seen = next(message for message in kinds if message.kind == "INVITE")
        cancel = next((message for message in kinds if message is not None and message.kind == "CANCEL"), None)
        true(cancel is not None, "the CANCEL arrives too")
        equal(cancel.branch, seen.branch, "branch of the CANCEL")


@test("a name that does not exist: 500 with the same To tag for the retransmission, its ACK ends here")
def nowhere():
    with stateless(A) as stage:
        for method in ("INVITE", "MESSAGE"):
            request = stage.sends("sip:bob@nowhere.test", method)
            first = stage.alice.expect_final(request, ANSWER)
            equal((first.kind, first.reason), (500, REASON), "answer")
            stage.alice.send(request)
            equal(stage.alice.expect_final(request, ANSWER).tag(), first.tag(), "To tag for the retransmission")
        stage.alice.ack_failure(request, first)
        stage.alice.silent(0.2, again=True)


@test("1,000 requests wait for a frozen name server: bounded memory, others pass, after it all is well", limit=120)
def bounded():
    with stateless(srv(UDP, "a.example.test", 5071), A, rogue=True, resolver={"timeout": 2000}) as stage:
        bob, phone, carol = stage.peer("bob", 31, 5071), stage.peer("phone", 33), stage.peer("carol", 3, 0)
        phone.register()
        before = memory(stage.proxy.process.pid)["RssAnon"]
        stage.server.hold()
        for number in range(1000):
            stage.sends(f"sip:bob@n{number}.test", body=b"x" * 800)
        for _ in range(10):
            call(carol, phone, f"sip:phone@{DOMAIN}")
        after = memory(stage.proxy.process.pid)["RssAnon"]
        true(after < before + 8192, f"memory of the master: {before} kB before, {after} kB after")
        stage.server.release()
        # Questions beyond what the server's socket holds are lost, and asked again after 2 s.
        answered = 0
        while answered < 1000 and stage.alice.receive(4) is not None:
            answered += 1
        true(answered > 0, "answers for who has waited")
        call(carol, bob, FAR)
