"""Requests other than INVITE (RFC 4320): no 408, 100 only after Timer E has reached T2, nothing late."""

import time

from harness import FAST_TIMERS, Sipfork
from peers import Cast, one_callee
from testing import equal, test, true

FAST = {"timers": FAST_TIMERS}
OVER = 4.5  # seconds: longer than 64·T1 of FAST_TIMERS


def message(caller, **more):
    return caller.send(caller.request("MESSAGE", "sip:bob@example.org", body=b"hello", **more))


@test("100 to MESSAGE comes, but not before Timer E has reached T2 (§4.1), and again for each retransmission")
def trying():
    # Timer E: 250 ms, 500 ms, then T2, 750 ms after the start.
    with Sipfork({"timers": {"t1": 250, "t2": 1000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("MESSAGE", "SUBSCRIBE", "FOO"):
            start = time.monotonic()
            request = alice.send(alice.request(method, bob.aor))
            seen = bob.expect(method)
            response = alice.answer_of(request, 100, 5, ignore=())
            waited = time.monotonic() - start
            true(waited >= 0.74, f"100 to {method} came after {waited:.3f} s, before Timer E has reached T2")
            alice.send(request)
            alice.answer_of(request, 100, ignore=(), again=True)
            true(response.tag() is None, "no To tag in a 100")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)


@test("an answer before that: no 100 at all, neither before it nor after")
def no_trying():
    with Sipfork({"timers": {"t1": 250, "t2": 1000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = message(alice)
        bob.answer(bob.expect("MESSAGE"), 200)
        alice.answer_of(request, 200, ignore=())
        alice.silent(1.2)


@test("a retransmission before that gets no 100 either")
def no_trying_again():
    with Sipfork({"timers": {"t1": 1000, "t2": 4000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = message(alice)
        seen = bob.expect("MESSAGE")
        for _ in range(3):
            alice.send(request)
        alice.silent(0.5, again=True)
        bob.answer(seen, 200)
        alice.answer_of(request, 200, ignore=())


@test("180, 183 and 199 to MESSAGE go no further: only 100 is allowed (§4.1)")
def provisional():
    with Sipfork({"timers": {"t1": 2000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = message(alice)
        seen = bob.expect("MESSAGE")
        for status in (100, 180, 183, 199):
            bob.answer(seen, status)
        alice.silent(0.4)
        bob.answer(seen, 200)
        alice.answer_of(request, 200)


def outcome(*statuses):
    """MESSAGE to phones that answer with these statuses (None: not at all); gives the final response or None."""
    with Sipfork(FAST) as proxy, Cast(proxy, ["bob"] * len(statuses)) as (alice, phones):
        request = message(alice)
        for number, (phone, status) in enumerate(zip(phones, statuses)):
            seen = phone.expect("MESSAGE")
            if status is not None:
                phone.answer(seen, status, tag=f"bob{number}")
        found = None
        deadline = time.monotonic() + OVER
        while found is None and (response := alice.receive(deadline - time.monotonic())) is not None:
            equal(response.get("Call-ID"), request.get("Call-ID"), "Call-ID")
            found = response if response.kind >= 200 else None
        proxy.idle()
        return found


@test("a 408 from the phone goes no further: the transaction ends without an answer (§4.2)")
def timeout_downstream():
    equal(outcome(408), None, "final response")
    equal(outcome(408, 408), None, "final response")


@test("of several phones, who says 408 or nothing does not count: the others' answer goes, never a 408")
def timeout_among_others():
    equal(outcome(408, 404).kind, 404, "status")
    equal(outcome(None, 200).kind, 200, "status")
    for statuses in ((500, 408), (None, 404), (404, None), (None, 408), (None, 503)):
        response = outcome(*statuses)
        true(response is None or response.kind in (404, 500), f"{statuses}: {response and response.start}")


@test("an answer that comes when the transaction is over is dropped (§4.2) and counted")
def too_late():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        message(alice)
        seen = bob.expect("MESSAGE")
        alice.silent(OVER, ignore=(100,))
        proxy.idle()
        before = proxy.status()["counters"]["stray_responses"]
        bob.answer(seen, 200)
        alice.silent(0.3)
        equal(proxy.status()["counters"]["stray_responses"], before + 1, "stray_responses")


@test("the same request again, when nobody answered the first: it is tried again")
def tried_again():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = message(alice)
        bob.expect("MESSAGE")
        alice.silent(OVER, ignore=(100,))
        proxy.idle()
        bob.drain()
        alice.send(request)
        bob.answer(bob.expect("MESSAGE", again=True), 200)
        alice.answer_of(request, 200)


@test("an INVITE has its 100 at once and its 408 at the end, as before")
def invite():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = alice.invite("bob")
        alice.answer_of(request, 100, ignore=())
        bob.expect("INVITE")
        alice.ack_failure(request, alice.answer_of(request, 408, 6))
