"""Peers that still speak RFC 2543: no branch in the Via, or one without the magic cookie; RFC 3261 §17.2.3 then matches
Request-URI, tags, Call-ID, CSeq and topmost Via. Their messages are poorer in other ways too: no tags, no Max-Forwards,
no Contact.
"""

from harness import FAST_TIMERS, Sipfork
from message import parameter, reply_to, uri_of
from peers import Cast, accept_cancel, establish, is_hop_by_hop, one_callee, refuse
from testing import equal, test, true
from ua import UA, Dialog, token

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}  # no retransmission of the proxy's own comes between
OLD = ("", ";branch=1", ";branch=z9hG4b.7;hidden")  # what stands behind the sent-by


def via(ua, old):
    return f"SIP/2.0/UDP {ua.host}:{ua.port}{old}"


def invites(alice, callee, old, **more):
    """An INVITE as RFC 2543 has it, seen by the callee; gives both."""
    invite = alice.invite(more.pop("user", "bob"), via=via(alice, old), **more)
    return invite, callee.expect("INVITE")


def in_call(dialog, method, old, **more):
    return dialog.ua.send(dialog.request(method, via=via(dialog.ua, old), **more))


@test("a whole call: our branch has the cookie, the caller's Via stays as it is, and comes back alone in the responses")
def whole_call():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            top, below = seen.values("Via")
            true(parameter(top, "branch").startswith("z9hG4bK"), f"branch of the proxy's Via: {top}")
            equal(parameter(below, "branch"), parameter(via(alice, old), "branch"), "branch of the caller's Via")
            trying = alice.answer_of(invite, 100, ignore=())
            equal(trying.get("Via").split(";received")[0], via(alice, old), "Via of the 100")
            ok = bob.answer(seen, 200, "OK")
            response = alice.answer_of(invite, 200)
            outgoing, incoming = Dialog.of_caller(alice, invite, response), Dialog.of_callee(bob, seen, ok)
            in_call(outgoing, "ACK", old)
            equal(bob.expect("ACK").tag(), "bob", "To tag of the ACK")
            bye = in_call(incoming, "BYE", old)
            alice.answer(alice.expect("BYE"), 200)
            bob.answer_of(bye, 200)
        alice.silent(0.3)
        bob.silent(0)


@test("an INVITE sent again is absorbed, and answered with the last provisional response")
def invite_again():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            alice.send(invite)
            bob.answer(seen, 180, "Ringing")
            alice.answer_of(invite, 180)
            for _ in range(2):
                alice.send(invite)
                alice.answer_of(invite, 180, ignore=(), again=True)
            bob.silent(0.2, again=True)
            refuse(bob, seen, 486, "Busy Here")
            response = alice.answer_of(invite, 486)
            alice.send(invite)
            alice.answer_of(invite, 486, again=True)
            alice.ack_failure(invite, response)
            bob.silent(0.2, again=True)


@test("the ACK to a failure ends in the proxy and stops the failure's retransmission")
def failure():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            refuse(bob, seen, 486, "Busy Here")
            response = alice.answer_of(invite, 486)
            alice.answer_of(invite, 486, again=True)
            alice.ack_failure(invite, response)
            bob.silent(0.2)
            alice.drain()
            alice.silent(0.8, again=True)
            bob.silent(0)


@test("the same branch, or none, in several calls at once: Call-ID, From tag, CSeq keep them apart")
def apart():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            same = f"same{token()}@test"
            from_ = f"<{alice.aor}>;tag="
            calls = [
                invites(alice, bob, old, call_id=call_id, from_=from_ + tag, cseq=cseq)
                for call_id, tag, cseq in ((same, "a", 1), (same + "2", "a", 1), (same, "b", 1), (same, "a", 2))]
            equal(len({seen.branch for _, seen in calls}), 4, "branches of the proxy")
            for status, (invite, seen) in zip((486, 404, 480, 603), calls):
                refuse(bob, seen, status)
                response = alice.expect(status, ignore=(100,))
                for name in ("Call-ID", "From", "CSeq"):
                    equal(response.get(name), invite.get(name), f"{name} of the {status}")
                alice.ack_failure(invite, response)
            bob.silent(0.2)


@test("the same Call-ID, CSeq and Via, but another Request-URI: two requests, and a CANCEL ends its own alone")
def other_uri():
    with Sipfork(SLOW) as proxy, Cast(proxy, ["bob", "carol"]) as (alice, (bob, carol)):
        for old in OLD:
            same = {"call_id": f"same{token()}@test", "from_": f"<{alice.aor}>;tag=a", "to": "<sip:list@example.org>"}
            first, at_bob = invites(alice, bob, old, **same)
            second, at_carol = invites(alice, carol, old, user="carol", **same)
            for phone, seen in ((bob, at_bob), (carol, at_carol)):
                phone.answer(seen, 180, "Ringing")
                equal(alice.expect(180, ignore=(100,)).tag(), phone.name, "who rings")
            alice.answer_of(alice.cancel(second), 200)
            accept_cancel(carol, at_carol)
            alice.ack_failure(second, alice.expect(487))
            bob.silent(0.2)
            refuse(bob, at_bob, 486)
            response = alice.expect(486)
            equal(response.tag(), "bob", "who is busy")
            alice.ack_failure(first, response)
            carol.silent(0.2)


