"""What the transaction layer shows on the wire (RFC 3261 §17, RFC 6026, RFC 4320)."""

from harness import FAST_TIMERS, Sipfork
from message import reply_to
from peers import establish, hang_up, is_hop_by_hop, one_callee, refuse
from testing import equal, test, true

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}  # so slow that no retransmission of the proxy's own comes between


@test("INVITE: 100 at once, 180, 200, ACK; BYE from either side")
def whole_call():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for first in (0, 1):
            invite = alice.invite("bob")
            equal(alice.expect(100, 0.5).get("CSeq"), invite.get("CSeq"), "CSeq of the 100")
            sides = establish(alice, bob, invite=invite)
            hang_up(sides[first], sides[1 - first])
        alice.silent(0.2)
        bob.silent(0.1)


@test("an INVITE sent again is absorbed; the caller gets the last provisional response again")
def invite_again():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180, "Ringing")
        alice.answer_of(invite, 180)
        alice.send(invite)
        alice.answer_of(invite, 180, ignore=(), again=True)
        bob.silent(0.3, again=True)
        bob.answer(seen, 200, "OK")
        alice.answer_of(invite, 200)
        alice.send(invite)
        bob.silent(0.3, again=True)


@test("a failure is sent again until its ACK (timer G), and then no more")
def failure_again():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486, "Busy Here")
        response = alice.answer_of(invite, 486)
        for _ in range(3):
            equal(alice.answer_of(invite, 486, again=True).raw, response.raw, "the 486 that came again")
        alice.ack_failure(invite, response)
        alice.drain()
        alice.silent(1, again=True)
        bob.silent(0.1, again=True)


@test("a failure without ACK is given up after 64·T1 (timer H)")
def failure_given_up():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486, "Busy Here")
        alice.answer_of(invite, 486)
        proxy.idle()
        true(len(alice.drain()) >= 5, "the 486 came again and again")
        alice.silent(1, again=True)


@test("a callee's failure that comes again is acknowledged again, and not forwarded")
def failure_repeated_downstream():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        refuse(bob, seen, 486, "Busy Here")
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        bob.answer(seen, 486, "Busy Here")
        is_hop_by_hop(bob.expect("ACK", again=True), seen)
        alice.silent(0.3, again=True)


@test("towards a silent callee the INVITE is sent again (timer A) with the same bytes, and no more after a 100")
def invite_retransmitted():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        alice.invite("bob")
        seen = bob.expect("INVITE")
        for _ in range(3):
            equal(bob.expect("INVITE", again=True).raw, seen.raw, "the INVITE that came again")
        bob.answer(seen, 100, "Trying")
        bob.receive(0.1)
        bob.silent(1.5, again=True)


@test("MESSAGE to a silent callee is sent again (timer E); nobody answers it with 408 (RFC 4320)")
def silent_non_invite():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        message = alice.send(alice.request("MESSAGE", bob.aor, body=b"hello"))
        seen = bob.expect("MESSAGE")
        for _ in range(4):
            equal(bob.expect("MESSAGE", again=True).raw, seen.raw, "the MESSAGE that came again")
        alice.silent(4.5, ignore=(100,))
        proxy.idle()
        del message


@test("a late answer to MESSAGE is forwarded; the request sent again is absorbed and answered again (timer J)")
def non_invite_again():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        message = alice.send(alice.request("MESSAGE", bob.aor, body=b"hello"))
        seen = bob.expect("MESSAGE")
        alice.send(message)
        bob.silent(0.3, again=True)
        bob.answer(seen, 202, "Accepted")
        response = alice.answer_of(message, 202)
        alice.send(message)
        equal(alice.answer_of(message, 202, again=True).raw, response.raw, "the 202 that came again")
        bob.silent(0.3, again=True)


@test("a response sent again after the transaction is over is not forwarded, and kills nothing")
def late_response():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        message = alice.send(alice.request("MESSAGE", bob.aor, body=b"hello"))
        seen = bob.expect("MESSAGE")
        bob.answer(seen, 200)
        alice.answer_of(message, 200)
        proxy.idle()
        bob.answer(seen, 200)
        alice.silent(0.3, again=True)
        hang_up(*establish(alice, bob))


@test("a 200 that comes after 64·T1 of ringing and more goes through: ringing has no limit but timer C")
def long_ringing():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        bob.silent(4.5, again=True)
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)


@test("the caller's failure to acknowledge a 200 is the callee's affair: the proxy sends no 200 by itself")
def no_own_retransmission_of_200():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 200)
        alice.answer_of(invite, 200)
        alice.silent(1, again=True)


@test("an INVITE again in the call (re-INVITE), in both directions, keeps its CSeq order")
def re_invite():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, incoming = establish(alice, bob)
        for first, second in ((outgoing, incoming), (incoming, outgoing)):
            invite = first.ua.send(first.request("INVITE"))
            seen = second.ua.expect("INVITE")
            equal(seen.uri, first.target, "Request-URI of the re-INVITE")
            second.ua.answer(seen, 200)
            first.ua.answer_of(invite, 200)
            first.ua.send(first.request("ACK"))
            second.ua.expect("ACK")
        hang_up(outgoing, incoming)


@test("two calls with one Call-ID but other branches are two transactions")
def same_call_id():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        first = alice.invite("bob", call_id="same@test")
        second = alice.send(alice.request("INVITE", bob.aor, call_id="same@test", cseq=2))
        seen = sorted((bob.expect("INVITE"), bob.expect("INVITE")), key=lambda message: message.cseq)
        for invite, received in zip((first, second), seen):
            refuse(bob, received, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("a response whose sent-by is not ours is dropped, though its branch is (RFC 3261 §18.1.2)")
def foreign_sent_by():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = alice.send(alice.request("MESSAGE", bob.aor))
        seen = bob.expect("MESSAGE")
        ours = f"SIP/2.0/UDP {proxy.address[0]}:5060".encode()
        for sent_by in (f"{bob.host}:5060", "192.0.2.1:5060", f"{proxy.address[0]}:5099", "far.invalid"):
            forged = reply_to(seen, 200, "OK", tag="forged").encode()
            true(ours in forged, "our Via is in the answer")
            bob.send(forged.replace(ours, f"SIP/2.0/UDP {sent_by}".encode()), seen.source)
        alice.silent(0.2)
        bob.answer(seen, 200)
        equal(alice.answer_of(request, 200).tag(), bob.name, "To tag of the answer")
