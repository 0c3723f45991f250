"""Loops and spirals (RFC 3261 §16.3 step 4, RFC 5393 §4): a loop ends in 482, a spiral passes, nothing amplifies."""

from harness import FAST_TIMERS, Sipfork
from hops import passed_back, passed_on
from peers import accept_cancel, establish, hang_up, one_callee, refuse
from testing import equal, test, true
from ua import UA

FAST = {"timers": FAST_TIMERS}


def forks(proxy):
    """How many requests the proxy has forwarded; retransmissions do not count."""
    return proxy.status()["counters"]["forks_started"]


def ends(proxy, caller, request, statuses, most):
    """The request must fail with one of these statuses, after at most `most` forks. It comes from the bottom of the
    tree, so by then all forks are started that ever will be.
    """
    before = forks(proxy)
    caller.send(request)
    response = caller.expect_final(request, 10, passing=True)
    true(response.kind in statuses, f"{request.kind} ended with {response.start}, not one of {statuses}")
    if request.kind == "INVITE":
        caller.ack_failure(request, response)
    seen = forks(proxy) - before
    true(seen <= most, f"{seen} forks for one {request.kind}, at most {most} are right")
    return response


def caller_of(proxy):
    return UA("alice", proxy.prefix + "2", proxy.address)


def registered(caller, contacts):
    """Registers contacts, {user: [Contact values]}, all from the caller's address."""
    for user, values in contacts.items():
        for value in values:
            caller.register(user=user, contact=value)


@test("a contact that is the user itself: 482, after one turn")
def own_contact():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, {"mirror": ["<sip:mirror@example.org>"]})
        for method in ("MESSAGE", "INVITE", "FOO"):
            ends(proxy, alice, alice.request(method, "sip:mirror@example.org"), (482,), 1)


@test("a contact that names the user by our address in place of the domain comes back too, and ends")
def own_address():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        host = proxy.address[0]
        with UA("mirror", proxy.prefix + "3", proxy.address, domain=host) as mirror:
            for uri in (f"sip:mirror@{host}", f"sip:mirror@{host}:5060"):
                mirror.register(contact=f"<{uri}>")
                for method in ("MESSAGE", "INVITE"):
                    ends(proxy, alice, alice.request(method, f"sip:mirror@{host}"), (482,), 2)
                mirror.register(contact="*", expires=0)


@test("two users, each registered at the other: 482, after both were asked once")
def two_users():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, {"one": ["<sip:two@example.org>"], "two": ["<sip:one@example.org>"]})
        for method in ("MESSAGE", "INVITE"):
            ends(proxy, alice, alice.request(method, "sip:one@example.org"), (482,), 2)


@test("a ring of twelve users ends after one turn")
def ring():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, {f"u{n}": [f"<sip:u{(n + 1) % 12}@example.org>"] for n in range(12)})
        for method in ("MESSAGE", "INVITE"):
            ends(proxy, alice, alice.request(method, "sip:u0@example.org"), (482,), 12)


@test("a chain of users as long as Max-Forwards allows ends in 483, a shorter one in the phone")
def chain():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        registered(alice, {f"u{n}": [f"<sip:u{n + 1}@example.org>"] for n in range(12)})
        registered(alice, {"u12": ["<sip:bob@example.org>"]})
        ends(proxy, alice, alice.request("MESSAGE", "sip:u0@example.org", max_forwards=12), (483,), 12)
        request = alice.send(alice.request("MESSAGE", "sip:u0@example.org", max_forwards=14))
        seen = bob.expect("MESSAGE")
        equal(seen.get("Max-Forwards"), "0", "Max-Forwards after 14 turns")
        equal(len(seen.values("Via")), 15, "Vias")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)


@test("a spiral passes: carol's contact is bob, bob's phone rings; ACK and BYE come the same way")
def spiral():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        registered(alice, {"carol": ["<sip:bob@example.org>"]})
        invite = alice.invite("carol")
        seen = bob.expect("INVITE")
        equal(seen.uri, bob.uri, "Request-URI")
        equal(len(seen.values("Via")), 3, "Vias: the caller's and twice the proxy's")
        equal(seen.get("Max-Forwards"), "68", "Max-Forwards")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        outgoing, incoming = establish(alice, bob, "carol")
        hang_up(outgoing, incoming)
        hang_up(*reversed(establish(alice, bob, "carol")))


@test("a CANCEL follows a spiral")
def cancelled_spiral():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        registered(alice, {"carol": ["<sip:bob@example.org>"]})
        invite = alice.invite("carol")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        alice.answer_of(alice.cancel(invite), 200)
        accept_cancel(bob, seen)
        alice.ack_failure(invite, alice.answer_of(invite, 487))
        proxy.idle()


@test("one contact loops, the other is a phone: it rings, answers, and the call stands")
def half_a_loop():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        registered(alice, {"bob": ["<sip:bob@example.org>"]})
        hang_up(*establish(alice, bob))
        ends_after_refusal = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 603)
        alice.ack_failure(ends_after_refusal, alice.answer_of(ends_after_refusal, 603))
        alice.silent(0.2)
        bob.silent(0.1)


@test("a Route that leads through us again and again is a spiral: each value is used once")
def route_through_us():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        ours = f"<sip:{proxy.address[0]}:5060;lr>"
        with UA("hop", proxy.prefix + "30", proxy.address) as hop:
            routes = [ours, f"<sip:{hop.host}:{hop.port};lr>", ours]
            request = alice.send(alice.request("MESSAGE", bob.aor, routes=routes))
            seen = hop.expect("MESSAGE")
            hop.send(passed_on(hop, seen, routes=seen.values("Route")[1:]))
            at_bob = bob.expect("MESSAGE")
            equal(at_bob.values("Route"), [], "Route at the phone")
            equal(len(at_bob.values("Via")), 4, "Vias")
            bob.answer(at_bob, 200)
            hop.send(passed_back(hop.expect(200)))
            alice.answer_of(request, 200)
        request = alice.send(alice.request("MESSAGE", bob.aor, routes=[ours] * 5))
        seen = bob.expect("MESSAGE")
        equal(seen.values("Route"), [], "Route at the phone")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)


