"""The master ends in the middle of calls, by a signal, a restart or an upgrade; the next one goes on with its memory,
sockets and mailboxes.
"""

import os
import signal
import time

from harness import FAST_TIMERS
from heirs import FAST, WAYS, Supervision
from peers import accept_cancel, calls, establish, hang_up, one_callee, refuse, rings, three_contacts
from reloadcalls import ANSWERED, CANCELLED, REFUSED, at_every_stage
from reloadscene import PATIENT, descriptors, same_descriptors
from supervisor import Supervised
from tcpua import TCPUA
from testing import equal, test, true
from ua import UA, Dialog
from waiting import eventually


class Moment:
    """A restart at one moment of a call, whole, or (`meanwhile`) with what comes next while nobody is there."""

    def __init__(self, proxy, stage, way, meanwhile):
        self.proxy, self.stage, self.way, self.meanwhile = proxy, stage, way, meanwhile
        self.count = proxy.starts

    def __call__(self, stage):
        if stage != self.stage:
            return
        if self.meanwhile:
            os.kill(self.proxy.process.pid, signal.SIGKILL)
            eventually(lambda: len(self.proxy.exits) >= self.count, "the end of the master", 10, 0.001)
        else:
            WAYS[self.way](self.proxy)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is None:
            self.proxy.await_start(self.count)


def every_phase(way, meanwhile):
    with Supervision(PATIENT) as scene:
        phones = [scene.phone("bob", UA) for _ in range(2)]
        at_every_stage(scene.alice, phones, lambda stage: Moment(scene.proxy, stage, way, meanwhile))
        counters = scene.counters()
        for name in ("retransmissions_sent", "stray_responses", "send_errors"):
            equal(counters[name], 0, name)
        equal(counters["calls_failed"], len(CANCELLED + REFUSED), "calls_failed")
        equal(len(scene.proxy.exits), len(ANSWERED + CANCELLED + REFUSED), "ends of masters")


for _way in WAYS:

    @test(f"{_way} between any two messages of a call", limit=120)
    def between(way=_way):
        every_phase(way, False)


@test("any message of a call that comes while no master is there", limit=120)
def nobody_there():
    every_phase("kill -9", True)


@test("the watchdog ends a master that hangs; the call goes on")
def hanging():
    with Supervision(PATIENT, watchdog=2) as scene:
        bob = scene.phone("bob", UA)
        invite, seen = calls(scene.alice, bob, "bob")
        count = scene.proxy.starts
        os.kill(scene.proxy.process.pid, signal.SIGSTOP)
        bob.answer(seen, 200)
        scene.proxy.await_start(count)
        equal(scene.proxy.exits, [-signal.SIGABRT], "ends of the masters")
        response = scene.alice.answer_of(invite, 200)
        scene.alice.send(Dialog.of_caller(scene.alice, invite, response).request("ACK"))
        bob.expect("ACK")


@test("calls that ring and calls that are established, 40 of them, over ten deaths one right after the other")
def often():
    with Supervision(PATIENT) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        ringing, talking = [], []
        for number in range(40):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180, tag=f"b{number}")
            alice.answer_of(invite, 180)
            if number % 2:
                ok = bob.answer(seen, 200, tag=f"b{number}")
                outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
                alice.send(outgoing.request("ACK"))
                bob.expect("ACK")
                talking.append((outgoing, Dialog.of_callee(bob, seen, ok)))
            else:
                ringing.append((invite, seen, f"b{number}"))
        for _ in range(10):
            scene.proxy.strike()
        for invite, seen, tag in ringing:
            refuse(bob, seen, 486, tag=tag)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
        for sides in talking:
            hang_up(*sides)
        equal(scene.counters()["retransmissions_sent"], 0, "retransmissions_sent")


@test("kill -9 of masters that have just begun, at other moments of their start: the call goes on", limit=120)
def while_starting():
    with Supervision(PATIENT) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob", UA)
        for moment in (0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05):
            invite, seen = calls(alice, bob, "bob")
            for _ in range(3):
                count = proxy.starts
                os.kill(proxy.process.pid, signal.SIGKILL)
                eventually(lambda: proxy.starts > count, "the next master", 10, 0.0005)
                time.sleep(moment)  # the moment is the test's matter; any will do
            proxy.await_start(count)
            bob.answer(seen, 200)
            outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
            alice.send(outgoing.request("ACK"))
            bob.expect("ACK")


