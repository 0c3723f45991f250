"""RFC 3665: its registrations and its calls that succeed, with real messages through running services.

Proxy 1 is a sipfork for atlanta.example.com, proxy 2 one for biloxi.example.com, and a wire between them shows their
messages (topology.py). F numbers are the RFC's; where its flow begins with a challenge, ours begins behind it. Contacts
and the way to the next proxy are numeric, for they are routed on; all other names are the RFC's, and so is the text of
the messages. Flows that fail are in rfc3665failures.py. 3.1 has no proxy in it.

Waiting for authentication: 2.1 F2 and F3 (the registrar's challenge), 2.5 whole, 3.2 F2 and F3, 3.3 F1 to F3 (proxy 1's
challenge) and that proxy 1 takes its own Proxy-Authorization off (F13), 3.4 F9 to F11. Waiting for TLS: sips: in 2.1 to
2.5. Waiting for TCP: the transport of 3.2, 3.6 and 3.9, UDP here. Waiting for names: F4 of 3.6 goes to proxy 3 because
the test's phone sends it there.
"""

from harness import FAST_TIMERS
from message import Message, parameter, reply_to, uri_of
from peers import establish
from testing import contains, equal, test, true
from topology import (
    ALICE_SDP, ATLANTA, BILOXI, BOB_SDP, BOB_TAG, CHICAGO, SDP, SLOW, Chain, acknowledged, bare, by_table, call,
    host_of, preloaded, proxied, record_routed, returned, sdp, service, trying)
from ua import UA, Dialog, token

REGISTRATION = "1j9FpLxk3uxtm8tn@biloxi.example.com"


def register(bob, cseq, headers, from_tag="a73kszlfl"):
    """A REGISTER of section 2: sent to the registrar's own name, for the address of record below its domain."""
    aor = f"Bob <sip:bob@{BILOXI}>"
    request = bob.request(
        "REGISTER", f"sip:ss2.{BILOXI}", from_=f"{aor};tag={from_tag}", to=aor, call_id=REGISTRATION, cseq=cseq,
        contact=False, headers=headers)
    response = bob.answer_of(bob.send(request), 200)
    true(response.tag(), "the 200 has a To tag")
    equal(response.get("From"), request.get("From"), "From")
    return {uri_of(value): int(parameter(value, "expires")) for value in response.values("Contact")}


def registrar():
    return service(BILOXI, SLOW, advertise=False)


def phone(proxy):
    return UA("bob", proxy.prefix + "201", proxy.address, 5060, BILOXI)


@test("RFC 3665 2.1: successful new registration (behind the challenge: F3, F4)")
def new_registration():
    with registrar() as proxy, phone(proxy) as bob:
        bindings = register(bob, 2, [("Contact", f"<{bob.uri}>")], from_tag="ja743ks76zlflH")
        equal(bindings, {bob.uri: 3600}, "the contact list in F4")
        rows = proxy.ctl("registrations")
        equal([row["aor"].removeprefix("sip:") for row in rows], [f"bob@{BILOXI}"], "addresses of record")


@test("RFC 3665 2.2: update of the contact list: a mailto: URI joins it, and calls still go to the phone alone")
def update():
    with registrar() as proxy, phone(proxy) as bob, UA("alice", proxy.prefix + "101", proxy.address) as alice:
        bob.register(call_id=REGISTRATION, cseq=1)
        bindings = register(bob, 2, [("Contact", f"mailto:bob@{BILOXI}")])
        equal(set(bindings), {bob.uri, f"mailto:bob@{BILOXI}"}, "the contact list in F2")
        true(all(seconds > 0 for seconds in bindings.values()), f"seconds left: {bindings}")
        alice.domain = BILOXI
        establish(alice, bob)


@test("RFC 3665 2.3: request for the current contact list, which changes nothing in it")
def query():
    with registrar() as proxy, phone(proxy) as bob:
        second = f"sip:bob@{proxy.prefix}202:5060"
        bob.register(contact=f"<{bob.uri}>, <{second}>", call_id=REGISTRATION, cseq=1)
        for cseq in (2, 3):
            bindings = register(bob, cseq, [])
            equal(set(bindings), {bob.uri, second}, "the contact list in F2")


@test("RFC 3665 2.4: cancellation of the registration: Contact * with Expires 0 leaves no contact, and calls get 480")
def cancellation():
    with registrar() as proxy, phone(proxy) as bob:
        bob.register(contact=f"<{bob.uri}>, <sip:bob@{proxy.prefix}202>", call_id=REGISTRATION, cseq=1)
        equal(register(bob, 2, [("Expires", "0"), ("Contact", "*")]), {}, "the contact list in F2")
        equal(proxy.ctl("registrations"), [], "registrations")
        with UA("alice", proxy.prefix + "101", proxy.address, domain=BILOXI) as alice:
            invite = alice.invite("bob")
            alice.ack_failure(invite, alice.answer_of(invite, 480))


