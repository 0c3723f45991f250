"""mode = "stateless": the proxy forwards each message by itself and remembers nothing of it (RFC 3261 §16.11)."""

import contextlib
import os
import re
import signal

from calls import arena, run_calls
from harness import DOMAIN, FAST_TIMERS, Sipfork, network
from hops import passed_back, passed_on
from message import parameter, uri_of
from peers import establish, hang_up, one_callee, three_contacts
from testing import equal, test, true
from ua import UA, token
from waiting import eventually

STATELESS = {"timers": FAST_TIMERS, "server": {"mode": "stateless"}}


@contextlib.contextmanager
def plain(**sections):
    """A stateless proxy, alice, and bob who has registered."""
    with Sipfork({**STATELESS, **sections}) as proxy, one_callee(proxy) as (alice, (bob,)):
        yield proxy, alice, bob


def rings_and_fails(caller, callee, invite, status=486):
    """A call that is refused: each of its messages is forwarded, and the caller's own ACK ends it."""
    seen = callee.expect("INVITE")
    callee.answer(seen, 180, "Ringing")
    equal(caller.expect(180).branch, invite.branch, "branch of the 180")
    response = callee.answer(seen, status)
    final = caller.answer_of(invite, status, ignore=())
    callee.silent(0.1)  # nobody but the caller acknowledges
    caller.ack_failure(invite, final)
    ack = callee.expect("ACK")
    belongs_to(ack, seen)
    equal(ack.get("To"), response.get("To"), "To of the ACK")
    return seen


def belongs_to(request, invite):
    """CANCEL and ACK come from the caller, through the same hops: Via and branch are those of the INVITE (§16.11)."""
    equal(request.uri, invite.uri, f"Request-URI of {request.kind}")
    equal(request.values("Via"), invite.values("Via"), f"Via of {request.kind}")
    equal(request.values("Route"), invite.values("Route"), f"Route of {request.kind}")
    equal(request.get("CSeq"), f"{invite.cseq} {request.kind}", "CSeq")


# Requests

@test("a call: INVITE, 180, 200, ACK and BYE from either side; status says stateless, and no transaction is there")
def whole_call():
    with plain() as (proxy, alice, bob):
        status = proxy.idle()  # but for that of the REGISTER
        equal(status["mode"], "stateless", "mode")
        for last in (0, 1):
            sides = establish(alice, bob)
            equal(proxy.status()["transactions"], 0, "transactions in the middle of a call")
            hang_up(sides[last], sides[1 - last])
        equal(proxy.status()["transactions"], 0, "transactions after the calls")


