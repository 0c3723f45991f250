"""What stands behind the registrar: SQLite, the locator's death, the restart of the service."""

import contextlib
import os
import shutil
import signal
import sqlite3
import tempfile
import time

from harness import Sipfork, network
from peers import establish, hang_up, one_callee
from registrations import FAST, SHORT, bindings, phone, stored
from testing import equal, test, true
from ua import UA


def calls_reach(proxy, callee):
    """A call to the callee's address of record goes through and is hung up."""
    with UA("alice", proxy.prefix + "2", proxy.address) as alice:
        hang_up(*establish(alice, callee, callee.name))


def deadlines(proxy):
    """{contact: second since 1970 at which it expires}, from location.db."""
    path = os.path.join(proxy.state_directory, "location.db")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as database:
        return dict(database.execute("SELECT contact, expires FROM bindings"))


@test("the row is in location.db before the 200 arrives", limit=30)
def durable():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        for number in range(20):
            uri = f"sip:bob@{proxy.prefix}{20 + number}:5062"
            bob.register(contact=f"<{uri}>;expires=600", user=f"user{number}")
            true(stored(proxy, uri), f"{uri} is in location.db when its 200 is there")


@test("kill -9 of the locator: registrations are there, calls go through, a new REGISTER works")
def locator_killed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for _ in range(3):
            old = proxy.named("locator")
            os.kill(old, signal.SIGKILL)
            hang_up(*establish(alice, bob))
            proxy.replaced("locator", old)
            equal(len(proxy.ctl("registrations")), 1, "addresses of record in sipforkctl registrations")
            equal(set(bindings(bob.register(contact="", expires=None))), {bob.uri}, "bindings in a query")
            bob.register(expires=1000)
        alice.register()
        equal(proxy.status()["bindings"], 2, "bindings in status")


@test("a REGISTER that the killed locator had not read is answered by its successor")
def register_during_death():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        old = proxy.named("locator")
        os.kill(old, signal.SIGSTOP)
        request = bob.request(
            "REGISTER", "sip:example.org", to=f"<{bob.aor}>", contact=False,
            headers=[("Contact", f"<{bob.uri}>;expires=600")])
        bob.send(request)
        bob.silent(0.2, ignore=(100,))
        os.kill(old, signal.SIGKILL)
        equal(set(bindings(bob.answer_of(request, 200, 5))), {bob.uri}, "bindings")
        true(stored(proxy, bob.uri), "the row is in location.db")


@test("while another program locks location.db, a REGISTER is refused with 500; both ends are told in the log")
def locked():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        path = os.path.join(proxy.state_directory, "location.db")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=2)) as database:
            database.execute("BEGIN IMMEDIATE")
            bob.register(want=500)
            proxy.await_log("registrations are refused: ")
            true("can be stored again" not in proxy.log(), "no entry that it works before it does")
            database.execute("ROLLBACK")
        bob.register()
        proxy.await_log("registrations can be stored again")
        true(stored(proxy, bob.uri), "the row is in location.db")


@test("registrations are there after a restart of the service, with the time they had left; q and order too")
def restart():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    try:
        with UA("bob", prefix + "10", (prefix + "1", 5060)) as bob:
            with Sipfork(FAST, prefix, directory) as proxy:
                bob.register(contact=f"<{bob.uri}>;expires=600;q=0.7")
                equal(proxy.status()["bindings"], 1, "bindings before")
                first = proxy.process.pid
            with Sipfork(FAST, prefix, directory) as proxy:
                true(proxy.process.pid != first, "another process")
                rows = proxy.ctl("registrations")
                equal([contact["uri"] for contact in rows[0]["contacts"]], [bob.uri], "contacts after the restart")
                equal(float(rows[0]["contacts"][0]["q"]), 0.7, "q after the restart")
                calls_reach(proxy, bob)
                seconds = bindings(bob.register(contact="", expires=None))[bob.uri]
                true(580 <= seconds <= 600, f"seconds left: {seconds}")
                proxy.kill()
                proxy.checks_stop = False
            with Sipfork(FAST, prefix, directory) as proxy:
                equal(proxy.status()["bindings"], 1, "bindings after kill -9 of the master and a start")
                calls_reach(proxy, bob)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@test("expiry is exact to the second, across a death of the locator and a restart")
def exact_expiry():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    try:
        with UA("bob", prefix + "10", (prefix + "1", 5060)) as bob:
            with Sipfork(SHORT, prefix, directory) as proxy:
                before = int(time.time())
                bob.register(expires=4)
                deadline = deadlines(proxy)[bob.uri]
                true(before + 4 <= deadline <= int(time.time()) + 4, f"deadline {deadline}, asked at {before}")
                old = proxy.named("locator")
                os.kill(old, signal.SIGKILL)
                proxy.replaced("locator", old)
                equal(deadlines(proxy).get(bob.uri), deadline, "deadline after the locator's death")
            with Sipfork(SHORT, prefix, directory) as proxy:
                asked = 0
                while asked < 2 or time.time() < deadline + 1:
                    asked_at = time.time()
                    granted = bindings(bob.register(contact="", expires=None))
                    answered_at = time.time()
                    asked += 1
                    if answered_at < deadline:
                        true(granted, f"bindings {deadline - answered_at:.3f} s before the deadline")
                        left = (deadline - int(answered_at), deadline - int(asked_at))
                        true(left[0] <= granted[bob.uri] <= left[1], f"{granted} seconds left, wanted {left}")
                    if asked_at >= deadline:
                        equal(granted, {}, f"bindings {asked_at - deadline:.3f} s after the deadline")
                    bob.silent(0.05)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@test("store = \"memory\" works without a file")
def memory_store():
    with Sipfork({**FAST, "registrar": {"store": "memory"}}) as proxy, phone(proxy) as bob:
        bob.register()
        calls_reach(proxy, bob)
        true(not os.path.exists(os.path.join(proxy.state_directory, "location.db")), "no location.db")