@test("calls over deaths and restarts: once their timers have run off, nothing is left of them")
def no_leak():
    with Supervision(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        scene.proxy.strike()  # a master that has taken over has other descriptors than the first
        scene.proxy.idle()
        before = scene.proxy.status()["arena"]
        count = descriptors(scene.proxy.process.pid)
        names = scene.proxy.names()
        for number in range(8):
            invite, seen = calls(alice, bob, "bob")
            scene.proxy.strike()
            ok = bob.answer(seen, 200)
            outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
            alice.send(outgoing.request("ACK"))
            bob.expect("ACK")
            if number % 2:
                scene.proxy.restart()
            hang_up(outgoing, Dialog.of_callee(bob, seen, ok))
        scene.proxy.idle()
        eventually(lambda: scene.proxy.status()["arena"] == before, f"the arena's counts back at {before}", 10)
        same_descriptors(scene.proxy.process.pid, count)
        equal(scene.proxy.names(), names, "what the store has")
        equal(scene.proxy.refused, [], "what the store had no room for")


# Timers

@test("a 200 that came while nobody was there is read before timer C, due meanwhile, fires")
def before_timer_c():
    with Supervised({"timers": {**FAST_TIMERS, "c": 1500}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite, seen = calls(alice, bob, "bob")
        begin = time.monotonic()
        with proxy.down():
            ok = bob.answer(seen, 200)
            time.sleep(max(0, begin + 2 - time.monotonic()))
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        hang_up(outgoing, Dialog.of_callee(bob, seen, ok))


@test("a 180 that came while nobody was there is read before timer B, due meanwhile, fires")
def before_timer_b():
    with Supervised({"timers": {"t1": 20, "t2": 100, "t4": 500}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        with proxy.down():
            bob.answer(seen, 180)
            time.sleep(1.6)  # 64·T1 is 1.28 s
        alice.answer_of(invite, 180)
        bob.answer(seen, 200)
        alice.send(Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)).request("ACK"))
        bob.expect("ACK", ignore=("INVITE",))


@test("timer C goes on over deaths: CANCEL of the forks, 408")
def timer_c():
    with Supervised({"timers": {**FAST_TIMERS, "c": 2500}}) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for _ in range(3):
            proxy.strike()
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
        alice.ack_failure(invite, alice.answer_of(invite, 408, 5))
        proxy.idle()


@test("retransmissions go on over deaths, not anew: a silent phone gets 7 INVITEs at most, then the caller 408")
def retransmissions():
    with Supervised({"timers": {**FAST_TIMERS, "t1": 50}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.expect("INVITE")
        for _ in range(4):
            proxy.strike()
        alice.ack_failure(invite, alice.answer_of(invite, 408, 8))
        again = [message.kind for message in bob.drain()]
        equal(set(again), {"INVITE"}, "what else the silent phone got")
        # A death in the middle of a turn may repeat one.
        true(1 <= len(again) <= 6 + 4, f"{len(again)} retransmissions within 64·T1 (RFC 3261 §17.1.1.2)")


# Registrations

for _store in ("sqlite", "memory"):

    @test(f"registrations stay over deaths, and what comes while nobody is there is answered: store = {_store!r}")
    def registrations(store=_store):
        with Supervision({**PATIENT, "registrar": {"store": store}}) as scene:
            proxy, alice = scene.proxy, scene.alice
            alice.register(user="first", call_id="one@phone", cseq=7)
            WAYS["kill -9"](proxy)
            sent = []
            with proxy.down():
                for number in range(20):
                    aor = f"sip:user{number}@example.org"
                    sent.append(alice.send(alice.request(
                        "REGISTER", "sip:example.org", to=f"<{aor}>", contact=False,
                        headers=[("Contact", f"<{alice.uri}>")])))
            branches = {alice.expect(200, 5, ignore=(100,)).branch for _ in sent}
            equal(branches, {request.branch for request in sent}, "branches of the answers")
            WAYS["systemctl restart"](proxy)
            rows = {row["aor"] for row in proxy.ctl("registrations")}
            equal(rows, {f"{user}@example.org" for user in ("first", *(f"user{n}" for n in range(20)))}, "users")
            alice.register(user="first", call_id="one@phone", cseq=6, want=500)  # it knows the order


@test("a REGISTER that the locator was at when its master died is answered once by the next")
def locator_at_work():
    with Supervision(PATIENT) as scene:
        proxy, alice = scene.proxy, scene.alice
        os.kill(proxy.named("locator"), signal.SIGSTOP)
        requests = [alice.send(alice.request(
            "REGISTER", "sip:example.org", to=f"<sip:user{number}@example.org>", contact=False,
            headers=[("Contact", f"<{alice.uri}>")])) for number in range(10)]
        eventually(lambda: proxy.status()["transactions"] >= 10, "the REGISTERs to be on their way")
        proxy.strike()
        branches = {alice.expect(200, 5, ignore=(100,)).branch for _ in requests}
        equal(branches, {request.branch for request in requests}, "branches of the answers")
        equal(len(proxy.ctl("registrations")), 10, "registrations")


# TCP

@test("a call over TCP rings while the master dies: the INVITE comes again, and both sides go on by new connections")
def over_tcp():
    for kinds in ((TCPUA, TCPUA), (UA, TCPUA), (TCPUA, UA)):
        with Supervision(PATIENT, alice=kinds[0]) as scene:
            alice, bob = scene.alice, scene.phone("bob", kinds[1])
            invite, seen = calls(alice, bob, "bob")
            scene.proxy.strike()
            if kinds[1] is TCPUA:
                again = bob.expect("INVITE")
                equal(again.branch, seen.branch, "branch of the INVITE that came again")
                seen = again
            ok = bob.answer(seen, 200)
            outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200, ignore=(100, 180)))
            alice.send(outgoing.request("ACK"))
            bob.expect("ACK", ignore=("INVITE",))
            hang_up(outgoing, Dialog.of_callee(bob, seen, ok))


@test("established over TCP: the BYE of either side goes through by a new connection")
def bye_over_tcp():
    with Supervision(PATIENT, alice=TCPUA) as scene:
        alice, bob = scene.alice, scene.phone("bob", TCPUA)
        for caller_ends in (True, False):
            outgoing, incoming = establish(alice, bob)
            scene.proxy.strike()
            # Whether the ACK has arrived over the connection that is gone, nobody knows: it may come again.
            hang_up(*((outgoing, incoming) if caller_ends else (incoming, outgoing)), ignore=("ACK",))


@test("a client that connects while nobody is there waits, and is served")
def connects_meanwhile():
    with Supervision(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", TCPUA)
        with scene.proxy.down():
            carol = scene.phone("carol", TCPUA, register=False)
            request = carol.send(carol.request("MESSAGE", bob.aor))
        bob.answer(bob.expect("MESSAGE"), 200)
        carol.answer_of(request, 200)
