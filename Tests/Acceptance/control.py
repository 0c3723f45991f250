"""sipforkctl: status, workers, registrations, transactions; for people and as JSON. And what the log says.

What changes something, register and unregister, is in commands.py.
"""

import json
import os
import re
import signal

from harness import FAST_TIMERS, Sipfork, title
from malformed import without
from peers import accept_cancel, establish, hang_up, one_callee, refuse, rings, three_contacts
from testing import contains, equal, test, true
from waiting import eventually

FAST = {"timers": FAST_TIMERS}


@test("status: pid, uptime, mode, workers, transactions, bindings, counters, arena")
def status():
    with Sipfork({"server": {"workers": 3}, **FAST}) as proxy, one_callee(proxy) as (alice, (bob,)):
        seen = proxy.status()
        equal(seen["pid"], proxy.process.pid, "pid")
        true(0 <= seen["uptime_seconds"] < 30, f"uptime_seconds: {seen['uptime_seconds']}")
        equal(seen["mode"], "stateful", "mode")
        equal([worker["index"] for worker in seen["workers"]], [0, 1, 2], "indices of the workers")
        equal([worker["restarts"] for worker in seen["workers"]], [0, 0, 0], "restarts")
        for worker in seen["workers"]:
            equal(title(worker["pid"]), f"sipforkd: worker {worker['index']}", "title of the process")
        equal(seen["bindings"], 1, "bindings")
        true(all(isinstance(value, int) for value in seen["counters"].values()), "counters are integers")
        before = seen["transactions"]
        sides = establish(alice, bob)
        after = proxy.status()
        true(after["transactions"] > before, "the call's transaction is counted")
        true(after["counters"]["requests_received"] >= seen["counters"]["requests_received"] + 2, "requests_received")
        hang_up(*sides)
        text = proxy.control("status").stdout
        words = (str(proxy.process.pid), "stateful", proxy.address[0], "registrations", "transactions", "forks_started")
        for word in words:
            contains(text, word, "status for people")
        proxy.idle()


@test("workers: each with pid and restarts")
def workers():
    with Sipfork({"server": {"workers": 3}}) as proxy:
        rows = proxy.ctl("workers")
        equal([row["index"] for row in rows], [0, 1, 2], "indices")
        equal([row["pid"] for row in rows], [proxy.named(f"worker {index}") for index in range(3)], "pids")
        equal([row["restarts"] for row in rows], [0, 0, 0], "restarts")
        text = proxy.control("workers").stdout
        for row in rows:
            contains(text, str(row["pid"]), "workers for people")


@test("registrations: all, those of one user, none")
def registrations():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        alice.register(contact=f"<{alice.uri}>;q=0.3", expires=100)
        rows = {row["aor"]: row["contacts"] for row in proxy.ctl("registrations")}
        equal(len(rows), 2, "addresses of record")
        mine = next(contacts for aor, contacts in rows.items() if "alice@" in aor)
        equal([contact["uri"] for contact in mine], [alice.uri], "alice's contacts")
        true(95 <= mine[0]["expires"] <= 100, f"expires: {mine[0]['expires']} seconds left")
        one = proxy.ctl("registrations", "sip:bob@example.org")
        equal([contact["uri"] for row in one for contact in row["contacts"]], [bob.uri], "bob's contacts")
        equal(proxy.ctl("registrations", "sip:nobody@example.org"), [], "nobody's contacts")
        text = proxy.control("registrations").stdout
        for word in (alice.uri, bob.uri, "bob@example.org"):
            contains(text, word, "registrations for people")