@test("RFC 3665 3.2: session establishment through two proxies (F4 to F23)")
def two_proxies():
    session(preloaded)


@test("RFC 3665 3.2: the same, with a [[route]] at proxy 1 instead of a second Route from Alice")
def two_proxies_by_table():
    session(by_table)


def session(way):
    with Chain(ATLANTA, BILOXI, way=way) as chain:
        seen = chain.call()
        chain.rings(seen[-1])
        _, incoming = chain.answers(seen[0], seen[-1])
        chain.hangs_up(incoming)


CHALLENGE = (
    'Proxy-Authenticate: Digest realm="biloxi.example.com", qop="auth",\r\n'
    ' nonce="c1e22c41ae6cbe5ae983a9c8e88d359",\r\n opaque="", stale=FALSE, algorithm=MD5').encode()
FOR_ATLANTA = ("Proxy-Authorization", (
    'Digest username="alice", realm="atlanta.example.com", nonce="wf84f1ceczx41ae6cbe5aea9c8e88d359", opaque="", '
    'uri="sip:bob@biloxi.example.com", response="42ce3cef44b22f50c6a6071bc8"'))
FOR_BILOXI = ("Proxy-Authorization", (
    'Digest username="alice", realm="biloxi.example.com", nonce="c1e22c41ae6cbe5ae983a9c8e88d359", opaque="", '
    'uri="sip:bob@biloxi.example.com", response="f44ab22f150c6a56071bce8"'))


def challenged(ua, request):
    """Proxy 2's 407, with the challenge folded as the RFC prints it; gives it as its receiver sees it."""
    data = reply_to(request, 407, "Proxy Authorization Required", "838209").encode()
    ua.send(data.replace(b"Content-Length", CHALLENGE + b"\r\nContent-Length"), request.source)
    return Message.parse(data.replace(b"Content-Length", CHALLENGE + b"\r\nContent-Length"))


@test("RFC 3665 3.3: proxy 2's challenge passes through proxy 1 whole, and so do the credentials for it (F4 to F21)")
def far_challenge():
    # Proxy 2 is played by the test: it has the authentication that sipfork has not yet.
    with service(ATLANTA, advertise=False) as proxy:
        with UA("alice", proxy.prefix + "101", proxy.address, 5060, ATLANTA) as alice, \
                UA("proxy2", proxy.prefix + "222", proxy.address, 5060) as second:
            routes = [f"<sip:ss1.{ATLANTA};lr>", f"<sip:{second.host}:5060;lr>"]

            def forwarded(branch, cseq, *credentials):
                invite = alice.send(call(alice, branch, routes=routes, cseq=cseq, headers=[*credentials, *SDP]))
                trying(alice.expect(100), invite)
                seen = second.expect("INVITE")
                proxied(invite, seen, proxy)
                record_routed(invite, seen, proxy)
                return invite, seen

            invite, seen = forwarded("z9hG4bK74b21", 2, FOR_ATLANTA)
            answer = challenged(second, seen)
            acknowledged(second.expect("ACK"), seen, answer)
            challenge = alice.expect(407)
            returned(answer, challenge)
            contains(challenge.lines, CHALLENGE, "lines of the 407")
            alice.ack_failure(invite, challenge)
            second.silent(0.3)

            invite, seen = forwarded("z9hG4bK74bf9", 3, FOR_ATLANTA, FOR_BILOXI)
            contains(seen.fields, FOR_BILOXI, "fields of the INVITE with both credentials")
            ok = second.answer(seen, 200, "OK", tag="9103874", headers=SDP, body=BOB_SDP)
            arrived = alice.expect(200)
            returned(ok, arrived)
            dialog = Dialog.of_caller(alice, invite, arrived)
            ack = alice.send(dialog.request("ACK", headers=[FOR_ATLANTA, FOR_BILOXI]))
            proxied(ack, second.expect("ACK"), proxy)


@test("RFC 3665 3.4: proxy 1 is silent, Alice's phone turns to proxy 2")
def proxy_failure():
    with Chain(BILOXI) as chain, UA("proxy1", chain.proxies[0].prefix + "111", None, 5060) as dead:
        first = call(chain.alice, "z9hG4bK465b6d", routes=[f"<sip:ss1.{ATLANTA};lr>"])
        for _ in range(7):
            chain.alice.send(first, (dead.host, dead.port))
            equal(dead.expect("INVITE", again=True).branch, "z9hG4bK465b6d", "branch of F1 to F7")
        chain.alice.silent(0.1)
        # The Route was for proxy 1. Call-ID, From tag and CSeq are those of F1, which proxy 2 has never seen.
        chain.routes = []
        seen = chain.call(branch="z9hG4bK74b8a")
        equal(len(seen[-1].values("Record-Route")), 1, "Record-Route values at Bob's")
        chain.rings(seen[-1])
        _, incoming = chain.answers(seen[0], seen[-1])
        chain.hangs_up(incoming)
        equal(dead.drain(), [], "what proxy 1 was sent after that")


