"""[[route]]: what if a next hop fails, and whose turn it is."""

import os
import signal
import time

from gateways import LONG, SILENCE, Stage, number
from harness import FAST_TIMERS
from message import uri_of
from peers import accept_cancel, establish, hang_up, refuse
from testing import equal, test, true
from ua import Dialog


# What if a hop fails

@test("failover: a hop that says nothing at all is given up after 64·T1, the next one gets the INVITE")
def silent_invite():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        invite = stage.alice.invite("+1")
        found, first = stage.taken(invite)
        equal(found, 0, "the hop that is asked first")
        stage.quiet(SILENCE / 2, 1)
        second = stage.hops[1].expect("INVITE", SILENCE + 5)
        equal(second.uri, number("+1"), "Request-URI at the second hop")
        true(second.branch != first.branch, "a branch of its own")
        stage.hops[1].answer(second, 200, "OK")
        response = stage.alice.answer_of(invite, 200)
        equal(response.tag(), stage.hops[1].name, "To tag of the 200")
        stage.alice.send(Dialog.of_caller(stage.alice, invite, response).request("ACK"))
        stage.hops[1].expect("ACK")
        stage.hops[0].drain()
        # It is dead now: the next call does not wait for it.
        hang_up(*establish(stage.alice, stage.hops[1], "+2"))
        stage.quiet(0.1, 0)


@test("failover: the same for MESSAGE, and a hop whose port is closed")
def silent_message():
    with Stage({"user": "+1", "to": [0, 1]}, {"user": "+2", "to": [2, 1]}, hops=3) as stage:
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        equal(stage.taken(request)[0], 0, "the hop that is asked first")
        stage.hops[1].answer(stage.hops[1].expect("MESSAGE", SILENCE + 5), 200)
        stage.alice.answer_of(request, 200)
        stage.hops[2].socket.close()
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+2")))
        stage.hops[1].answer(stage.hops[1].expect("MESSAGE", SILENCE + 5), 200)
        stage.alice.answer_of(request, 200)


@test("failover: a hop that has said something is not silent: timer C ends the call, no other hop is asked")
def provisional_then_nothing():
    with Stage({"user": "+*", "to": [0, 1]}, timers={**FAST_TIMERS, "c": 1000}) as stage:
        invite = stage.alice.invite("+1")
        found, seen = stage.taken(invite)
        equal(found, 0, "the hop that is asked first")
        stage.hops[0].answer(seen, 180, "Ringing")
        stage.alice.answer_of(invite, 180)
        accept_cancel(stage.hops[0], seen)
        final = stage.alice.expect_final(invite)
        true(final.kind in (408, 487), f"the caller's final response: {final.start}")
        stage.alice.ack_failure(invite, final)
        stage.quiet(0.2, 1)


@test("failover: 503 moves on at once; the caller sees nothing of it")
def unavailable():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        request = stage.fails(number("+1"), 0)
        found, seen = stage.taken(request, SILENCE / 2)
        equal(found, 1, "the hop that is asked next")
        equal(seen.uri, number("+1"), "Request-URI at the second hop")
        stage.hops[1].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503, headers=[("Retry-After", "60")])
        found, seen = stage.taken(invite, SILENCE / 2)
        equal(found, 1, "the hop that is asked next")
        refuse(stage.hops[1], seen, 404)
        response = stage.alice.answer_of(invite, 404)
        equal(response.get("Retry-After"), None, "Retry-After")
        stage.alice.ack_failure(invite, response)
        stage.alice.silent(0.2)


@test("no failover: every other answer is the answer")
def answered():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        for status in (300, 404, 408, 480, 486, 500, 502, 504, 600, 603):
            invite = stage.alice.invite("+1")
            found, seen = stage.taken(invite)
            equal(found, 0, f"the hop that is asked after others got their answers ({status})")
            refuse(stage.hops[0], seen, status)
            stage.alice.ack_failure(invite, stage.alice.answer_of(invite, status))
        stage.quiet(0.2)


@test("no failover after CANCEL: the silent hop is the last")
def cancelled():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        invite = stage.alice.invite("+1")
        equal(stage.taken(invite)[0], 0, "the hop that is asked")
        stage.alice.expect(100)
        stage.alice.cancel(invite)
        final = stage.alice.expect_final(invite, SILENCE + 5, passing=True)
        true(final.kind in (408, 487), f"the caller's final response: {final.start}")
        stage.alice.ack_failure(invite, final)
        stage.proxy.idle()
        stage.quiet(0.1, 1)


