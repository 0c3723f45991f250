"""Processes die in the middle of calls: the calls go on, the processes are replaced, nothing is left behind."""

import os
import signal

from harness import FAST_TIMERS, Sipfork, children, title
from peers import accept_cancel, establish, hang_up, one_callee, refuse, rings, three_contacts
from testing import contains, equal, test, true
from ua import Dialog
from waiting import await_exit, eventually, process_exists

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}  # nothing is lost, so nothing needs a retransmission within the test
WORKERS = 2


def kill_worker(proxy, index):
    """SIGKILL to a worker; what comes next arrives while it is dead or starting. A worker that was killed several
    times in a few seconds is started with a delay: wait until it is there.
    """
    pid = proxy.replaced(f"worker {index}", None)
    os.kill(pid, signal.SIGKILL)
    return pid


def call_with_deaths(proxy, alice, bob, index, stages):
    """A call with worker `index` killed right before the message that each of `stages` names."""

    def die(stage):
        if stage in stages:
            old = kill_worker(proxy, index)
            if "slowly" in stages:
                proxy.replaced(f"worker {index}", old)

    invite = alice.invite("bob")
    seen = bob.expect("INVITE")
    die("180")
    bob.answer(seen, 180, "Ringing")
    alice.answer_of(invite, 180)
    die("200")
    ok = bob.answer(seen, 200, "OK")
    response = alice.answer_of(invite, 200)
    outgoing, incoming = Dialog.of_caller(alice, invite, response), Dialog.of_callee(bob, seen, ok)
    die("ACK")
    alice.send(outgoing.request("ACK"))
    bob.expect("ACK")
    die("BYE")
    bye = alice.send(outgoing.request("BYE"))
    seen = bob.expect("BYE")
    die("200 to BYE")
    bob.answer(seen, 200, "OK")
    alice.answer_of(bye, 200)
    equal(incoming.call_id, outgoing.call_id, "Call-ID")


for _stage in ("180", "200", "ACK", "BYE", "200 to BYE"):

    @test(f"a worker killed right before the {_stage}: no message is lost, the call completes")
    def killed_before(stage=_stage):
        with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
            for index in range(WORKERS):
                for _ in range(4):  # other Call-IDs: the owner is now this worker, now the other
                    old = proxy.named(f"worker {index}")
                    call_with_deaths(proxy, alice, bob, index, (stage,))
                    proxy.replaced(f"worker {index}", old)


@test("a worker killed before every message of a call, its successor ready each time")
def killed_throughout():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for index in range(WORKERS):
            call_with_deaths(proxy, alice, bob, index, ("180", "200", "ACK", "BYE", "200 to BYE", "slowly"))
        restarts = {worker["index"]: worker["restarts"] for worker in proxy.status()["workers"]}
        equal(restarts, {0: 5, 1: 5}, "restarts in status")


