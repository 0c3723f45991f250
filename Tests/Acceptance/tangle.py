"""Users registered at each other: what was one request must not become a storm (RFC 5393 §3)."""

from breadth import with_breadth
from harness import Sipfork
from loops import FAST, caller_of, ends, forks, registered, stops
from peers import one_callee
from testing import equal, test, true


def tangle(count, q=None):
    """`count` users, each registered at all of them: what RFC 5393 §3 warns of."""
    suffix = f";q={q}" if q else ""
    return {f"u{n}": [f"<sip:u{m}@example.org>{suffix}" for m in range(count)] for n in range(count)}


REFUSED = (404, 408, 440, 480, 482, 483, 500)


@test("users all registered at each other: one request makes a handful of messages, not a storm")
def amplification():
    # With ten users each fork of the first has 6 left, too few for ten contacts: 440.
    for count, most in ((2, 4), (3, 15), (5, 25), (10, 10)):
        with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
            registered(alice, tangle(count))
            for method in ("MESSAGE", "INVITE"):
                ends(proxy, alice, alice.request(method, "sip:u0@example.org"), REFUSED, most)


@test("the same in the order of q, with equal and with different q: each path is tried once")
def amplification_serial():
    settings = {**FAST, "forking": {"order": "q-value"}}
    for count, most in ((2, 4), (3, 15), (4, 64)):
        with Sipfork(settings) as proxy, caller_of(proxy) as alice:
            registered(alice, tangle(count, "0.5"))
            for method in ("MESSAGE", "INVITE"):
                ends(proxy, alice, alice.request(method, "sip:u0@example.org"), REFUSED, most)
    with Sipfork(settings) as proxy, caller_of(proxy) as alice:
        registered(alice, {
            f"u{n}": [f"<sip:u{m}@example.org>;q=0.{m + 1}" for m in range(4)] for n in range(4)})
        for method in ("MESSAGE", "INVITE"):
            ends(proxy, alice, alice.request(method, "sip:u0@example.org"), REFUSED, 64)


@test("a request with a small Max-Breadth stays as small in the tangle, and nothing is left of it")
def amplification_with_breadth():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, tangle(5))
        for value, most in (("4", 0), ("5", 5), ("9", 5), ("60", 25)):
            request = alice.request("MESSAGE", "sip:u0@example.org", headers=with_breadth(value))
            ends(proxy, alice, request, REFUSED, most)
        seen = forks(proxy)
        proxy.idle()
        equal(forks(proxy), seen, "forks when all is over")


@test("the caller hangs up in the middle of a tangle that ends in a phone: nothing is left")
def tangle_cancelled():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        registered(alice, tangle(3))
        registered(alice, {"u2": ["<sip:bob@example.org>"]})
        invite = alice.invite("u0")
        rang = []
        while (seen := bob.receive(0.5, again=False)) is not None:
            equal(seen.kind, "INVITE", "what the phone received")
            bob.answer(seen, 180)
            rang.append(seen)
        true(1 <= len(rang) <= 10, f"{len(rang)} INVITEs reached the phone")
        alice.drain()
        alice.answer_of(alice.cancel(invite), 200)
        left = {seen.branch for seen in rang}
        while left:
            cancel = bob.expect("CANCEL", ignore=("ACK", "INVITE"))
            bob.answer(cancel, 200)
            left.discard(cancel.branch)
            bob.answer(next(seen for seen in rang if seen.branch == cancel.branch), 487)
        response = alice.expect_final(invite, 5)
        true(response.kind in (482, 487), f"status {response.kind}")
        alice.ack_failure(invite, response)
        proxy.idle()


@test("an ACK or a CANCEL into the tangle, which belongs to no INVITE, makes a handful of messages too")
def stateless():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        registered(alice, tangle(5))
        for method in ("ACK", "CANCEL"):
            stops(proxy, alice, alice.request(method, "sip:u0@example.org"), 26)
