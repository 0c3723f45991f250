"""Processes are killed every second under 300 calls per second: no call and no registration is lost."""

import os
import shutil
import signal

from harness import Sipfork
from internet import Internet
from nameserver import Record
from storm import SECONDS, Storm, Trouble, killer
from supervisor import Supervised
from testing import equal, test, true
from waiting import eventually

ALONE = True

ENOUGH = 15  # deaths in 20 s, when the machine is busy


@test("kill -9 of a random worker every second", limit=120)
def workers():
    with Sipfork({"server": {"workers": 3}}) as proxy:
        with Storm(proxy) as storm, Trouble(killer(proxy, "worker 0", "worker 1", "worker 2")) as trouble:
            storm.finish()
        true(trouble.count >= ENOUGH, f"{trouble.count} deaths")
        restarts = sum(worker["restarts"] for worker in proxy.status()["workers"])
        true(restarts >= ENOUGH, f"{restarts} restarts in status")


@test("kill -9 of the locator every second while phones register: all are there, and after stop and start", limit=120)
def locator():
    with Sipfork() as proxy:
        with Storm(proxy, phones=60) as storm, Trouble(killer(proxy, "locator")) as trouble:
            storm.finish()
        true(trouble.count >= ENOUGH, f"{trouble.count} deaths")
        proxy.replaced("locator", None)
        storm.all_registered(proxy)
        proxy.stop()
        proxy.start()
        storm.all_registered(proxy)


class Everywhere(Record):
    """Every name below this one has this address."""

    def option(self, prefix):
        return f"--address=/{self.name}/{self.address(prefix)}"


@test("kill -9 of the resolver every second while every call goes to a name that must be looked up", limit=120)
def resolver():
    names = [f"callee@n{number}.test:5070" for number in range(700)]
    names += [f"callee@n{number}.test:5070;transport=udp" for number in range(700, 1400)]
    with Internet(Everywhere("test", "A", 3), ttl=1, resolver={"timeout": 2000, "candidate-timeout": 4000},
                  timers={}) as stage:
        proxy = stage.proxy
        with Storm(proxy, users=names) as storm, Trouble(killer(proxy, "resolver")) as trouble:
            storm.finish()
        true(trouble.count >= ENOUGH, f"{trouble.count} deaths")
        asked = len(stage.asked(kind="A"))
        true(asked >= storm.count // 2, f"{asked} questions for {storm.count} calls")
        eventually(lambda: proxy.status()["processes"]["resolver"]["restarts"] >= ENOUGH, "the restarts in status")


# The master. Its successor has the memory, the sockets and the mailboxes from the descriptor store.

PHONES = 60


def storm_over(proxy, strike):
    """A storm with phones in which `strike` hits the master three times."""
    restarts = []

    def thrice(count):
        if count < 3:
            strike()
            restarts.append(proxy.status()["pid"])

    with Storm(proxy, phones=PHONES) as storm, Trouble(thrice, SECONDS / 5) as trouble:
        storm.finish()
    true(trouble.count >= 3, f"{trouble.count} strikes")
    equal(len(set(restarts)), 3, "masters after the first")
    storm.all_registered(proxy)
    proxy.stop()
    proxy.start()
    storm.all_registered(proxy)


@test("kill -9 of the master three times", limit=150)
def master():
    with Supervised() as proxy:
        storm_over(proxy, proxy.strike)
        equal(proxy.exits[:3], [-signal.SIGKILL] * 3, "ends of the masters")


@test("systemctl restart three times", limit=150)
def restart():
    with Supervised() as proxy:
        storm_over(proxy, proxy.restart)
        equal(proxy.exits[:3], [0] * 3, "ends of the masters")


@test("an upgrade in the middle", limit=150)
def upgrade():
    with Supervised() as proxy:
        newer = os.path.join(proxy.directory, "sipforkd")
        shutil.copy(proxy.daemon, newer)
        with Storm(proxy, phones=PHONES) as storm, Trouble(
                lambda count: None if count else proxy.upgrade(newer), SECONDS / 2):
            storm.finish()
        equal(proxy.exits, [0], "ends of the masters")
        equal(os.readlink(f"/proc/{proxy.process.pid}/exe"), newer, "program of the master")
        for pid in proxy.descendants():
            equal(os.readlink(f"/proc/{pid}/exe"), newer, "program of a child")
        storm.all_registered(proxy)


@test("every process but the master killed again and again, and the master twice", limit=150)
def everything():
    with Supervised({"server": {"workers": 3}}) as proxy:
        roles = killer(proxy, "worker 0", "worker 1", "worker 2", "locator", "resolver", "logger")

        def strike(count):
            if count in (20, 45):
                proxy.strike()
            else:
                roles(count)

        with Storm(proxy, phones=PHONES) as storm, Trouble(strike, 0.3) as trouble:
            storm.finish()
        true(trouble.count > 45, f"{trouble.count} deaths")
        storm.all_registered(proxy)
