"""2xx to INVITE (RFC 6026): all are forwarded while the call is accepted, ACKs reach the phones, strays nobody."""

from harness import FAST_TIMERS, Sipfork
from peers import establish, hang_up, one_callee, refuse, rings, three_contacts
from testing import equal, test
from ua import Dialog
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}
THREE = {"server": {"workers": 3}, **SLOW}


def strays(proxy):
    return proxy.status()["counters"]["stray_responses"]


def dropped(proxy, caller, phone, seen, status, **more):
    """A response that must go no further than the counter."""
    before = strays(proxy)
    phone.answer(seen, status, **more)
    caller.silent(0.2, again=True)
    eventually(lambda: strays(proxy) > before, "a stray response in the counters", 2)


@test("2xx of every fork, one after the other, long after the first: all reach the caller, each has ACK and BYE")
def late_answers():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        sides = []
        for number in (1, 0, 2):
            phone, tag = phones[number], f"bob{number + 1}"
            if sides:
                phone.answer(phone.expect("CANCEL"), 200, tag=tag)
                alice.silent(0.3)
            ok = phone.answer(invites[number], 200, tag=tag)
            response = alice.answer_of(invite, 200)
            equal(response.tag(), tag, "To tag of the 200")
            dialog = Dialog.of_caller(alice, invite, response)
            alice.send(dialog.request("ACK"))
            equal(phone.expect("ACK").tag(), tag, "To tag of the ACK")
            sides.append((dialog, Dialog.of_callee(phone, invites[number], ok)))
        for first, second in sides:
            hang_up(first, second)


@test("several 2xx with other tags in one fork (a phone that is a forking proxy): all reach the caller")
def one_fork_several_dialogs():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for tag in ("one", "two", "one", "three"):
            bob.answer(seen, 200, tag=tag)
            equal(alice.answer_of(invite, 200, again=True).tag(), tag, "To tag of the 200")
        alice.silent(0.2, again=True)


@test("every ACK to a 2xx passes, one that comes again too, and it is never answered")
def acks():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, _ = establish(alice, bob)
        ack = outgoing.request("ACK")
        for _ in range(3):
            alice.send(ack)
            bob.expect("ACK", again=True)
        alice.silent(0.2)


@test("an ACK to a 2xx that wrongly has the branch of its INVITE is passed on, not absorbed (§7.1)")
def ack_with_the_branch_of_its_invite():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 200)
        response = alice.answer_of(invite, 200)
        for _ in range(2):
            alice.send(Dialog.of_caller(alice, invite, response).request("ACK", branch=invite.branch))
            equal(bob.expect("ACK", again=True).cseq, 1, "CSeq of the ACK")


@test("what is no 2xx goes no further after a 2xx in that fork: 180, 183, 486, 603")
def after_the_answer():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)
        for status in (100, 180, 183, 302, 486, 603):
            bob.answer(seen, status)
        alice.silent(0.3, again=True)
        bob.answer(seen, 200)
        alice.answer_of(invite, 200, again=True)


@test("an early 180 of another fork goes no further after the 2xx")
def ringing_after_the_answer():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        phones[0].answer(invites[0], 200, tag="bob1")
        alice.answer_of(invite, 200)
        phones[1].expect("CANCEL")
        phones[1].answer(invites[1], 183, tag="bob2")
        alice.silent(0.3)


@test("after a final failure, a 2xx or provisional response in the same fork goes no further")
def after_the_failure():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        for status in (180, 200):
            bob.answer(seen, status)
        alice.silent(0.3, again=True)


@test("a 2xx that comes again within 64·T1 passes (timer L, timer M), one that comes later is a stray")
def accepted_for_a_time():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for _ in range(3):
            bob.answer(seen, 200)
            alice.answer_of(invite, 200, again=True)
        proxy.idle()
        eventually(lambda: proxy.status()["arena"]["records"] == 0, "no record of the call", 10)
        dropped(proxy, alice, bob, seen, 200)


@test("responses to nothing that we have sent are dropped and counted, whatever their Via says (RFC 6026 §7.2)")
def strays_are_dropped():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        for value in (
                f"SIP/2.0/UDP {proxy.address[0]}:5060;branch=z9hG4bKunknown", f"SIP/2.0/UDP {proxy.address[0]}:5060",
                seen.values("Via")[0].replace(seen.branch, seen.branch + "1")):
            stray = bob.request("X", "sip:x")
            stray.start = "SIP/2.0 200 OK"
            stray.fields = [("Via", value), ("Via", seen.values("Via")[1])]
            stray.fields += [(name, seen.get(name)) for name in ("From", "To", "Call-ID", "CSeq")]
            before = strays(proxy)
            bob.send(stray, seen.source)
            alice.silent(0.2, again=True)
            equal(strays(proxy), before + 1, f"stray_responses, Via {value}")
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)


@test("an INVITE that comes again after its 2xx is absorbed (Accepted), and reaches nobody")
def invite_after_the_answer():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 200)
        alice.answer_of(invite, 200)
        for _ in range(3):
            alice.send(invite)
        bob.silent(0.2, again=True)
        alice.silent(0.2, again=True)
