"""A reload of routes and name servers: what is new holds at once, calls that are under way keep what they have."""

from resolving import FAR, pair, two
from gateways import LONG, Stage, number
from harness import network
from internet import ANSWER, Internet
from nameserver import Rogue, host
from peers import accept_cancel, establish, hang_up
from reloadscene import renewed
from testing import equal, test, true
from ua import Dialog


# [resolver]

@test("resolver.servers: a name that only the new name server knows, and the old one is not asked any more")
def servers():
    with Internet(host("one.test", 31), rogue=True) as stage:
        bob, carol = stage.peer("bob", 31), stage.peer("carol", 32)
        with Rogue(network(), [host("two.test", stage.prefix + "32")]) as other:
            stage.arrives("sip:bob@one.test:5060", bob)
            stage.fails("sip:x@never.two.test:5060", 500, method="MESSAGE")
            renewed(stage.proxy, resolver={"servers": [f"{other.address[0]}:{other.address[1]}"]})
            stage.arrives("sip:carol@two.test:5060", carol)
            equal(stage.asked("two.test"), [], "questions at the old name server")


def passed_over(stage, first, second):
    """The first server says nothing to a request, so the second one gets and answers it."""
    request = stage.sends(FAR)
    first.expect("MESSAGE", ANSWER)
    second.answer(second.expect("MESSAGE", ANSWER), 200)
    stage.alice.answer_of(request, 200)
    first.drain()


@test("resolver.candidate-timeout and dead-time: how long a silent server is waited for, and avoided afterwards")
def candidates():
    with two(resolver={"candidate-timeout": 60000, "dead-time": 0}) as stage:
        first, second = pair(stage)
        request = stage.sends(FAR)
        seen = first.expect("MESSAGE", ANSWER)
        second.silent(0.8)
        first.answer(seen, 200)
        stage.alice.answer_of(request, 200)
        renewed(stage.proxy, resolver={"candidate-timeout": 100})
        passed_over(stage, first, second)
        true(stage.tried(FAR, first, second) is first, "the first server is asked first where dead-time is 0")
        renewed(stage.proxy, resolver={"dead-time": 30})
        passed_over(stage, first, second)
        true(stage.tried(FAR, first, second) is second, "the second server is asked first where dead-time is 30")


@test("resolver.dead-time is 0 now: a server that was avoided is asked first at once, not after its old time")
def avoided_no_more():
    with two(resolver={"dead-time": 86400, "candidate-timeout": 100}) as stage:
        first, second = pair(stage)
        passed_over(stage, first, second)
        true(stage.tried(FAR, first, second) is second, "the second server is asked first")
        renewed(stage.proxy, resolver={"dead-time": 0})
        true(stage.tried(FAR, first, second) is first, "the first server is asked first")


# [[route]]

@test("routes: one is added, changed, taken away; in stateless mode too")
def routes():
    for mode in ("stateful", "stateless"):
        with Stage({"user": "+1*", "to": [0]}, server={"mode": mode}) as stage:
            to = list(stage.settings["route"][0]["to"]), [f"sip:{stage.hosts[1]}:{stage.ports[1]}"]
            stage.passes(number("+1"), 0)
            stage.stays(number("+2"))
            renewed(stage.proxy, route=[{"user": "+1*", "to": to[1]}, {"user": "+2*", "to": to[0]}])
            stage.passes(number("+1"), 1)
            stage.passes(number("+2"), 0)
            renewed(stage.proxy, route=[{"user": "+2*", "to": to[1], "source": "192.0.2.0/24"}])
            stage.stays(number("+1"))
            stage.stays(number("+2"))
            renewed(stage.proxy, route=[])
            stage.stays(number("+2"))
            stage.quiet()


@test("dead-time: a hop that failed was skipped; with a new dead-time it is asked again, and what that says holds")
def dead_time():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        def fails_over():
            request = stage.fails(number(), 0)
            found, seen = stage.taken(request)
            equal(found, 1, "the hop after the one that failed")
            stage.hops[1].answer(seen, 200)
            stage.alice.answer_of(request, 200)

        (route,) = stage.settings["route"]
        fails_over()
        stage.passes(number(), 1)
        renewed(stage.proxy, route=[{**route, "dead-time": 0}])
        fails_over()
        fails_over()
        renewed(stage.proxy, route=[{**route, "dead-time": LONG}])
        fails_over()
        stage.passes(number(), 1)


@test("round-robin begins anew with the first hop when the route has changed; a call in progress stays at its hop")
def round_robin():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin"}, hops=3) as stage:
        (route,) = stage.settings["route"]
        for hop in (0, 1, 2, 0):
            stage.passes(number(), hop)
        invite = stage.alice.invite("+1")
        found, seen = stage.taken(invite)
        equal(found, 1, "the hop of the call")
        renewed(stage.proxy, route=[{**route, "dead-time": 77}])
        for hop in (0, 1, 2):
            stage.passes(number(), hop)
        ok = stage.hops[1].answer(seen, 200)
        outgoing = Dialog.of_caller(stage.alice, invite, stage.alice.answer_of(invite, 200))
        stage.alice.send(outgoing.request("ACK"))
        stage.hops[1].expect("ACK")
        hang_up(Dialog.of_callee(stage.hops[1], seen, ok), outgoing)


@test("a call at a hop whose route is taken away: it fails over to what it had, is cancelled and hung up as ever")
def route_in_progress():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        invite = stage.alice.invite("+1")
        _, seen = stage.taken(invite)
        sides = establish(stage.alice, stage.hops[0], "+2")
        renewed(stage.proxy, route=[])
        stage.hops[0].answer(seen, 180)
        stage.alice.answer_of(invite, 180)
        stage.alice.answer_of(stage.alice.cancel(invite), 200)
        accept_cancel(stage.hops[0], seen)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))
        hang_up(*sides)
        stage.stays(number("+1"))
