"""No open relay (access.relay-from), and the requests of calls that we have recorded ourselves into."""

import os
import re
import shutil
import tempfile

from harness import FAST_TIMERS, Sipfork, network
from message import uri_of
from peers import accept_cancel, establish, hang_up, one_callee
from testing import equal, test, true
from ua import UA, token

FAST = {"timers": FAST_TIMERS}
INSIDE = "9"  # the only address that may relay; caller and callee are others


def guarded(prefix):
    """Settings under which nobody but `prefix` 9 may reach foreign domains."""
    return {**FAST, "access": {"relay-from": [prefix + INSIDE]}}


def guarded_proxy(**more):
    prefix = network()
    return Sipfork(guarded(prefix), prefix=prefix, **more)


def mark_of(route):
    """The mark in a Route or Record-Route value of ours."""
    found = re.search(r";sf=([^;>?]*)", route)
    true(found, f"a mark in {route}")
    return found.group(1)


def in_dialog(dialog, method="INFO", **more):
    """A request as a dialog's side would send it, with whatever replaced; each with a CSeq of its own."""
    dialog.cseq += 1
    fields = {
        "to": dialog.remote, "from_": dialog.local, "call_id": dialog.call_id, "routes": dialog.routes,
        "cseq": dialog.cseq}
    uri = more.pop("uri", dialog.target)
    return dialog.ua.request(method, uri, **{**fields, **more})


def passes(dialog, receiver, request):
    dialog.ua.send(request)
    seen = receiver.expect(request.kind)
    receiver.answer(seen, 200)
    dialog.ua.answer_of(request, 200)
    return seen


def refused(dialog, receiver, request):
    """403 to the request, and nothing at the other side; no answer at all to an ACK."""
    ua = dialog.ua
    ua.send(request)
    if request.kind == "ACK":
        ua.silent(0.15)
    else:
        response = ua.answer_of(request, 403)
        equal(response.reason, "Relaying not allowed", "reason")
        if request.kind == "INVITE":
            ua.ack_failure(request, response)
    receiver.silent(0.1)


@test("a call from outside to our user: ACK, re-INVITE, INFO and BYE from either side pass")
def whole_call():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        for last in (0, 1):
            sides = establish(alice, bob)
            for first, second in (sides, reversed(sides)):
                invite = first.ua.send(first.request("INVITE"))
                seen = second.ua.expect("INVITE")
                equal(seen.uri, first.target, "Request-URI of the re-INVITE")
                equal(seen.values("Route"), [], "Route")
                second.ua.answer(seen, 200)
                first.ua.answer_of(invite, 200)
                first.ua.send(first.request("ACK"))
                second.ua.expect("ACK")
                passes(first, second.ua, in_dialog(first))
            hang_up(sides[last], sides[1 - last])


@test("Record-Route is ours with lr and a mark of 16 hex digits: one for each Call-ID, the same within it")
def form():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        seen = []
        for call_id in ("one@call", "one@call", "two@call"):
            invite = alice.invite("bob", call_id=call_id)
            at_bob = bob.expect("INVITE")
            (route,) = at_bob.values("Record-Route")
            pattern = rf"<sip:{re.escape(proxy.address[0])}:5060;lr;sf=[0-9a-f]{{16}}>"
            true(re.fullmatch(pattern, route), f"Record-Route: {route}")
            seen.append(mark_of(route))
            bob.answer(at_bob, 486)
            bob.expect("ACK")
            alice.ack_failure(invite, alice.answer_of(invite, 486))
        equal(seen[0], seen[1], "marks of one Call-ID")
        true(seen[0] != seen[2], f"marks of two Call-IDs: {seen}")


@test("without a mark, with a wrong one, with one of another call: 403, and no ACK passes")
def forged():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        other, _ = establish(alice, bob)
        dialog, _ = establish(alice, bob)
        route, stolen = dialog.routes[0], mark_of(other.routes[0])
        mark = mark_of(route)
        changed = mark[:-1] + ("0" if mark[-1] != "0" else "1")
        for value in (
                route.replace(f";sf={mark}", ""), *(
                    route.replace(mark, wrong) for wrong in (
                        changed, stolen, "", mark[:-1], mark + "0", mark[::-1], "0" * 16, "x" * 16, "0" * 2000)),
                route.replace(";sf=", ";fs="), route.replace(f";sf={mark}>", f">;sf={mark}"),
                f"<sip:sf={mark}@{proxy.address[0]}:5060;lr>", f"<sip:{proxy.address[0]};lr?sf={mark}>"):
            for method in ("INFO", "ACK", "BYE", "INVITE"):
                refused(dialog, bob, in_dialog(dialog, method, routes=[value]))
        refused(dialog, bob, in_dialog(dialog, routes=[]))
        passes(dialog, bob, in_dialog(dialog))