@test("an INVITE that a dead worker had not read is handled by its successor")
def unread():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        stopped = [proxy.named(f"worker {index}") for index in range(WORKERS)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        invites = [alice.invite("bob") for _ in range(10)]
        bob.silent(0.2)
        for pid in stopped:
            os.kill(pid, signal.SIGKILL)
        seen = [bob.expect("INVITE", 5) for _ in invites]
        equal({m.get("Call-ID") for m in seen}, {m.get("Call-ID") for m in invites}, "Call-IDs at the callee")
        bob.silent(0.3, again=True)


@test("timers go on after a death: retransmission, timer C, CANCEL of the forks, 408")
def timers_survive():
    settings = {"server": {"workers": 3}, "timers": {**FAST_TIMERS, "c": 1500}}
    with Sipfork(settings) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for index in range(3):
            kill_worker(proxy, index)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
        alice.ack_failure(invite, alice.answer_of(invite, 408, 5))
        proxy.idle()


@test("a forked call with every worker killed in turn: one answers, the others are cancelled")
def forks_survive():
    for index in range(3):
        with Sipfork({"server": {"workers": 3}, **SLOW}) as proxy, three_contacts(proxy) as (alice, phones):
            invite = alice.invite("bob")
            invites = rings(phones, alice, invite)
            kill_worker(proxy, index)
            phones[1].answer(invites[1], 200, "OK", tag="bob2")
            response = alice.answer_of(invite, 200)
            for other in (0, 2):
                accept_cancel(phones[other], invites[other], tag=f"bob{other + 1}")
            alice.send(Dialog.of_caller(alice, invite, response).request("ACK"))
            phones[1].expect("ACK")


@test("a CANCEL and a failure across a death")
def cancel_survives():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for index in range(WORKERS):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180)
            alice.answer_of(invite, 180)
            old = kill_worker(proxy, index)
            alice.answer_of(alice.cancel(invite), 200)
            accept_cancel(bob, seen)
            alice.ack_failure(invite, alice.answer_of(invite, 487))
            proxy.replaced(f"worker {index}", old)
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            kill_worker(proxy, index)
            refuse(bob, seen, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("after deaths and the timers nothing is left in the arena")
def no_leak():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        proxy.idle()
        before = proxy.status()["arena"]
        for number in range(10):
            old = proxy.named(f"worker {number % WORKERS}")
            call_with_deaths(proxy, alice, bob, number % WORKERS, ("180", "BYE"))
            proxy.replaced(f"worker {number % WORKERS}", old)
        proxy.idle()
        eventually(lambda: proxy.status()["arena"] == before, f"the arena's counts back at {before}", 10)


@test("each process killed in turn is replaced, logged, and calls go on")
def each_in_turn():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for role in ("worker 0", "worker 1", "locator", "logger"):
            old, others = proxy.named(role), set(proxy.descendants())
            os.kill(old, signal.SIGKILL)
            new = proxy.replaced(role, old)
            equal(set(proxy.descendants()) - {new}, others - {old}, f"the other processes when the {role} died")
            hang_up(*establish(alice, bob))
            eventually(
                lambda: any(str(old) in line and role.split()[0] in line for line in proxy.log().splitlines()),
                f"a log line that names the {role} and its pid {old}")
        workers = proxy.status()["workers"]
        equal([worker["restarts"] for worker in workers], [1, 1], "restarts of the workers")
        equal([worker["pid"] for worker in workers], [proxy.named("worker 0"), proxy.named("worker 1")], "pids")


@test("all children killed at once: all are replaced and a call goes through")
def all_children():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        old = {title(pid): pid for pid in children(proxy.process.pid)}
        for pid in old.values():
            os.kill(pid, signal.SIGKILL)
        for name, pid in old.items():
            proxy.replaced(name.removeprefix("sipforkd: "), pid)
        hang_up(*establish(alice, bob))


@test("a worker that hangs is replaced by the master", limit=90)
def hanging_worker():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        old = proxy.named("worker 0")
        os.kill(old, signal.SIGSTOP)
        for _ in range(20):
            alice.invite("bob")
        proxy.replaced("worker 0", old, 40)
        seen = {bob.expect("INVITE", 10).get("Call-ID") for _ in range(20)}
        equal(len(seen), 20, "INVITEs that reached the callee in the end")


@test("kill -9 of the master: no child is left")
def master_killed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        establish(alice, bob)
        handles = [(title(pid), os.pidfd_open(pid)) for pid in proxy.descendants()]
        true(len(handles) >= 4, f"two workers, locator and logger run: {[name for name, _ in handles]}")
        proxy.process.kill()
        proxy.process.wait(5)
        left = [name for name, handle in handles if not await_exit(handle, 5)]
        for _, handle in handles:
            os.close(handle)
        equal(left, [], "children left after the master's death")
        proxy.checks_stop = False


@test("SIGTERM with calls in setup: exit 0, STOPPING=1, no orphan, and the control socket is gone")
def clean_stop():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 180)
        alice.answer_of(invite, 180)
        proxy.stop()
        contains(proxy.notices, "STOPPING=1", "what the notify socket heard")
        true(proxy.control("status", check=False).returncode != 0, "sipforkctl fails when nobody runs")
        proxy.checks_stop = False


@test("SIGTERM right after a child's death: still clean")
def stop_after_death():
    for role in ("worker 0", "locator", "logger"):
        with Sipfork(FAST) as proxy:
            pids = proxy.descendants()
            os.kill(proxy.named(role), signal.SIGKILL)
            proxy.stop()
            equal([pid for pid in pids if process_exists(pid)], [], "processes left")
            proxy.checks_stop = False