@test("the same call in two branches of an old proxy, or from two sent-by (forked upstream): two requests")
def other_via():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("alice", alice.host, proxy.address) as other:
            same = {"call_id": f"same{token()}@test", "from_": f"<{alice.aor}>;tag=a"}
            branches = ((alice, ";branch=1.1"), (alice, ";branch=1.2"), (alice, ""), (other, ""))
            for number, (sender, old) in enumerate(branches, 1):
                invite, seen = invites(sender, bob, old, **same)
                refuse(bob, seen, 486, tag=f"bob{number}")
                response = sender.answer_of(invite, 486)
                equal(response.tag(), f"bob{number}", "To tag: the answer to this one")
                sender.ack_failure(invite, response)
            bob.silent(0.2)


@test("CANCEL without a cookie finds its INVITE: 200, 487; sent again, it is answered again, and goes out once")
def cancel():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            bob.answer(seen, 180, "Ringing")
            alice.answer_of(invite, 180)
            request = alice.cancel(invite)
            alice.answer_of(request, 200)
            alice.send(request)
            alice.answer_of(request, 200, again=True)
            accept_cancel(bob, seen)
            alice.ack_failure(invite, alice.answer_of(invite, 487))
            bob.silent(0.2)


@test("a CANCEL that belongs to no INVITE, though one has the same Via: passed on stateless (§16.10), ends no call")
def cancel_of_nothing():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            bob.answer(seen, 180, "Ringing")
            alice.answer_of(invite, 180)
            for change in ({"call_id": "other@test"}, {"cseq": 2}, {"from_": f"<{alice.aor}>;tag=other"}):
                fields = {"call_id": invite.get("Call-ID"), "cseq": 1, "from_": invite.get("From"), **change}
                request = alice.send(alice.request("CANCEL", invite.uri, via=via(alice, old), **fields))
                stray = bob.expect("CANCEL")
                true(stray.branch != seen.branch, f"branch of the stray CANCEL, {change}")
                bob.answer(stray, 481, "Call/Transaction Does Not Exist")
                alice.answer_of(request, 481)
            refuse(bob, seen, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("MESSAGE and BYE sent again: absorbed while they run, then answered from the transaction")
def non_invite_again():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            outgoing, _ = establish(alice, bob)
            for request in (
                    alice.request("MESSAGE", bob.aor, via=via(alice, old)),
                    outgoing.request("BYE", via=via(alice, old))):
                alice.send(request)
                seen = bob.expect(request.kind)
                alice.send(request)
                bob.silent(0.15, again=True)
                bob.answer(seen, 200, "OK")
                response = alice.answer_of(request, 200)
                for _ in range(2):
                    alice.send(request)
                    equal(alice.answer_of(request, 200, again=True).raw, response.raw, "the 200 that came again")
                bob.silent(0.15, again=True)


@test("REGISTER and OPTIONS to the proxy itself: sent again, they get the same answer; with the next CSeq, a new one")
def own_answers():
    with Sipfork(SLOW) as proxy, UA("bob", proxy.prefix + "10", proxy.address) as bob:
        for old in OLD:
            fields = {"via": via(bob, old), "call_id": f"{token()}@test", "from_": f"<{bob.aor}>;tag=1"}
            for method, uri in (("REGISTER", "sip:example.org"), ("OPTIONS", f"sip:{proxy.address[0]}:5060")):
                request = bob.request(method, uri, to=f"<{bob.aor}>", **fields)
                first = bob.answer_of(bob.send(request), 200)
                equal(bob.answer_of(bob.send(request), 200, again=True).raw, first.raw, "the answer that came again")
                after = bob.request(method, uri, to=f"<{bob.aor}>", cseq=2, **fields)
                equal(bob.answer_of(bob.send(after), 200).cseq, 2, "CSeq of the next answer")
        equal(proxy.status()["bindings"], 1, "bindings")


@test("the same CSeq number with another method, or another To tag, is another request")
def other_method():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            same = {
                "call_id": f"same{token()}@test", "from_": f"<{alice.aor}>;tag=a", "via": via(alice, old), "cseq": 7}
            invite = alice.invite("bob", **same)
            ringing = bob.expect("INVITE")
            bob.answer(ringing, 180, "Ringing")
            alice.answer_of(invite, 180)
            for method, tag in (("MESSAGE", ""), ("INFO", ""), ("INFO", ";tag=b1"), ("INFO", ";tag=b2")):
                request = alice.send(alice.request(method, bob.aor, to=f"<{bob.aor}>{tag}", **same))
                seen = bob.expect(method)
                equal(seen.get("To"), f"<{bob.aor}>{tag}", "To")
                bob.answer(seen, 200, "OK", tag="b0")
                alice.answer_of(request, 200)
            refuse(bob, ringing, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("a callee without Contact: ACK and BYE have the INVITE's Request-URI and Via, and still reach him")
def without_contact():
    # RFC 2543 asked for no Contact in a 200; the ACK is then the INVITE's twin, and its transaction is still there.
    settings = {"server": {"record-route": False}, **SLOW}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            ok = reply_to(seen, 200, "OK", tag="bob")
            bob.send(ok, seen.source)
            response = alice.answer_of(invite, 200)
            same = {
                "to": response.get("To"), "from_": invite.get("From"), "call_id": invite.get("Call-ID"),
                "via": via(alice, old)}
            ack = alice.send(alice.request("ACK", invite.uri, **same))
            equal(bob.expect("ACK").tag(), "bob", "To tag of the ACK")
            bob.send(ok, seen.source)
            alice.answer_of(invite, 200, again=True)
            alice.send(ack)
            bob.expect("ACK", again=True)
            bye = alice.send(alice.request("BYE", invite.uri, cseq=2, **same))
            bob.answer(bob.expect("BYE"), 200, "OK")
            alice.answer_of(bye, 200)


@test("a phone that routes strictly (RFC 2543 §6.29): ACK and BYE with our URI in the start line, the callee in Route")
def strict_caller():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            bob.answer(seen, 200, "OK")
            response = alice.answer_of(invite, 200)
            ours, last = uri_of(response.values("Record-Route")[0]), f"<{response.contact()}>"
            for method, cseq in (("ACK", 1), ("BYE", 2)):
                request = alice.send(alice.request(
                    method, ours, routes=[last], cseq=cseq, via=via(alice, old), to=response.get("To"),
                    from_=invite.get("From"), call_id=invite.get("Call-ID")))
                seen = bob.expect(method)
                equal(seen.uri, bob.uri, f"Request-URI of the {method}")
                equal(seen.values("Route"), [], f"Route of the {method}")
            bob.answer(seen, 200, "OK")
            alice.answer_of(request, 200)


@test("no tags, no Max-Forwards, no Contact, no Content-Length, bare addresses: a call of RFC 2543's poorest")
def poorest():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        fields = {
            "from_": alice.aor, "to": bob.aor, "call_id": "poor@test", "max_forwards": None, "contact": False,
            "drop": ("Content-Length",), "via": via(alice, "")}
        invite = alice.send(alice.request("INVITE", bob.aor, **fields))
        seen = bob.expect("INVITE")
        equal(seen.values("Max-Forwards"), ["70"], "Max-Forwards")
        equal((seen.get("From"), seen.get("To")), (alice.aor, bob.aor), "From and To")
        alice.send(invite)
        for status, reason in ((180, "Ringing"), (200, "OK")):
            response = reply_to(seen, status, reason, contact=f"<{bob.uri}>")
            bob.send(response, seen.source)
            equal(alice.answer_of(invite, status).get("To"), bob.aor, f"To of the {status}: no tag")
        bob.silent(0.2)
        for method, cseq in (("ACK", 1), ("BYE", 2)):
            request = alice.send(alice.request(
                method, bob.uri, **{**fields, "cseq": cseq, "routes": response.values("Record-Route")}))
            seen = bob.expect(method)
        bob.send(reply_to(seen, 200, "OK"), seen.source)
        alice.answer_of(request, 200)


@test("a failure without To tag from an old callee is acknowledged without one, and passed on")
def failure_without_tag():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for old in OLD:
            invite, seen = invites(alice, bob, old)
            bob.send(reply_to(seen, 486, "Busy Here"), seen.source)
            ack = bob.expect("ACK")
            is_hop_by_hop(ack, seen)
            equal(ack.get("To"), seen.get("To"), "To of the ACK")
            response = alice.answer_of(invite, 486)
            equal(response.get("To"), invite.get("To"), "To of the 486")
            alice.ack_failure(invite, response)
            bob.silent(0.2)


@test("an ACK whose To tag, CSeq number or Call-ID is not the failure's does not end its repetition (§17.2.3)")
def wrong_ack():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for change in ({"to": f"<{bob.aor}>;tag=other"}, {"cseq": 2}, {"call_id": "other@test"}):
            invite, seen = invites(alice, bob, "")
            response = bob.answer(seen, 486)
            bob.expect("ACK")
            right = {
                "from_": invite.get("From"), "to": response.get("To"), "call_id": invite.get("Call-ID"), "cseq": 1,
                "via": invite.get("Via")}
            alice.answer_of(invite, 486)
            alice.send(alice.request("ACK", invite.uri, **{**right, **change}))
            alice.drain()
            for _ in range(2):
                alice.answer_of(invite, 486, again=True)
            alice.send(alice.request("ACK", invite.uri, **right))
            bob.receive(0.2, again=False)  # the wrong ACK may have been passed on, as one that belongs to nothing