@test("transactions: state and forks of a ringing call, and of one that is over")
def transactions():
    with Sipfork(FAST) as proxy, three_contacts(proxy) as (alice, phones):
        proxy.idle()
        equal(proxy.ctl("transactions"), [], "transactions of an idle proxy")
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        rows = [row for row in proxy.ctl("transactions") if row["method"] == "INVITE"]
        equal(len(rows), 1, "INVITE transactions")
        equal(rows[0]["state"].lower(), "proceeding", "state")
        equal([fork["state"].lower() for fork in rows[0]["forks"]], ["proceeding"] * 3, "states of the forks")
        text = proxy.control("transactions").stdout
        contains(text, "INVITE", "transactions for people")
        phones[0].answer(invites[0], 200, tag="bob1")
        alice.answer_of(invite, 200)
        for index in (1, 2):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")
        proxy.idle()
        equal(proxy.ctl("transactions"), [], "transactions after the timers")


@test("a wrong command fails with 64, no server with a message that names the socket")
def wrong_use():
    with Sipfork() as proxy:
        equal(proxy.control("no-such-command", check=False).returncode, 64, "exit status")
        proxy.socket_path += ".missing"
        done = proxy.control("status", check=False)
        equal(done.returncode, 1, "exit status without a server")
        contains(done.stderr, "control.sock.missing", "what it says")


@test("asking is harmless: 200 times under load, while workers die")
def asked_often():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for number in range(50):
            invite = alice.invite("bob")
            refuse(bob, bob.expect("INVITE"), 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
            for command in ("status", "workers", "registrations", "transactions"):
                proxy.ctl(command)
            if number % 10 == 5:
                os.kill(proxy.named("worker 0"), 9)
        eventually(lambda: len(set(proxy.workers())) == 2, "two workers")
        proxy.idle()


@test("the log: start, a failed call, a malformed message, stop; each line with a priority")
def log():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        refuse(bob, bob.expect("INVITE"), 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        proxy.await_log(invite.get("Call-ID"))
        alice.send(without(alice.request("MESSAGE", bob.aor), "Call-ID"))
        alice.expect(400)
        eventually(lambda: re.search(r"(?i)malformed|Call-ID", proxy.log()), "a log line of the malformed message")
        proxy.stop()
        proxy.checks_stop = False
        lines = proxy.log().splitlines()
        true(len(lines) >= 4, f"lines of the log: {lines}")
        for line in lines:
            true(re.match(r"<[0-7]>", line), f"a priority before {line!r}")


@test("Ctrl-C: SIGINT to every process at once is one clean stop, and a hang-up ends no child")
def terminal_signals():
    with Sipfork() as proxy:
        before = proxy.status()
        children = proxy.descendants()
        for pid in children:
            os.kill(pid, signal.SIGHUP)
        proxy.process.send_signal(signal.SIGHUP)
        proxy.await_log("reloaded: nothing has changed")
        equal(proxy.status()["workers"], before["workers"], "workers after SIGHUP")
        # Children first: they must not be gone before the master has heard of it.
        for pid in children:
            os.kill(pid, signal.SIGINT)
        proxy.process.send_signal(signal.SIGINT)
        equal(proxy.process.wait(10), 0, "exit status")
        proxy.checks_stop = False
        contains(proxy.log(), "stopping", "the log")
        true("died" not in proxy.log(), f"no child died: {proxy.log()}")


@test("sd_notify: READY=1, STATUS=, the watchdog when asked for, STOPPING=1")
def notifications():
    os.environ["WATCHDOG_USEC"] = "400000"
    try:
        with Sipfork() as proxy:
            eventually(lambda: proxy.notices.count("WATCHDOG=1") >= 5, "five WATCHDOG=1", 5)
            proxy.stop()
            proxy.checks_stop = False
            for word in ("READY=1", "STOPPING=1"):
                contains(proxy.notices, word, "what the notify socket heard")
            true(any(line.startswith("STATUS=") for line in proxy.notices), f"a STATUS= among {set(proxy.notices)}")
    finally:
        del os.environ["WATCHDOG_USEC"]


@test("--json prints one JSON value and nothing else")
def json_only():
    with Sipfork() as proxy:
        for command in ("status", "workers", "registrations", "transactions"):
            done = proxy.control("--json", command)
            json.loads(done.stdout)
            equal(done.stderr, "", f"stderr of --json {command}")