@test("RFC 3665 3.4: a proxy whose next hop is silent does as Alice's phone does: by [[route]] it turns to the next")
def proxy_failure_behind_proxy():
    def over_dead(near, far):
        hops = [f"sip:{near.prefix}111:5060", f"sip:{host_of(far)}"]
        near.settings["route"] = [{"domain": BILOXI, "to": hops, "policy": "failover"}]
        return []

    with Chain(ATLANTA, BILOXI, settings={ATLANTA: {"timers": FAST_TIMERS}}, way=over_dead) as chain:
        near, wire = chain.proxies[0], chain.wires[0]
        wire.patience = 15
        with UA("dead", near.prefix + "111", None, 5060) as dead:
            sent = chain.alice.send(call(chain.alice, routes=chain.routes))
            trying(chain.alice.expect(100), sent)
            seen = chain.carry(sent, uri=chain.bob.uri)
            copies = dead.drain()
            equal(len({copy.raw for copy in copies}), 1, "different messages at the silent hop (no CANCEL, no ACK)")
            true(4 <= len(copies) <= 7, f"F1 to F7: seven INVITEs, or fewer on a busy machine: {len(copies)}")
            proxied(sent, copies[0], near)
            true(copies[0].branch != seen[1].branch, "the next hop gets a branch of its own")
            trying(wire.west(100), seen[1])
            chain.rings(seen[-1])
            _, incoming = chain.answers(seen[0], seen[-1])
            chain.hangs_up(incoming)
            equal(dead.drain(), [], "what the silent hop was sent after that")
            seen = chain.call(branch="z9hG4bK" + token(), call_id="second@test")
            chain.refuses(seen, 486, "Busy Here")
            equal(dead.drain(), [], "what the silent hop was sent of the next call: it is skipped")


@test("RFC 3665 3.5: an ALG before proxy 2, which writes no Record-Route and sees no more than the INVITE")
def alg():
    # The ALG is played by the test; it answers for Alice's side of F1, F3, F8, F11, F12, F14 and F17.
    settings = {"server": {"record-route": False}, **SLOW}
    with service(BILOXI, settings, advertise=False) as proxy:
        with UA("alg1", proxy.prefix + "128", proxy.address, 5060, ATLANTA) as gateway, \
                UA("bob", proxy.prefix + "201", proxy.address, 5060, BILOXI) as bob:
            bob.register()
            record_route = f"<sip:alg1.{ATLANTA};lr>"
            invite = call(gateway, max_forwards=69, headers=[FOR_BILOXI, *SDP])
            own = ("Via", f"SIP/2.0/UDP alg1.{ATLANTA}:5060;branch=z9hG4bK739578.1")
            below = ("Via", invite.get("Via") + ";received=192.0.2.101")
            invite.fields[:1] = [own, below, ("Record-Route", record_route)]
            gateway.send(invite)
            trying(gateway.expect(100), invite)
            seen = bob.expect("INVITE")
            proxied(invite, seen, proxy, bob.uri)
            equal(seen.values("Record-Route"), [record_route], "Record-Route at Bob's: the ALG's alone")
            equal(bare(seen.values("Via")[2]), bare(below[1]), "Alice's Via, the last at Bob's")
            for status, reason, body in ((180, "Ringing", b""), (200, "OK", BOB_SDP)):
                response = bob.answer(seen, status, reason, tag=BOB_TAG, headers=SDP if body else (), body=body)
                arrived = gateway.expect(status)
                returned(response, arrived)
                equal(arrived.values("Record-Route"), [record_route], f"Record-Route of the {status}")
            # ACK and BYE go to Bob's Contact straight from the ALG; nothing of that comes by the proxy.
            dialog = Dialog.of_caller(gateway, invite, arrived)
            dialog.routes = []
            gateway.send(dialog.request("ACK"), (bob.host, bob.port))
            bob.expect("ACK")
            bye = gateway.send(dialog.request("BYE"), (bob.host, bob.port))
            bob.answer(bob.expect("BYE"), 200, "OK")
            gateway.answer_of(bye, 200)
            gateway.silent(0.3)
            bob.silent(0)