@test("what is forwarded: our Via on top, Max-Forwards one less, Record-Route, the contact as Request-URI, no more")
def form():
    with plain() as (proxy, alice, bob):
        headers = [("X-Odd", " two  spaces "), ("Subject", "a"), ("s", "b")]
        invite = alice.invite("bob", headers=headers, max_forwards=17)
        seen = bob.expect("INVITE")
        equal(seen.uri, bob.uri, "Request-URI")
        ours, theirs = seen.values("Via")
        pattern = rf"SIP/2\.0/UDP {re.escape(proxy.address[0])}(:5060)?;branch=z9hG4bK\S+"
        true(re.fullmatch(pattern, ours), f"Via: {ours}")
        equal(theirs.split(";")[0], invite.get("Via").split(";")[0], "Via of the caller")
        equal(parameter(theirs, "rport"), str(alice.port), "rport")
        equal(seen.get("Max-Forwards"), "16", "Max-Forwards")
        (route,) = seen.values("Record-Route")
        true(uri_of(route).startswith(f"sip:{proxy.address[0]}:5060;lr"), f"Record-Route: {route}")
        equal(seen.body, invite.body, "body")
        for name in ("From", "To", "Call-ID", "CSeq", "Contact", "X-Odd", "Subject"):
            equal(seen.values(name), [value.strip() for value in invite.values(name)], name)
        bob.answer(seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("record-route = false: none is added, in a request without Max-Forwards 70 is")
def without_record_route():
    with plain(server={"mode": "stateless", "record-route": False}) as (_, alice, bob):
        alice.invite("bob", max_forwards=None)
        seen = bob.expect("INVITE")
        equal(seen.values("Record-Route"), [], "Record-Route")
        equal(seen.get("Max-Forwards"), "70", "Max-Forwards")


@test("the proxy itself sends no 100, and sends nothing again, however long the callee is silent")
def no_automatics():
    with plain() as (_, alice, bob):
        for method in ("INVITE", "MESSAGE"):
            alice.send(alice.request(method, bob.aor))
            bob.expect(method)
            bob.silent(0.6, again=True)  # T1 is 50 ms
            alice.silent(0.1, again=True)


@test("retransmissions are forwarded, each as the first was: request, provisional and final response, ACK")
def retransmissions():
    with plain() as (_, alice, bob):
        for method in ("INVITE", "MESSAGE"):
            request = alice.send(alice.request(method, bob.aor))
            seen = bob.expect(method)
            for _ in range(3):
                alice.send(request)
                equal(bob.expect(method, again=True).raw, seen.raw, "the retransmission")
            for status in (180, 486) if method == "INVITE" else (200,):
                response = bob.answer(seen, status)
                first = alice.expect(status)
                for _ in range(3):
                    bob.send(response, seen.source)
                    equal(alice.expect(status, again=True).raw, first.raw, "the response again")
            if method == "INVITE":
                alice.ack_failure(request, first)
                ack = bob.expect("ACK")
                alice.ack_failure(request, first)
                equal(bob.expect("ACK", again=True).branch, ack.branch, "branch of the ACK again")


@test("branches: every transaction has its own, also within one Call-ID")
def branches():
    with plain() as (_, alice, bob):
        seen = set()
        for number in range(20):
            alice.send(alice.request("MESSAGE", bob.aor, call_id="one@call", cseq=1 + number))
            seen.add(bob.expect("MESSAGE").branch)
        equal(len(seen), 20, "branches of 20 transactions")
        true(all(branch.startswith("z9hG4bK") for branch in seen), f"magic cookies: {seen}")


@test("CANCEL is forwarded like any request: the branch of its INVITE, the answer is the callee's")
def cancel():
    with plain() as (_, alice, bob):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180, ignore=())
        request = alice.cancel(invite)
        at_bob = bob.expect("CANCEL")
        belongs_to(at_bob, seen)
        alice.silent(0.2)
        bob.answer(at_bob, 200, tag="far")
        equal(alice.answer_of(request, 200, ignore=()).tag(), "far", "To tag of the 200 to CANCEL")
        bob.answer(seen, 487)
        alice.ack_failure(invite, alice.answer_of(invite, 487, ignore=()))
        belongs_to(bob.expect("ACK"), seen)


@test("a failure goes to the caller, and the caller's ACK to the callee, with the branch of the INVITE")
def failure():
    with plain() as (_, alice, bob):
        for status in (302, 404, 486, 500, 503, 603):
            rings_and_fails(alice, bob, alice.invite("bob"), status)


@test("requests of RFC 2543, without the cookie: a retransmission and CANCEL have the branch of the INVITE, others not")
def old_branches():
    with plain() as (_, alice, bob):
        seen = set()
        for number in range(5):
            via = f"SIP/2.0/UDP {alice.host}:{alice.port}" + (";branch=1" if number % 2 else "")
            invite = alice.invite("bob", via=via)
            first = bob.expect("INVITE")
            alice.send(invite)
            equal(bob.expect("INVITE", again=True).raw, first.raw, "the retransmission")
            alice.cancel(invite)
            equal(bob.expect("CANCEL").values("Via"), first.values("Via"), "Via of the CANCEL")
            seen.add(first.branch)
        equal(len(seen), 5, "branches of 5 transactions")


@test("of three contacts the newest is called, and it alone; when it is gone, the next")
def newest():
    with Sipfork(STATELESS) as proxy, three_contacts(proxy) as (alice, bobs):
        for phone in reversed(bobs):
            hang_up(*establish(alice, phone))
            for other in bobs:
                other.silent(0.05)
            phone.register(expires=0, cseq=2)
        request = alice.send(alice.request("MESSAGE", bobs[0].aor))
        alice.answer_of(request, 480)


@test("a contact that is another user of ours: the call comes to that user's phone, failure, CANCEL and ACK with it")
def spiral():
    with plain() as (proxy, alice, bob), UA("carol", proxy.prefix + "3", proxy.address) as carol:
        bob.register(user="carol", contact="<sip:bob@example.org>")
        rings_and_fails(alice, bob, alice.invite("carol"))
        invite = alice.invite("carol")
        seen = bob.expect("INVITE")
        alice.cancel(invite)
        belongs_to(bob.expect("CANCEL"), seen)
        carol.silent(0.1)