@test("a CANCEL goes to the hop that rings, also where that is the second")
def cancel_second():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503)
        found, seen = stage.taken(invite)
        equal(found, 1, "the hop that is asked next")
        stage.hops[1].answer(seen, 180, "Ringing")
        stage.alice.answer_of(invite, 180)
        stage.alice.cancel(invite)
        stage.alice.expect(200)
        accept_cancel(stage.hops[1], seen)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))
        stage.quiet(0.1, 0)


@test("hops that this version cannot reach (a name, TCP, a family without listener) are passed over")
def unreachable():
    others = ["sip:192.0.2.1;transport=tcp", "sip:gw.invalid", "sip:[::1]:5099"]
    with Stage({"user": "+1", "to": [*others, 0]}, {"user": "+2", "to": others}, hops=1) as stage:
        for _ in range(2):
            stage.passes(number("+1"))
        stage.stays(number("+2"), 500)
        stage.stays(number("+2"), 500, "INVITE")
        # They are no alternative to the one that is left: when it fails, all have failed, and it is tried again.
        stage.alice.answer_of(stage.fails(number("+1"), 0), 500)
        stage.passes(number("+1"))


@test("round-robin: hops that this version cannot reach have no turn")
def unreachable_in_turn():
    hops = ["sip:192.0.2.1;transport=tcp", 0, "sip:gw.invalid", "sip:[::1]:5099", 1]
    with Stage({"user": "+*", "to": hops, "policy": "round-robin"}) as stage:
        alternates(takers(stage, 8), [0, 1])


# Dead hops

@test("dead-time: a hop that failed is skipped meanwhile, whoever calls, and by every worker")
def skipped():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}, server={"workers": 3}) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        carol = stage.phone("carol", 3)
        for turn in range(12):  # other Call-IDs, so other workers
            stage.passes(number(f"+{turn}"), 1, ua=carol if turn % 2 else stage.alice)
        stage.quiet(0.1)


@test("dead-time: after it the hop is tried again, not before")
def tried_again():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 2}) as stage:
        failed = time.monotonic()
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        for _ in range(200):
            request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
            found, seen = stage.taken(request)
            asked = time.monotonic()
            stage.hops[found].answer(seen, 200)
            stage.alice.answer_of(request, 200)
            if found == 0:
                break
            stage.alice.silent(0.05)
        equal(found, 0, "the hop that is asked in the end")
        true(asked - failed > 1.9, f"skipped for its two seconds: {asked - failed:.2f} s")
        hop = f"next hop sip:{stage.hosts[0]} of route 1"
        stage.proxy.await_log(f"{hop} could not be reached: skipped for 2 s")
        stage.proxy.await_log(f"{hop} answers again")
        equal(stage.proxy.log().count(hop), 2, "entries about the hop: one when it failed, one when it answers again")


@test("dead-time = 0: no hop is ever skipped")
def never_skipped():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        for _ in range(3):
            request = stage.fails(number("+1"), 0)
            found, seen = stage.taken(request)
            equal(found, 1, "the hop that is asked next")
            stage.hops[1].answer(seen, 200)
            stage.alice.answer_of(request, 200)


@test("dead hops are those of one route: another route to the same address asks it")
def dead_by_route():
    with Stage({"user": "+1", "to": [0, 1], "dead-time": LONG}, {"user": "+2", "to": [0, 1]}) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        stage.passes(number("+2"), 0)
        stage.passes(number("+1"), 1)


@test("all 503: the caller gets 500, since this proxy is not overloaded; then all are tried again")
def all_unavailable():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        for _ in range(2):
            request = stage.fails(number("+1"), 0, 1)
            stage.alice.answer_of(request, 500)
        invite = stage.alice.invite("+1")
        for hop in (0, 1):
            found, seen = stage.taken(invite)
            equal(found, hop, "the hop that is asked")
            refuse(stage.hops[hop], seen, 503)
        response = stage.alice.answer_of(invite, 500)
        equal(response.get("Retry-After"), None, "Retry-After")
        stage.alice.ack_failure(invite, response)
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        found, seen = stage.taken(request)
        equal(found, 0, "the hop that is asked")
        stage.hops[0].answer(seen, 200)
        stage.alice.answer_of(request, 200)


@test("all silent: 408 to INVITE, nothing to MESSAGE (RFC 4320); silence and 503: 408, the lower class")
def all_silent():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        invite = stage.alice.invite("+1")
        for hop in stage.hops:
            seen = {getattr(hop.receive(SILENCE + 5, again=False), "kind", None) for _ in range(2)}
            equal(seen, {"INVITE", "MESSAGE"}, f"what {hop.name} got")
        response = stage.alice.answer_of(invite, 408, 2 * SILENCE + 5)
        stage.alice.ack_failure(invite, response)
        stage.proxy.idle()
        stage.alice.silent(0.2, ignore=(100,))
        for hop in stage.hops:
            hop.drain()
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503)
        equal(stage.taken(invite)[0], 1, "the hop that is asked next")
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 408, SILENCE + 5))