@test("a genuine mark does not help a request that is not in its call: no To tag, another Call-ID")
def misused():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        dialog, _ = establish(alice, bob)
        without_tag = uri_of(dialog.remote)
        for method in ("INVITE", "INFO"):
            refused(dialog, bob, in_dialog(dialog, method, to=f"<{without_tag}>"))
            refused(dialog, bob, in_dialog(dialog, method, call_id=f"{token()}@{alice.host}"))
            refused(dialog, bob, in_dialog(dialog, method, call_id=dialog.call_id + "x"))
            refused(dialog, bob, in_dialog(dialog, method, call_id=dialog.call_id.upper()))


@test("the mark counts only in the top Route, and only in one that is ours")
def not_on_top():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        dialog, _ = establish(alice, bob)
        ours, mark = dialog.routes[0], mark_of(dialog.routes[0])
        at_bob = f"<sip:{bob.host}:{bob.port};lr;sf={mark}>"
        for routes in (
                [at_bob], [at_bob, ours], [f"<sip:{proxy.address[0]};lr>", ours],
                [f"<sip:{bob.host}:{bob.port};lr>", ours]):
            refused(dialog, bob, in_dialog(dialog, routes=routes))
        passes(dialog, bob, in_dialog(dialog, routes=[ours, at_bob]))


@test("from a strict router the Request-URI has the mark: genuine passes, forged gets 403")
def strict_router():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        other, _ = establish(alice, bob)
        dialog, _ = establish(alice, bob)
        recorded, target = uri_of(dialog.routes[0]), [f"<{dialog.target}>"]
        seen = passes(dialog, bob, in_dialog(dialog, uri=recorded, routes=target))
        equal(seen.uri, bob.uri, "Request-URI")
        mark = mark_of(recorded)
        for wrong in (recorded.replace(mark, mark_of(other.routes[0])), recorded.replace(mark, "0" * 16)):
            refused(dialog, bob, in_dialog(dialog, uri=wrong, routes=target))


@test("whoever may relay needs no mark; whoever may not still reaches our users, with any Route to us")
def others():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("inside", proxy.prefix + INSIDE, proxy.address) as inside:
            for routes in ((), [f"<sip:{proxy.address[0]};lr>"], [f"<sip:{proxy.address[0]};lr;sf=0>"]):
                for sender, uri in ((inside, f"sip:x@{bob.host}:{bob.port}"), (inside, bob.aor), (alice, bob.aor)):
                    request = sender.send(sender.request("MESSAGE", uri, routes=routes, to="<sip:x@y.invalid>;tag=1"))
                    bob.answer(bob.expect("MESSAGE"), 200)
                    sender.answer_of(request, 200)


@test("no way round: our user with a foreign Route or maddr, a tel URI with one, an ACK, a CANCEL: nothing gets out")
def ways_round():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("victim", proxy.prefix + "60", proxy.address) as victim:
            ours, foreign = f"<sip:{proxy.address[0]};lr>", f"<sip:{victim.host}:{victim.port};lr>"
            strict = foreign.replace(";lr", "")
            for uri, routes in (
                    (bob.aor, [ours, foreign]), (bob.aor, [foreign]), (bob.aor, [ours, strict]), (bob.aor, [strict]),
                    (f"sip:bob@example.org:{victim.port};maddr={victim.host}", ()), (victim.uri, ()),
                    ("tel:+1-201-555-0123", [ours, foreign]), ("tel:+1-201-555-0123", [foreign]),
                    (f"sip:x@{proxy.address[0]}:5060", [ours, foreign]), (uri_of(ours), [foreign, f"<{bob.aor}>"]),
                    (uri_of(ours), [f"<{victim.uri}>"])):
                for method in ("MESSAGE", "INVITE", "OPTIONS", "BYE", "REGISTER"):
                    for to in ("<sip:x@example.org>", "<sip:x@example.org>;tag=there"):
                        request = alice.send(alice.request(method, uri, routes=routes, to=to))
                        response = alice.expect_final(request, passing=True)
                        equal(response.kind, 403, f"{method} {uri} with Route {routes}")
                        if method == "INVITE":
                            alice.ack_failure(request, response)
                for method in ("ACK", "CANCEL"):
                    alice.send(alice.request(method, uri, routes=routes))
            victim.silent(0.3)
            alice.silent(0.1, ignore=(403, 481))
            bob.silent(0.1)