@test("Route: ours goes, the next one is followed; a strict router gets itself in the Request-URI")
def routes():
    with plain() as (proxy, alice, bob), UA("hop", proxy.prefix + "30", proxy.address) as hop:
        ours, loose, strict = (
            f"<sip:{proxy.address[0]}:5060;lr>", f"<sip:{hop.host}:{hop.port};lr>", f"<sip:{hop.host}:{hop.port}>")
        for routes, left, uri in (
                ([ours], [], bob.uri), ([ours, loose], [loose], bob.aor), ([loose], [loose], bob.aor),
                ([ours, strict], [f"<{bob.aor}>"], uri_of(strict))):
            receiver = hop if left else bob
            invite = alice.invite("bob", routes=routes)
            seen = receiver.expect("INVITE")
            equal((seen.uri, seen.values("Route")), (uri, left), f"Request-URI and Route, from Route {routes}")
            receiver.answer(seen, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486, ignore=()))
            belongs_to(receiver.expect("ACK"), seen)


# Responses

def ok_of(request, vias):
    """A 200 to this request that has these lines in place of its Vias."""
    lines = [f"{key}: {request.get(key)}" for key in ("From", "To", "Call-ID", "CSeq")]
    return "\r\n".join(["SIP/2.0 200 OK", *vias, *lines, "Content-Length: 0", "", ""]).encode()


@test("a response goes by the second Via: received and rport, the port of sent-by without rport")
def second_via():
    with plain() as (proxy, alice, bob), UA("other", alice.address, proxy.address) as other:
        for via, receiver in (
                (f"SIP/2.0/UDP {alice.host}:{alice.port};branch=z9hG4bK{token()};rport", alice),
                (f"SIP/2.0/UDP far.invalid:9;rport;branch=z9hG4bK{token()}", alice),
                (f"SIP/2.0/UDP {alice.host}:{other.port};branch=z9hG4bK{token()};rport", alice),
                (f"SIP/2.0/UDP {alice.host}:{other.port};branch=z9hG4bK{token()}", other),
                (f"SIP/2.0/UDP far.invalid:{other.port};branch=z9hG4bK{token()}", other)):
            request = alice.send(alice.request("MESSAGE", bob.aor, via=via))
            bob.answer(bob.expect("MESSAGE"), 200)
            response = receiver.expect(200)
            equal(response.get("Call-ID"), request.get("Call-ID"), f"Call-ID of the answer for {via}")
            equal(len(response.values("Via")), 1, "Vias")


@test("another proxy before us: the response goes back to it, with the Vias that it had, body and fields untouched")
def before_us():
    with plain() as (proxy, alice, bob), UA("hop", proxy.prefix + "30", proxy.address) as hop:
        request = alice.request("MESSAGE", bob.aor)
        hop.send(passed_on(hop, request))
        seen = bob.expect("MESSAGE")
        equal(len(seen.values("Via")), 3, "Vias at the phone")
        bob.answer(seen, 200, headers=[("X-Odd", "1"), ("Record-Route", "<sip:x;lr>")], body=b"hello")
        response = hop.expect(200)
        equal(len(response.values("Via")), 2, "Vias at the first proxy")
        rest = response.body, response.get("X-Odd"), response.get("Record-Route")
        equal(rest, (b"hello", "1", "<sip:x;lr>"), "body, a field, Record-Route")
        alice_via = passed_back(response).values("Via")
        equal([parameter(via, "branch") for via in alice_via], [request.branch], "the Via that is left")


@test("Vias of a response on one line or many, in the short form: they are all the same")
def via_forms():
    with plain() as (_, alice, bob):
        for join in (False, True):
            for name in ("Via", "v", "VIA"):
                request = alice.send(alice.request("MESSAGE", bob.aor))
                seen = bob.expect("MESSAGE")
                vias = seen.values("Via")
                lines = [f"{name}: {', '.join(vias)}"] if join else [f"{name}: {via}" for via in vias]
                bob.send(ok_of(seen, lines), seen.source)
                alice.answer_of(request, 200, ignore=())


