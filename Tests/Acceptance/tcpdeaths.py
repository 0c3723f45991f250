"""Workers die in the middle of calls over TCP: the connections are the master's, and the calls go on."""

import os
import signal

from crashes import WORKERS, call_with_deaths, kill_worker
from peers import accept_cancel, rings
from scene import SLOW, Scene
from tcpua import TCPUA
from testing import equal, test
from ua import UA, Dialog


class Forgiving(TCPUA):
    """After a death "peers see at most a retransmission", by TCP as well."""

    repeats = True


for _stage in ("180", "200", "ACK", "BYE", "200 to BYE"):

    @test(f"a worker killed right before the {_stage} of a call over TCP: the call completes")
    def killed_before(stage=_stage):
        with Scene(SLOW, alice=Forgiving) as scene:
            bob = scene.phone("bob", Forgiving)
            for index in range(WORKERS):
                for _ in range(3):  # other Call-IDs: the owner is now this worker, now the other
                    old = scene.proxy.named(f"worker {index}")
                    call_with_deaths(scene.proxy, scene.alice, bob, index, (stage,))
                    scene.proxy.replaced(f"worker {index}", old)


@test("requests that dead workers had not read, over TCP: none is lost")
def unread():
    with Scene(SLOW, alice=Forgiving) as scene:
        alice, bob = scene.alice, scene.phone("bob", Forgiving)
        stopped = [scene.proxy.named(f"worker {index}") for index in range(WORKERS)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        requests = [alice.send(alice.request("MESSAGE", bob.aor)) for _ in range(30)]
        alice.way.taken()
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
        for _ in requests:
            bob.answer(bob.expect("MESSAGE", 5), 200)
        branches = {alice.expect(200, 5).branch for _ in requests}
        equal(branches, {request.branch for request in requests}, "branches of the answers")


@test("both workers killed, again and again, while 20 calls are set up over TCP: no call is lost", limit=90)
def killed_often():
    with Scene(SLOW, alice=Forgiving) as scene:
        alice, bob = scene.alice, scene.phone("bob", Forgiving)
        invites = {invite.get("Call-ID"): invite for invite in (alice.invite("bob") for _ in range(20))}
        kill_worker(scene.proxy, 0)
        seen = [bob.expect("INVITE", 5) for _ in invites]
        for number, message in enumerate(seen):
            if number % 7 == 3:
                kill_worker(scene.proxy, number % WORKERS)
            bob.answer(message, 180, tag=f"b{number}")
        rung = {alice.expect(180, 5, ignore=(100,)).get("Call-ID") for _ in invites}
        equal(rung, set(invites), "calls that ring")
        for number, message in enumerate(seen):
            if number % 7 == 5:
                kill_worker(scene.proxy, number % WORKERS)
            bob.answer(message, 200, tag=f"b{number}")
        for _ in invites:
            response = alice.expect(200, 5, ignore=(100, 180))
            outgoing = Dialog.of_caller(alice, invites.pop(response.get("Call-ID")), response)
            alice.send(outgoing.request("ACK"))
            bob.expect("ACK", 5)
        equal(invites, {}, "calls without a 200")


@test("a fork by TCP and one by UDP ring while all workers are killed: one answers, the other is cancelled")
def forks_survive():
    for index in range(WORKERS):
        with Scene(SLOW, alice=Forgiving) as scene:
            phones = [scene.phone("bob", Forgiving), scene.phone("bob", UA)]
            invite = scene.alice.invite("bob")
            invites = rings(phones, scene.alice, invite)
            kill_worker(scene.proxy, index)
            phones[index].answer(invites[index], 200, tag=f"bob{index + 1}")
            response = scene.alice.answer_of(invite, 200)
            accept_cancel(phones[1 - index], invites[1 - index], tag=f"bob{2 - index}")
            scene.alice.send(Dialog.of_caller(scene.alice, invite, response).request("ACK"))
            phones[index].expect("ACK")
