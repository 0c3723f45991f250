"""Another configuration file at the next start of the master, which takes over what the one before had."""

import signal

from harness import network
from heirs import FAST, Supervision
from peers import calls, establish, hang_up, one_callee
from reloadscene import PATIENT, reloading
from scene import passes
from supervisor import Supervised
from testing import equal, test
from ua import UA, Dialog
from waiting import eventually


@test("a listener more at the next start, and one less: what the old one held is served, the other's port is free")
def other_listeners():
    prefix = network()
    here, there, late = (f"udp:{prefix}1:{port}" for port in (5060, 5062, 5064))
    with Supervised({"server": {"listen": [here, there]}, **PATIENT}, prefix) as proxy:
        with UA("alice", prefix + "2", proxy.address) as alice, UA("bob", prefix + "3", proxy.address) as bob:
            bob.register()
            with proxy.down():
                proxy.change(server={"listen": [here, late]})
                request = alice.send(alice.request("MESSAGE", bob.aor))
            bob.answer(bob.expect("MESSAGE"), 200)
            alice.answer_of(request, 200)
            with UA("carol", prefix + "4", (prefix + "1", 5064)) as carol:
                passes(carol, bob)
            with UA("other", prefix + "1", proxy.address, port=5062):  # nobody has it any more, the store neither
                pass
            names = [name for name in proxy.names() if name.startswith("listener-")]
            equal(len(names), 2, f"listeners in the store: {names}")
            proxy.strike()
            passes(alice, bob)
            with UA("carol", prefix + "4", (prefix + "1", 5064)) as carol:
                passes(carol, bob)


@test("listeners that a reload added and took away: the store follows")
def reloaded_listeners():
    prefix = network()
    here, there = (f"udp:{prefix}1:{port}" for port in (5060, 5062))
    with Supervised({"server": {"listen": [here]}, **PATIENT}, prefix) as proxy:
        with UA("bob", prefix + "3", proxy.address) as bob, UA("carol", prefix + "4", (prefix + "1", 5062)) as carol:
            bob.register()
            proxy.reload(server={"listen": [here, there]})
            with proxy.down():
                request = carol.send(carol.request("MESSAGE", bob.aor))
            bob.answer(bob.expect("MESSAGE"), 200)
            carol.answer_of(request, 200)
            proxy.reload(server={"listen": [here]})
            eventually(lambda: len([name for name in proxy.names() if name.startswith("listener-")]) == 1,
                       f"one listener in the store: {proxy.names()}")
            with UA("other", prefix + "1", proxy.address, port=5062):
                pass
            proxy.strike()
            with UA("other", prefix + "1", proxy.address, port=5062):
                pass
            passes(bob, bob)


@test("workers, transactions, mode and store of the file wait for stop and start; the rest holds at once")
def waits():
    with Supervision(PATIENT) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob", UA)
        invite, seen = calls(alice, bob, "bob")
        proxy.change(
            server={"workers": 3, "mode": "stateless", "max-transactions": 5000}, registrar={"store": "memory",
                                                                                             "max-contacts": 1})
        proxy.restart()
        for key in ("server.workers", "server.mode", "server.max-transactions", "registrar.store"):
            proxy.await_log(f"{key} waits for stop and start")
        status = proxy.status()
        equal((len(status["workers"]), status["mode"]), (2, "stateful"), "workers and mode")
        bob.answer(seen, 200)
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        alice.register(contact="<sip:a@127.0.0.1>, <sip:b@127.0.0.1>", want=403)  # max-contacts holds at once
        proxy.stop()
        proxy.change(registrar={"store": "sqlite"})
        proxy.start()
        status = proxy.status()
        equal((len(status["workers"]), status["mode"]), (3, "stateless"), "workers and mode")


@test("a file that is refused at the restart: exit 78; mended, the service starts")
def refused_file():
    with Supervised(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.change(server={"domain": "typo"})
        proxy.process.send_signal(signal.SIGTERM)
        eventually(lambda: proxy.exits == [0, 78], f"exit 78, not {proxy.exits}", 10)
        proxy.drop_store()  # as systemd does with a service that has failed
        proxy.change(server={"domain": None})
        proxy.listener.join(5)
        proxy.start()
        hang_up(*establish(alice, bob))


@test("kill -9 of the master in the middle of a reload: the next one has the new file, the call goes on")
def during_reload():
    with Supervision(PATIENT) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob", UA)
        invite, seen = calls(alice, bob, "bob")
        with reloading(proxy, status=None, server={"domains": ["example.org", "example.net"]}):
            proxy.strike()
        equal(proxy.process.pid, proxy.status()["pid"], "pid of the master")
        bob.answer(seen, 200)
        alice.send(Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)).request("ACK"))
        bob.expect("ACK")
        with UA("dora", scene.prefix + "40", proxy.address, domain="example.net") as dora:
            dora.register()
        proxy.reload(server={"domains": ["example.org"]})


@test("stateless: what comes while nobody is there is forwarded by the next")
def stateless():
    with Supervision({**PATIENT, "server": {"mode": "stateless"}}, transports=("udp",)) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        with scene.proxy.down():
            invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        with scene.proxy.down():
            bob.answer(seen, 200)
        alice.send(Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)).request("ACK"))
        bob.expect("ACK")