@test("RFC 3665 3.6: a redirect server sends Alice to proxy 3; the SDP travels in 200 and ACK (F1 to F16)")
def redirect():
    with Chain(CHICAGO) as chain, UA("redirect", chain.proxies[0].prefix + "222", None, 5060) as server:
        chain.alice.proxy = (server.host, server.port)
        first = chain.alice.send(call(chain.alice, "z9hG4bKbf9f44", body=b""))
        moved = [("Contact", f"<sip:bob@{CHICAGO};transport=tcp>")]
        server.answer(server.expect("INVITE"), 302, "Moved Temporarily", tag="53fHlqlQ2", headers=moved)
        chain.alice.ack_failure(first, chain.alice.answer_of(first, 302))
        server.expect("ACK")
        chain.alice.proxy, chain.routes = chain.proxies[0].address, []
        seen = chain.call(uri=f"sip:bob@{CHICAGO}", cseq=2, body=b"")
        equal(seen[-1].body, b"", "body of the INVITE at Bob's")
        chain.rings(seen[-1])
        offer = sdp("bob", 2890844527, f"client.{CHICAGO}", "192.0.2.100", 3456)
        _, incoming = chain.answers(seen[0], seen[-1], offer, ALICE_SDP)
        chain.hangs_up(incoming)


@test("RFC 3665 3.6: the 302 of a redirect server behind a proxy passes upstream, its Contact untouched (F1 to F3)")
def redirect_behind_proxy():
    with Chain(BILOXI) as chain:
        seen = chain.call(body=b"")
        moved = [("Contact", f"<sip:bob@{CHICAGO};transport=tcp>")]
        final = chain.refuses(seen, 302, "Moved Temporarily", headers=moved)
        equal(final.values("Contact"), [moved[0][1]], "Contact of the 302")


@test("RFC 3665 3.7: re-INVITE after a change of address, past a proxy without Record-Route (F1 to F13)")
def re_invite():
    with Chain(BILOXI, settings={BILOXI: {"server": {"record-route": False}, **SLOW}}) as chain:
        alice, bob, proxy = chain.alice, chain.bob, chain.proxies[0]
        chain.routes = []
        seen = chain.call()
        equal(seen[-1].values("Record-Route"), [], "Record-Route at Bob's")
        chain.rings(seen[-1])
        ok = bob.answer(seen[-1], 200, "OK", tag=BOB_TAG, headers=SDP, body=BOB_SDP)
        arrived = chain.carry(ok, west=True)[-1]
        outgoing = Dialog.of_caller(alice, seen[0], arrived)
        equal(outgoing.routes, [], "Alice's route set")
        equal(outgoing.target, bob.uri, "Alice's target: Bob's Contact")
        alice.send(outgoing.request("ACK"), (bob.host, bob.port))
        equal(bob.expect("ACK").source, (alice.host, alice.port), "the ACK comes from Alice herself")
        with UA("bob", proxy.prefix + "100", None, 5060, CHICAGO) as moved:
            incoming = Dialog.of_callee(moved, seen[-1], ok)
            again = incoming.request("INVITE", cseq=14, headers=SDP, body=sdp(
                "bob", 2890844528, f"client.{CHICAGO}", "192.0.2.100", 47172))
            moved.send(again, (alice.host, alice.port))
            received = alice.expect("INVITE")
            alice.answer(received, 200, "OK", headers=SDP, body=ALICE_SDP)
            moved.answer_of(again, 200)
            moved.send(incoming.request("ACK", cseq=14), (alice.host, alice.port))
            alice.expect("ACK")
            outgoing.target = received.contact()
            bye = alice.send(outgoing.request("BYE"), (moved.host, moved.port))
            moved.answer(moved.expect("BYE"), 200, "OK")
            alice.answer_of(bye, 200)
        chain.over()


@test("RFC 3665 3.7: the same through two proxies that record-route: the re-INVITE and what follows pass both")
def re_invite_through_proxies():
    with Chain(ATLANTA, BILOXI) as chain:
        seen = chain.call()
        outgoing, incoming = chain.answers(seen[0], seen[-1])
        with UA("bob", chain.proxies[1].prefix + "100", chain.proxies[1].address, 5060, CHICAGO) as moved:
            chain.bob = incoming.ua = moved
            body = sdp("bob", 2890844528, f"client.{CHICAGO}", "192.0.2.100", 47172)
            again = moved.send(incoming.request("INVITE", cseq=14, headers=SDP, body=body))
            received = chain.carry(again, west=True)
            equal(received[-1].contact(), moved.uri, "Contact of the re-INVITE")
            equal(received[-1].body, body, "Bob's new SDP")
            trying(moved.expect(100), again)
            trying(chain.wires[0].east(100), received[1])
            chain.carry(chain.alice.answer(received[-1], 200, "OK", headers=SDP, body=ALICE_SDP))
            chain.carry(moved.send(incoming.request("ACK", cseq=14)), west=True)
            outgoing.target = received[-1].contact()
            bye = chain.carry(chain.alice.send(outgoing.request("BYE")))[-1]
            equal(bye.uri, moved.uri, "Request-URI of the BYE: Bob's new Contact")
            chain.carry(moved.answer(bye, 200, "OK"), west=True)
            chain.over()
