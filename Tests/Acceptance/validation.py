"""What a proxy looks at before it forwards (RFC 3261 §16.3) and what it answers: 416, 483, 420; nothing to an ACK."""

from harness import FAST_TIMERS, Sipfork
from peers import establish, one_callee
from testing import contains, equal, test

FAST = {"timers": FAST_TIMERS}


def refused(caller, request, status):
    """The request must get this status; the response, acknowledged if need be."""
    response = caller.answer_of(caller.send(request), status)
    if request.kind == "INVITE":
        caller.ack_failure(request, response)
    return response


def requires(*tags):
    return [("Proxy-Require", tag) for tag in tags]


@test("Max-Forwards 0: 483 to every method, OPTIONS for a user too; what is for the proxy itself is answered")
def max_forwards():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("OPTIONS", "MESSAGE", "INVITE", "SUBSCRIBE", "FOO", "BYE"):
            for uri in (bob.aor, f"sip:x@{bob.host}:{bob.port}"):
                refused(alice, alice.request(method, uri, max_forwards=0), 483)
        refused(alice, alice.request("REGISTER", "sip:other.example", max_forwards=0), 483)
        bob.silent(0.2)
        alice.answer_of(alice.send(alice.request("OPTIONS", f"sip:{proxy.address[0]}", max_forwards=0)), 200)
        request = alice.request(
            "REGISTER", "sip:example.org", to=f"<{alice.aor}>", contact=False, max_forwards=0,
            headers=[("Contact", f"<{alice.uri}>")])
        alice.answer_of(alice.send(request), 200)


@test("Proxy-Require: 420 lists each option that the proxy does not know, from several lines, once")
def proxy_require():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("INVITE", "MESSAGE", "BYE", "FOO"):
            request = alice.request(method, bob.aor, headers=requires("one, two", "three"))
            response = refused(alice, request, 420)
            equal(sorted(response.values("Unsupported")), ["one", "three", "two"], f"Unsupported, for {method}")
        bob.silent(0.1)


@test("what is not known of Proxy-Require is told before the user is looked for")
def order():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _):
        for uri in ("sip:nobody@example.org", "sip:bob@example.org", "sip:x@name.invalid"):
            refused(alice, alice.request("MESSAGE", uri, headers=requires("one")), 420)


@test("an ACK that fails a check is dropped without an answer: scheme, Max-Forwards, Proxy-Require, no user")
def ack():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, _ = establish(alice, bob)
        alice.send(alice.request("ACK", "unknown:x"))
        alice.send(alice.request("ACK", "sip:nobody@example.org"))
        alice.send(alice.request("ACK", f"sip:{proxy.address[0]}"))
        alice.send(outgoing.request("ACK", max_forwards=0))
        alice.silent(0.3)
        bob.silent(0.1)
        alice.send(outgoing.request("ACK", headers=requires("one")))  # RFC 3261 does not say: dropped or passed on
        alice.silent(0.3)


@test("a CANCEL is not refused for a Proxy-Require: it ends its INVITE")
def cancel():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        cancel = alice.request(
            "CANCEL", invite.uri, to=invite.get("To"), from_=invite.get("From"), call_id=invite.get("Call-ID"),
            via=invite.get("Via"), headers=requires("one"))
        alice.answer_of(alice.send(cancel), 200)
        equal(bob.expect("CANCEL").values("Proxy-Require"), [], "Proxy-Require in our CANCEL")


@test("headers that are none of the proxy's business may be as broken as they like")
def not_ours():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        broken = [
            ("Date", "the day before"), ("Expires", "soon"), ("Supported", ",,,"), ("Accept", "/"), ("Min-SE", "-1"),
            ("Authorization", '"'), ("Record-Route", "<sip:other.example;lr>"), ("Warning", "x"), ("RSeq", ""),
            ("Unsupported", "<"), ("Event", ""), ("Refer-To", "<<"), ("Session-Expires", "x"), ("Retry-After", "-")]
        request = alice.send(alice.request("MESSAGE", bob.aor, headers=broken))
        seen = bob.expect("MESSAGE")
        for name, value in broken:
            contains(seen.values(name)[-1], value, name)
        bob.answer(seen, 200)
        alice.answer_of(request, 200)
