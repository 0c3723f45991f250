"""Reloads when something goes wrong meanwhile: children die or hang, the service is stopped; and a hundred in a row."""

import os
import signal

from commands import under_way
from crashes import kill_worker
from harness import Sipfork, children, memory
from peers import establish, hang_up, one_callee, rings
from reloadscene import PATIENT, descriptors, harmless, is_ours, processes, reloading, renewed, same_descriptors
from scene import FAST, Scene, listeners, passes
from storage import stored
from tcpdeaths import Forgiving
from testing import equal, test, true
from ua import UA, Dialog
from waiting import await_exit, eventually, process_exists

ROLES = ("logger", "locator", "resolver", "worker 0", "worker 1")


def complete(proxy):
    """Waits until every role has one process."""
    return {role: proxy.replaced(role, None) for role in ROLES}


for _role in ROLES:

    @test(f"kill -9 of the {_role} in the middle of a reload: it comes to its end, ringing calls and new ones too")
    def killed(role=_role):
        with Scene(PATIENT, alice=Forgiving) as scene:
            proxy, phones = scene.proxy, [scene.phone("bob", kind) for kind in (Forgiving, UA)]
            before = processes(proxy)
            invite = scene.alice.invite("bob")
            seen = rings(phones, scene.alice, invite)
            # The stopped one holds the reload up, so that the kill is in its middle.
            slow = "worker 1" if role != "worker 1" else "worker 0"
            os.kill(before[slow][0], signal.SIGSTOP)
            with reloading(proxy):
                os.kill(proxy.replaced(role, None), signal.SIGKILL)
                if process_exists(before[slow][0]):
                    os.kill(before[slow][0], signal.SIGKILL)
            complete(proxy)
            after = processes(proxy)
            for name in ROLES:
                true(after[name][0] != before[name][0], f"{name} has been replaced")
            phones[0].answer(seen[0], 200, tag="bob1")
            response = scene.alice.answer_of(invite, 200)
            scene.alice.send(Dialog.of_caller(scene.alice, invite, response).request("ACK"))
            phones[0].expect("ACK")
            phones[1].answer(phones[1].expect("CANCEL"), 200)
            phones[1].answer(seen[1], 487, tag="bob2")
            phones[1].expect("ACK")
            carol = scene.phone("carol", UA)
            true(stored(proxy, carol.uri), "a new registration is on disk")
            passes(scene.alice, carol)
            renewed(proxy)


@test("a worker and the locator hang: both are replaced by force; what they had not read is served by the next ones")
def stopped():
    with Sipfork(PATIENT) as proxy, one_callee(proxy) as (alice, (bob,)):
        before = processes(proxy)
        hung = "worker 1", "locator"
        for role in hung:
            os.kill(before[role][0], signal.SIGSTOP)
        invites = [alice.invite("bob") for _ in range(6)]
        request = bob.request(
            "REGISTER", f"sip:{bob.domain}", to=f"<{bob.aor}>", contact=False,
            headers=[("Contact", f"<sip:bob@{proxy.prefix}99>")])
        bob.send(request)
        renewed(proxy)
        seen, answered = [], False
        while len(seen) < len(invites) or not answered:
            message = bob.receive(3, again=False)
            true(message is not None, f"{len(seen)} of {len(invites)} INVITEs came, the REGISTER's answer: {answered}")
            if message.kind == "INVITE":
                seen.append(message.get("Call-ID"))
            else:
                answered = answered or message.kind == 200
        equal(sorted(seen), sorted(invite.get("Call-ID") for invite in invites), "calls that arrive")
        for role in hung:
            true(not process_exists(before[role][0]), f"the {role} of before is gone")
        equal(proxy.status()["bindings"], 2, "bindings")
        hang_up(*establish(alice, bob))


@test("children die all the time while reloads follow each other: each reload ends well, and so does each call")
def killed_often():
    with Scene(PATIENT, alice=Forgiving) as scene:
        alice, bob = scene.alice, scene.phone("bob", Forgiving)
        for number in range(6):
            with reloading(scene.proxy):
                kill_worker(scene.proxy, number % 2)
                sides = establish(alice, bob)
            hang_up(*sides)
        complete(scene.proxy)
        renewed(scene.proxy)


@test("SIGTERM in the middle of a reload is a clean stop; the next start has the new configuration")
def stopped_service():
    with Sipfork(FAST) as proxy:
        with reloading(proxy, None, server={"domains": ["new.example"]}):
            proxy.stop()
        proxy.start()
        true(is_ours(proxy, "new.example"), "the new domain is ours")


@test("kill -9 of the master in the middle of a reload: no process is left; the next start has the new configuration")
def killed_master():
    with Sipfork(FAST) as proxy:
        handles = [os.pidfd_open(pid) for pid in proxy.descendants()]
        with reloading(proxy, None, server={"domains": ["new.example"]}):
            proxy.process.send_signal(signal.SIGSTOP)
            handles += [os.pidfd_open(pid) for pid in proxy.descendants() if process_exists(pid)]
            proxy.process.kill()
            proxy.process.wait(5)
        for handle in handles:
            true(await_exit(handle, 5), "a child has ended with its master")
            os.close(handle)
        proxy.start()
        true(is_ours(proxy, "new.example"), "the new domain is ours")
        renewed(proxy)


@test("a tool that has given up waiting, SIGHUPs in a heap: the service ends at the newest file, each child there once")
def heap():
    with Sipfork(FAST) as proxy:
        for number in range(10):
            proxy.change(**harmless(proxy))
            proxy.process.send_signal(signal.SIGHUP)
            with under_way(proxy, "reload"):
                pass  # it is killed at once
        eventually(lambda: "under way" not in proxy.control("reload", check=False).stderr, "the end of reloads", 20)
        equal(set(complete(proxy).values()), set(children(proxy.process.pid)), "children")
        renewed(proxy, server={"domains": ["new.example"]})
        true(is_ours(proxy, "new.example"), "the new domain is ours")


@test("100 reloads, listeners coming and going, a call ringing: descriptors, memory and children as before", limit=120)
def hundred():
    with Scene(alice=UA) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        open_before = {role: descriptors(pid) for role, (pid, _) in processes(proxy).items()}
        for number in range(100):
            if number == 10:
                resident = memory(proxy.process.pid)["RssAnon"]
            hosts = [f"{scene.prefix}{1 if number % 2 == 0 else host}:5060" for host in (201, 202, 1)]
            listen = listeners(("udp", "tcp"), *dict.fromkeys([f"{scene.prefix}1:5060", *hosts]))
            proxy.reload(server={"listen": listen}, **harmless(proxy))
        proxy.reload(server={"listen": listeners(("udp", "tcp"), f"{scene.prefix}1:5060")})
        for role, count in open_before.items():
            same_descriptors(processes(proxy)[role][0], count)
        grown = memory(proxy.process.pid)["RssAnon"] - resident
        true(grown < 1024, f"the master has grown by {grown} kB over 90 reloads")
        equal(len(children(proxy.process.pid)), len(ROLES), "children, zombies counted")
        equal([proxy.log().count(word) for word in ("died", "<3>", "<2>")], [0, 0, 0], "trouble in the log")
        equal({restarts for _, restarts in processes(proxy).values()}, {0}, "restarts")
        ok = bob.answer(seen, 200)
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        hang_up(Dialog.of_callee(bob, seen, ok), outgoing)
