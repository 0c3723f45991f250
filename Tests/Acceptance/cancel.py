"""CANCEL and the limits of waiting (RFC 3261 §9, §16.7 step 2 and 10, §16.8, §16.10)."""

from harness import FAST_TIMERS, Sipfork
from peers import accept_cancel, establish, hang_up, is_hop_by_hop, one_callee, rings, three_contacts
from testing import equal, test, true
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}


def ringing(caller, callee, **more):
    """A call that rings; gives both INVITEs."""
    invite = caller.invite("bob", **more)
    seen = callee.expect("INVITE")
    callee.answer(seen, 180)
    caller.answer_of(invite, 180)
    return invite, seen


@test("a phone that never ends a cancelled INVITE is given up after 64·T1: the caller has its 487 (§9.1)")
def deaf_phone():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for answer in (200, 481, None):
            invite, seen = ringing(alice, bob)
            alice.answer_of(alice.cancel(invite), 200)
            cancel = bob.expect("CANCEL")
            is_hop_by_hop(cancel, seen)
            if answer is None:
                equal(bob.expect("CANCEL", again=True).raw, cancel.raw, "the CANCEL that came again")
            else:
                bob.answer(cancel, answer)
            response = alice.expect_final(invite, 8)
            true(response.kind in (408, 487), f"the end of a cancelled call: {response.start}")
            alice.ack_failure(invite, response)
            bob.drain()
        proxy.idle()


@test("a phone among three that never ends: the others' 200 stands, and nothing is left of the deaf one", limit=90)
def deaf_among_three():
    with Sipfork(FAST) as proxy, three_contacts(proxy) as (alice, phones):
        proxy.idle()
        before = proxy.status()["arena"]
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        phones[0].answer(invites[0], 200, tag="bob1")
        alice.answer_of(invite, 200)
        accept_cancel(phones[1], invites[1], tag="bob2")
        is_hop_by_hop(phones[2].expect("CANCEL"), invites[2])
        proxy.idle()
        # Timer D of the 487 is 32 s whatever T1 is.
        eventually(lambda: proxy.status()["arena"] == before, f"the arena's counts back at {before}", 40)


@test("100 does not set timer C again (§16.7 step 2): the call ends however many of them come")
def trying_for_ever():
    settings = {"timers": {**FAST_TIMERS, "c": 1500}}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        cancel = None
        for _ in range(20):
            bob.answer(seen, 100)
            cancel = bob.receive(0.3, again=False)
            if cancel is not None:
                break
        true(cancel is not None and cancel.kind == "CANCEL", f"a CANCEL at timer C, not {cancel and cancel.start}")
        is_hop_by_hop(cancel, seen)
        bob.answer(cancel, 200)
        bob.answer(seen, 487)
        bob.expect("ACK")
        alice.ack_failure(invite, alice.answer_of(invite, 408))


@test("each of 101, 180, 183 and 199 sets timer C again")
def provisional():
    settings = {"timers": {**FAST_TIMERS, "c": 1600}}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for status in (101, 183, 199, 180):
            bob.answer(seen, status)
            alice.answer_of(invite, status)
            bob.silent(0.8)
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)


@test("a 6xx waits for the others' end (§16.7 step 5); a 200 that crosses its CANCEL is what the caller gets")
def six_and_two_hundred():
    with Sipfork(SLOW) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        phones[0].answer(invites[0], 603, tag="bob1")
        phones[0].expect("ACK")
        accept_cancel(phones[1], invites[1], tag="bob2")
        phones[2].answer(phones[2].expect("CANCEL"), 200, tag="bob3")
        alice.silent(0.3)
        phones[2].answer(invites[2], 200, tag="bob3")
        equal(alice.answer_of(invite, 200).tag(), "bob3", "To tag of the 200")
        alice.silent(0.3)


@test("a CANCEL after the 200: answered, and reaches no phone; the call stands")
def after_the_answer():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        sides = establish(alice, bob, invite=invite)
        alice.answer_of(alice.cancel(invite), 200)
        bob.silent(0.2)
        hang_up(*sides)


@test("a CANCEL after a failure: answered, and reaches no phone")
def after_the_failure():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite, seen = ringing(alice, bob)
        bob.answer(seen, 486)
        bob.expect("ACK")
        response = alice.answer_of(invite, 486)
        alice.answer_of(alice.cancel(invite), 200)
        bob.silent(0.2)
        alice.ack_failure(invite, response)


@test("CANCEL has no Require and no Proxy-Require, whatever the INVITE has (§9.1), and Max-Forwards of its own")
def requirements():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite, seen = ringing(alice, bob, headers=[("Require", "100rel"), ("Supported", "timer"), ("X-Odd", "1")])
        alice.answer_of(alice.cancel(invite), 200)
        cancel = bob.expect("CANCEL")
        is_hop_by_hop(cancel, seen)
        for name in ("Require", "Proxy-Require", "Contact", "Record-Route", "Content-Type"):
            equal(cancel.values(name), [], f"{name} in the CANCEL")
        equal(cancel.body, b"", "body of the CANCEL")
        true(int(cancel.get("Max-Forwards")) > 0, "Max-Forwards of the CANCEL")
        bob.answer(cancel, 200)
        bob.answer(seen, 487)
        alice.ack_failure(invite, alice.answer_of(invite, 487))


@test("a re-INVITE is cancelled like an INVITE, by its Route; the call goes on")
def re_invite():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, incoming = establish(alice, bob)
        for first, second in ((outgoing, incoming), (incoming, outgoing)):
            invite = first.ua.send(first.request("INVITE"))
            seen = second.ua.expect("INVITE")
            second.ua.answer(seen, 180)
            first.ua.answer_of(invite, 180)
            first.ua.answer_of(first.ua.cancel(invite), 200)
            accept_cancel(second.ua, seen)
            first.ua.ack_failure(invite, first.ua.answer_of(invite, 487))
        hang_up(outgoing, incoming)


@test("a CANCEL that finds no INVITE is forwarded statelessly to where the INVITE would go (§16.10)")
def unknown():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        by_route = [f"<sip:{proxy.address[0]};lr>", f"<sip:{bob.host}:{bob.port};lr>"]
        for routes, uri in (((), bob.uri), (by_route, "sip:x@far.invalid")):
            invite = alice.request("INVITE", uri, routes=routes)
            alice.cancel(invite)
            seen = bob.expect("CANCEL")
            equal(len(seen.values("Via")), 2, "Vias")
            bob.answer(seen, 481)
            alice.expect(481)
