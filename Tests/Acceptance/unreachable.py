"""Contacts that cannot be reached by UDP: what the kernel or ICMP says ends a fork at once, not after 64·T1 (§18.4)."""

import os

from gateways import Stage, number
from ipv6 import House
from peers import accept_cancel, establish, hang_up, refuse
from scene import FAST, SLOW, Scene, passes
from testing import equal, test, true
from ua import UA

SERIAL = {**SLOW, "forking": {"order": "q-value"}}


class Called(Scene):
    """Alice by UDP, and bob at a port that was closed, as a phone that has been switched off."""

    def __init__(self, settings=None):
        super().__init__(settings or SLOW, alice=UA)

    def gone(self, name="bob", contact=""):
        phone = self.phone(name, UA)
        phone.register(contact=f"<{phone.uri}>{contact}")
        phone.socket.close()
        return phone


def fails(alice, uri, method, status=500):
    """The request fails long before a timer would end it."""
    request = alice.send(alice.request(method, uri))
    response = alice.answer_of(request, status, 5)
    if method == "INVITE":
        alice.ack_failure(request, response)
    return response


@test("a contact whose port is closed: INVITE and MESSAGE get 500 at once, again and again")
def closed():
    with Called() as scene:
        bob = scene.gone()
        for method in ("INVITE", "MESSAGE") * 3:
            fails(scene.alice, bob.aor, method)
        scene.alice.silent(0.2)


@test("the same for IPv6")
def closed_six():
    with House() as house:
        alice, bob = house.phone("alice"), house.phone("bob")
        bob.socket.close()
        for method in ("INVITE", "MESSAGE") * 2:
            fails(alice, bob.aor, method)


@test("a contact that the system cannot send to (a network without a route, a broadcast address): 500 at once")
def no_route():
    with Called() as scene:
        for host in ("240.0.0.1", "255.255.255.255", "203.0.113.1"):
            for parameter in ("", ";transport=tcp"):
                scene.alice.register(user="far", contact=f"<sip:far@{host}{parameter}>")
                for method in ("INVITE", "MESSAGE"):
                    fails(scene.alice, "sip:far@example.org", method)
                scene.alice.register(user="far", contact="*", expires=0)


@test("serial: the contact behind a closed port is asked at once")
def next_contact():
    with Called(SERIAL) as scene:
        scene.gone(contact=";q=0.9")
        scene.alice.register(user="bob", contact="<sip:bob@240.0.0.1>;q=0.8")
        bob = scene.phone("bob", UA, register=False)
        bob.register(contact=f"<{bob.uri}>;q=0.1")
        for _ in range(3):
            hang_up(*establish(scene.alice, bob))
        passes(scene.alice, bob)


@test("parallel: a closed port beside a phone that rings: the call is that phone's, with its answer")
def beside():
    with Called() as scene:
        scene.gone()
        bob = scene.phone("bob", UA)
        hang_up(*establish(scene.alice, bob))
        invite = scene.alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486)
        scene.alice.ack_failure(invite, scene.alice.answer_of(invite, 486))


@test("a route whose first hop is closed: the second is asked at once, and the first counts as dead")
def route():
    with Stage({"user": "+*", "to": [0, 1]}, timers=SLOW["timers"]) as stage:
        stage.hops[0].socket.close()
        for _ in range(3):
            request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
            stage.hops[1].answer(stage.hops[1].expect("MESSAGE"), 200)
            stage.alice.answer_of(request, 200)
        invite = stage.alice.invite("+1")
        hang_up(*establish(stage.alice, stage.hops[1], invite=invite))


@test("a phone that rings and is gone then: its 180 counts, and the call ends by CANCEL within 64·T1")
def gone_while_ringing():
    with Called(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        bob.socket.close()
        alice.silent(0.3)
        alice.answer_of(alice.cancel(invite), 200)
        final = alice.expect_final(invite, 10)
        true(final.kind in (487, 408, 500), f"final response: {final.start}")
        alice.ack_failure(invite, final)
        scene.proxy.idle()


@test("a caller that is gone when her answer comes; one call's closed port does nothing to another's")
def gone_caller():
    with Called(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        gone = scene.gone("gone")
        caller = scene.phone("caller", UA, register=False)
        caller.invite("bob")
        seen = bob.expect("INVITE")
        caller.socket.close()
        mine = alice.invite("bob")
        other = bob.expect("INVITE")
        bob.answer(other, 180)
        alice.answer_of(mine, 180)
        refuse(bob, seen, 486)
        fails(scene.phone("third", UA, register=False), gone.aor, "MESSAGE")
        bob.answer(other, 180)
        alice.answer_of(mine, 180, again=True)
        alice.answer_of(alice.cancel(mine), 200)
        accept_cancel(bob, other)
        alice.ack_failure(mine, alice.answer_of(mine, 487))
        scene.proxy.idle()


@test("a phone at a port that was closed a moment ago is called as any other")
def back_again():
    with Called() as scene:
        bob = scene.gone()
        fails(scene.alice, bob.aor, "MESSAGE")
        back = UA("bob", bob.address, scene.proxy.address, port=bob.port)
        with back:
            for _ in range(3):
                passes(scene.alice, back)


def processor_time(pid):
    """Clock ticks that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@test("500 errors of closed ports: every request fails by itself, and no process spins afterwards")
def many():
    with Called() as scene:
        alice = scene.alice
        users = [scene.gone(f"gone{index}").aor for index in range(5)]
        requests = [alice.send(alice.request("MESSAGE", users[index % 5])) for index in range(500)]
        branches = {alice.expect(500, 5).branch for _ in requests}
        equal(branches, {request.branch for request in requests}, "branches of the answers")
        pids = [scene.proxy.process.pid, *scene.proxy.descendants()]
        before = [processor_time(pid) for pid in pids]
        alice.silent(1)
        used = [processor_time(pid) - was for pid, was in zip(pids, before)]
        true(max(used) < os.sysconf("SC_CLK_TCK") / 2, f"clock ticks in a second of nothing: {used}")
        passes(alice, scene.phone("bob", UA))