@test("a CANCEL in a call from outside finds its re-INVITE, and the re-INVITE's failure its ACK")
def cancelled():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        for first, second in (sides := establish(alice, bob), reversed(sides)):
            invite = first.ua.send(first.request("INVITE"))
            seen = second.ua.expect("INVITE")
            second.ua.answer(seen, 180)
            first.ua.answer_of(invite, 180)
            first.ua.answer_of(first.ua.cancel(invite), 200)
            accept_cancel(second.ua, seen)
            first.ua.ack_failure(invite, first.ua.answer_of(invite, 487))


@test("a call that spirals through us (carol's contact is bob): both our Routes pass, from either side")
def spiral():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        alice.register(user="carol", contact="<sip:bob@example.org>")
        sides = establish(alice, bob, "carol")
        for first, second in (sides, reversed(sides)):
            seen = passes(first, second.ua, in_dialog(first))
            equal(seen.values("Route"), [], "Route at the other side")
        hang_up(*sides)


@test("a call out of the house: who may relay calls a foreign phone, whose BYE passes though it may not relay")
def outgoing_call():
    with guarded_proxy() as proxy, UA("far", proxy.prefix + "50", proxy.address) as far:
        with UA("inside", proxy.prefix + INSIDE, proxy.address) as inside:
            for last in (0, 1):
                invite = inside.send(inside.request("INVITE", far.uri))
                sides = establish(inside, far, invite=invite)
                passes(sides[1], inside, in_dialog(sides[1]))
                hang_up(sides[last], sides[1 - last])


@test("after deaths of both workers the marks still pass")
def worker_deaths():
    with guarded_proxy() as proxy, one_callee(proxy) as (alice, (bob,)):
        calls = [establish(alice, bob) for _ in range(4)]
        for index in (0, 1):
            old = proxy.named(f"worker {index}")
            os.kill(old, 9)
            proxy.replaced(f"worker {index}", old)
        for sides in calls:
            passes(sides[0], bob, in_dialog(sides[0]))
            hang_up(*reversed(sides))


def restarted(between):
    """A call is set up, the service stopped, `between` called with the path of its key, and the service started again;
    gives the statuses that both sides then get in the call.
    """
    directory = tempfile.mkdtemp(prefix="sipfork-")
    prefix = network()
    statuses = []
    try:
        with Sipfork(guarded(prefix), prefix=prefix, directory=directory) as proxy:
            with one_callee(proxy) as (alice, (bob,)):
                sides = establish(alice, bob)
                proxy.stop()
                between(os.path.join(proxy.state_directory, "route.key"))
                proxy.start()
                for first, second in (sides, reversed(sides)):
                    request = first.ua.send(in_dialog(first))
                    seen = second.ua.receive(0.5, again=False)
                    if seen is not None:
                        second.ua.answer(seen, 200)
                    statuses.append(first.ua.expect_final(request).kind)
                hang_up(*establish(alice, bob))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return statuses


@test("the key lies in the state directory, for its owner only, and does not change while it is there")
def key_file():
    seen = []

    def look(path):
        with open(path, "rb") as file:
            seen.append(file.read())
        equal(os.stat(path).st_mode & 0o7777, 0o600, "mode of route.key")
        true(len(seen[-1]) >= 16, f"route.key has {len(seen[-1])} bytes")

    look_twice = restarted(look)
    equal(look_twice, [200, 200], "in the call after a restart")
    restarted(look)
    true(seen[0] != seen[1], "two installations have two keys")


@test("after a restart with another key the old calls' marks are refused, and new calls work")
def other_key():
    def replace(path):
        size = os.stat(path).st_size
        with open(path, "wb") as file:
            file.write(os.urandom(size))

    equal(restarted(replace), [403, 403], "in the call after a restart with another key")
    equal(restarted(os.unlink), [403, 403], "in the call after a restart with a new key")