@test("a response whose top Via is not ours is dropped, so is one whose only Via is ours; nothing comes of it")
def not_ours():
    with plain() as (proxy, alice, bob):
        alice.send(alice.request("MESSAGE", bob.aor))
        seen = bob.expect("MESSAGE")
        ours, theirs = seen.values("Via")
        host = proxy.address[0]
        for vias in (
                [theirs], [ours], [ours.replace(host, bob.host), theirs], [ours.replace(host, "192.0.2.1"), theirs],
                [re.sub(rf"{re.escape(host)}(:\d+)?", f"{host}:5099", ours), theirs]):
            bob.send(ok_of(seen, [f"Via: {via}" for via in vias]), seen.source)
        alice.silent(0.3)
        bob.silent(0.05)
        bob.answer(seen, 200)
        alice.expect(200)


# Configured routes

def gateways(policy, **more):
    """Two gateways for +*, whoever calls."""
    prefix = network()
    to = [f"sip:{prefix}30:5060", f"sip:{prefix}31:5060"]
    return Sipfork({**STATELESS, "route": [{"user": "+*", "to": to, "policy": policy, **more}]}, prefix)


@test("[[route]]: the first next hop, the Request-URI untouched; CANCEL and ACK follow, by a method's route too")
def configured_route():
    for more in ({}, {"method": ["INVITE"]}):
        with gateways("failover", **more) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice, \
                UA("gw", proxy.prefix + "30", proxy.address, 5060) as first, \
                UA("gw2", proxy.prefix + "31", proxy.address, 5060) as second:
            seen = rings_and_fails(alice, first, alice.invite("+4930"))
            equal((seen.uri, seen.values("Route")), (f"sip:+4930@{DOMAIN}", []), "Request-URI and Route")
            invite = alice.invite("+4930")
            seen = first.expect("INVITE")
            alice.cancel(invite)
            belongs_to(first.expect("CANCEL"), seen)
            second.silent(0.1)


@test("[[route]] round-robin: all messages of one transaction go to one next hop")
def round_robin():
    with gateways("round-robin") as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice, \
            UA("gw", proxy.prefix + "30", proxy.address, 5060) as first, \
            UA("gw2", proxy.prefix + "31", proxy.address, 5060) as second:
        for number in range(12):
            invite = alice.invite(f"+{number}")
            taker, other = (first, second) if (seen := first.receive(0.3)) else (second, first)
            seen = seen or second.expect("INVITE")
            alice.send(invite)
            equal(taker.expect("INVITE", again=True).raw, seen.raw, "the retransmission")
            alice.cancel(invite)
            belongs_to(taker.expect("CANCEL"), seen)
            taker.answer(seen, 487)
            alice.ack_failure(invite, alice.answer_of(invite, 487, ignore=()))
            belongs_to(taker.expect("ACK"), seen)
            other.silent(0.05)


# Under load and under fire

@test("kill -9 of all workers in the middle of calls: calls do not notice, REGISTER is served by their successors")
def killed_workers():
    with plain() as (proxy, alice, bob):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for index, pid in enumerate(proxy.workers()):
            os.kill(pid, signal.SIGKILL)
            if index == 0:
                bob.answer(seen, 180)
                alice.answer_of(invite, 180, ignore=())
        hang_up(*establish(alice, bob))
        bob.answer(seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486, ignore=()))
        bob.expect("ACK")
        bob.register(cseq=7)
        hang_up(*establish(alice, bob))


@test("rubbish between calls: nothing is forwarded, nothing answered but what is a request, calls go on")
def rubbish():
    with plain() as (_, alice, bob):
        good = alice.request("INVITE", bob.aor).encode()
        for data in (
                b"", b"\r\n\r\n", b"x" * 2000, bytes(range(256)) * 2, good[:40], good.replace(b"Via", b"Vai"),
                b"SIP/2.0 200 OK\r\n\r\n", b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\n\r\n",
                good.replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1), good.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
                good.replace(b"Content-Length: 0", b"Content-Length: 99")):
            alice.send(data)
        bob.silent(0.2)
        true(all(message.kind in (400, 505) for message in alice.drain()), "answers to rubbish are 400 or 505")
        hang_up(*establish(alice, bob))


@test("1,000 calls of sipp at 200/s: none failed, no transaction was made for them", limit=120)
def load():
    with Sipfork({**STATELESS, "timers": {"t1": 100, "t2": 800, "t4": 1000}}) as proxy:
        before = arena(proxy)
        run_calls(proxy, 1000, 200, 60)
        # That of the REGISTER may be left.
        true(proxy.status()["transactions"] <= 1, "no transactions for the calls")
        proxy.idle()
        eventually(lambda: arena(proxy) == before, f"the arena's counts back at {before}", 10)