@test("a loop through another proxy: it sends the same request back, 482 to it, and what it says to the caller")
def through_a_peer():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        with UA("hop", proxy.prefix + "30", proxy.address) as hop:
            registered(alice, {"x": [f"<sip:x@{hop.host}:{hop.port}>"]})
            for method in ("MESSAGE", "INVITE"):
                request = alice.send(alice.request(method, "sip:x@example.org"))
                seen = hop.expect(method)
                again = hop.send(passed_on(hop, seen, uri="sip:x@example.org"))
                response = hop.answer_of(again, 482)
                if method == "INVITE":
                    hop.ack_failure(again, response)
                hop.silent(0.2, ignore=(method,))
                hop.send(passed_back(response))
                final = alice.answer_of(request, 482)
                if method == "INVITE":
                    equal(hop.expect("ACK").branch, seen.branch, "branch of the ACK to the 482")
                    alice.ack_failure(request, final)


@test("what another proxy sends back changed is a spiral: other user, other From tag, other CSeq, other Route")
def changed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("hop", proxy.prefix + "30", proxy.address) as hop:
            registered(alice, {"x": [f"<sip:x@{hop.host}:{hop.port}>"]})

            def turn(change, routes=None, uri=bob.aor):
                request = alice.send(alice.request("MESSAGE", "sip:x@example.org"))
                again = passed_on(hop, hop.expect("MESSAGE"), uri=uri, routes=routes)
                again.fields = [(name, change.get(name, value)) for name, value in again.fields]
                hop.send(again)
                receiver = bob if uri == bob.aor else hop
                receiver.answer(receiver.expect("MESSAGE"), 200)
                hop.send(passed_back(hop.answer_of(again, 200)))
                alice.expect(200)
                return request

            turn({})
            turn({"From": "<sip:alice@example.org>;tag=other"}, uri="sip:x@example.org")
            turn({"CSeq": "2 MESSAGE"}, uri="sip:x@example.org")
            turn({"Call-ID": "other@call"}, uri="sip:x@example.org")
            routes = [f"<sip:{proxy.address[0]};lr>", f"<sip:{hop.host}:{hop.port};lr>"]
            turn({}, routes=routes, uri="sip:x@example.org")


@test("a Via of ours that somebody made up is no loop")
def forged_via():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = alice.send(alice.request("MESSAGE", bob.aor))
        seen = bob.expect("MESSAGE")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)
        branch = seen.branch
        for made_up in (branch[:-1] + ("0" if branch[-1] != "0" else "1"), branch[:-4], "z9hG4bK", "z9hG4bKx-y.z"):
            extra = [("Via", f"SIP/2.0/UDP {proxy.address[0]}:5060;branch={made_up}")]
            request = alice.send(alice.request("MESSAGE", bob.aor, headers=extra))
            seen = bob.expect("MESSAGE")
            bob.answer(seen, 200)
            alice.expect(200)


@test("a second sipfork in the loop: it ends in 482 whichever is asked, a spiral over both passes")
def two_proxies():
    with Sipfork(FAST) as first, Sipfork(FAST) as second, one_callee(first) as (alice, (bob,)):
        there = f"sip:x@{second.address[0]}"
        here = f"sip:x@{first.address[0]}"
        with UA("x", first.prefix + "40", first.address, domain=first.address[0]) as at_first:
            at_first.register(contact=f"<{there}>")
            with UA("x", second.prefix + "40", second.address, domain=second.address[0]) as at_second:
                at_second.register(contact=f"<{here}>")
                for method in ("MESSAGE", "INVITE"):
                    before = forks(second)
                    ends(first, alice, alice.request(method, here), (482,), 1)
                    ends(first, alice, alice.request(method, there), (482,), 2)
                    true(forks(second) - before <= 2, f"{forks(second) - before} forks at the second")
                at_second.register(contact=f"<sip:bob@{first.address[0]}>", cseq=2)
                at_second.register(contact=f"<{here}>", expires=0, cseq=3)
            with UA("bob", first.prefix + "41", first.address, domain=first.address[0]) as bob_by_address:
                bob_by_address.register(contact=f"<{bob.uri}>")
            request = alice.send(alice.request("MESSAGE", here))
            seen = bob.expect("MESSAGE")
            equal(len(seen.values("Via")), 4, "Vias")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)


def received(proxy):
    return proxy.status()["counters"]["requests_received"]


def stops(proxy, caller, message, most):
    """What is forwarded statelessly must not turn round and round either: at most so many requests are received."""
    before = received(proxy)
    caller.send(message)
    last = None
    while last != (last := received(proxy)):  # until nothing moves any more
        caller.receive(0.2)
    true(last - before <= most, f"{last - before} requests received for one {message.kind}, at most {most} are right")
    caller.drain()


@test("an ACK or CANCEL that belongs to nothing and loops is dropped after one turn, not after seventy")
def stateless_loop():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, {"mirror": ["<sip:mirror@example.org>"], "one": ["<sip:two@example.org>"]})
        registered(alice, {"two": ["<sip:one@example.org>"]})
        for method in ("ACK", "CANCEL"):
            for user, most in (("mirror", 2), ("one", 3)):
                uri = f"sip:{user}@example.org"
                stops(proxy, alice, alice.request(method, uri), most)
                stops(proxy, alice, alice.request(method, uri, to=f"<{uri}>;tag=there"), most)