# Round-robin


def takers(stage, count):
    """The numbers of the hops that get so many requests, one after the other."""
    found = []
    for _ in range(count):
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        hop, seen = stage.taken(request)
        stage.hops[hop].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        found.append(hop)
    return found


def alternates(found, hops):
    """Checks that these hops were asked in turn, whichever was the first."""
    start = hops.index(found[0])
    equal(found, [hops[(start + turn) % len(hops)] for turn in range(len(found))], "the hops that were asked")


@test("round-robin: two hops in exact alternation, over all workers")
def two_in_turn():
    with Stage({"user": "+*", "to": [0, 1], "policy": "round-robin"}, server={"workers": 3}) as stage:
        equal(takers(stage, 10), [0, 1] * 5, "the hops that were asked")


@test("round-robin: three hops in exact rotation; retransmissions and requests that stay take no turn")
def three_in_turn():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin"}, hops=3) as stage:
        equal(takers(stage, 7), [0, 1, 2, 0, 1, 2, 0], "the hops that were asked")
        request = stage.alice.request("MESSAGE", number("+1"))
        for _ in range(3):
            stage.alice.send(request)
        found, seen = stage.taken(request)
        equal(found, 1, "the hop that is asked next")
        stage.hops[1].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        stage.stays(number("1"))
        stage.alice.register()
        stage.alice.drain()
        equal(takers(stage, 4), [2, 0, 1, 2], "the hops that were asked")


@test("round-robin: whole calls alternate, and each stays with its hop")
def calls_in_turn():
    with Stage({"user": "+*", "to": [0, 1], "policy": "round-robin"}) as stage:
        calls = [establish(stage.alice, stage.hops[turn % 2], "+1") for turn in range(4)]
        for sides in calls:
            hang_up(*sides)
        stage.quiet()


@test("round-robin with a hop that fails: the next in the circle gets the request, the others share the turns")
def failover_in_turn():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin", "dead-time": LONG}, hops=3) as stage:
        equal(takers(stage, 2), [0, 1], "the hops that were asked")
        request = stage.fails(number("+1"), 2)
        found, seen = stage.taken(request)
        equal(found, 0, "the hop after the last is the first")
        stage.hops[0].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        alternates(takers(stage, 8), [0, 1])
        stage.quiet(0.05, 2)


@test("round-robin without dead-time: the circle goes on as if nothing had failed")
def turns_go_on():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin", "dead-time": 0}, hops=3) as stage:
        for _ in range(2):
            request = stage.fails(number("+1"), 0)
            found, seen = stage.taken(request)
            equal(found, 1, "the hop that is asked next")
            stage.hops[1].answer(seen, 200)
            stage.alice.answer_of(request, 200)
            equal(takers(stage, 2), [1, 2], "the hops that were asked")


# Death of a worker

@test("kill -9 of every worker: dead hops stay dead, turns go on")
def workers_killed():
    routes = [
        {"user": "+*", "to": [0, 1], "dead-time": LONG}, {"user": "1*", "to": [0, 1], "policy": "round-robin"}]
    with Stage(*routes) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        stage.passes(number("1"), 0)
        stage.proxy.idle()  # nothing is under way, so no turn is taken twice
        old = stage.proxy.workers()
        for index, pid in enumerate(old):
            os.kill(pid, signal.SIGKILL)
            stage.proxy.replaced(f"worker {index}", pid)
        for turn in range(6):
            stage.passes(number("+1"), 1)
            stage.passes(number("1"), (turn + 1) % 2)


@test("kill -9 of every worker while a hop is silent: the next hop is asked all the same, the call goes through")
def killed_while_silent():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        invite = stage.alice.invite("+1")
        equal(stage.taken(invite)[0], 0, "the hop that is asked first")
        for index, pid in enumerate(stage.proxy.workers()):
            os.kill(pid, signal.SIGKILL)
            stage.proxy.replaced(f"worker {index}", pid)
        seen = stage.hops[1].expect("INVITE", SILENCE + 5)
        stage.hops[1].answer(seen, 200, "OK")
        response = stage.alice.answer_of(invite, 200)
        equal(uri_of(response.values("Contact")[0]), stage.hops[1].uri, "Contact of the 200")
        stage.hops[0].drain()
        stage.passes(number("+2"), 1)
        stage.quiet(0.1, 0)
