"""What a master finds in the descriptor store: all of it, none, too little, or something that it cannot use."""

import contextlib
import os
import signal
import subprocess
import sys

from harness import network
from heirs import FAST, Supervision
from peers import calls, establish, hang_up, one_callee
from reloadscene import PATIENT
from scene import listeners
from supervisor import Stored, Supervised
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually


def a_call(proxy):
    """A whole call, of people who come for it and register."""
    with contextlib.ExitStack() as stack:
        alice, carol = (
            stack.enter_context(UA(name, proxy.prefix + place, proxy.address))
            for name, place in (("alice", "30"), ("carol", "31")))
        carol.register()
        hang_up(*establish(alice, carol, "carol"))


@test("what is stored: memory, keys, mailboxes, listeners, each once, and none is watched")
def what_is_stored():
    prefix = network()
    listen = listeners(("udp", "tcp"), f"{prefix}1:5060")
    with Supervised({"server": {"listen": listen, "workers": 3}}, prefix) as proxy:
        for _ in range(3):
            names = proxy.names()
            equal(len(names), len(set(names)), "names that stand once")
            true({"arena", "keys", "listener-0", "listener-1"} <= set(names), f"names: {names}")
            mailboxes = [name for name in names if name.startswith("mail-")]
            equal(len(mailboxes), 2 * (4 + 3), "ends of mailboxes: master, locator, resolver, logger, 3 workers")
            equal([entry.name for entry in proxy.store if entry.is_polled], [], "watched (FDPOLL=1)")
            equal(len(names), 4 + len(mailboxes), f"others among {names}")
            identities = {entry.name: entry.identity() for entry in proxy.store}
            proxy.strike()
            equal({entry.name: entry.identity() for entry in proxy.store}, identities, "after a death, the same")


@test("told in the log: how long nobody was there, transactions, registrations")
def told():
    with Supervised(PATIENT) as proxy, one_callee(proxy) as (alice, (bob,)):
        calls(alice, bob, "bob")
        pid = proxy.process.pid
        proxy.strike()
        proxy.await_log(f"took over from the former process (pid {pid})")
        line = next(line for line in proxy.log().splitlines() if "took over from" in line)
        contains(line, "1 registrations", "the entry")


def write(entry, offset, data):
    os.pwrite(entry.descriptor, data, offset)


def another_layout(proxy):
    arena = proxy.stored("arena")
    before = os.pread(arena.descriptor, 8, 8)
    write(arena, 8, bytes(byte ^ 0xFF for byte in before))


DAMAGES = {
    "another layout": another_layout,
    "no magic": lambda proxy: write(proxy.stored("arena"), 0, bytes(8)),
    "sizes that cannot be": lambda proxy: write(proxy.stored("arena"), 16, b"\xff" * 32),
    "no workers": lambda proxy: write(proxy.stored("arena"), 16, bytes(4)),
    "another size": lambda proxy: os.ftruncate(proxy.stored("arena").descriptor, 1 << 20),
    "a part of a page": lambda proxy: os.ftruncate(proxy.stored("arena").descriptor, 100),
    "empty": lambda proxy: os.ftruncate(proxy.stored("arena").descriptor, 0),
    "keys of another size": lambda proxy: os.ftruncate(proxy.stored("keys").descriptor, 1),
    "memory that is a pipe": lambda proxy: replaced_by(proxy, "arena", os.pipe()),
    "keys that are a pipe": lambda proxy: replaced_by(proxy, "keys", os.pipe()),
    "a mailbox that is a pipe": lambda proxy: replaced_by(proxy, "mail-read-0", os.pipe()),
    "a mailbox that is the memory": lambda proxy: replaced_by(
        proxy, "mail-write-0", (os.dup(proxy.stored("arena").descriptor),))}


def replaced_by(proxy, name, others):
    entry = proxy.stored(name)
    os.close(entry.descriptor)
    entry.descriptor = others[0]
    for other in others[1:]:
        os.close(other)


@test("memory of another layout: fresh memory, told; bindings come from the disk, what the sockets held is served")
def other_layout():
    with Supervised(PATIENT) as proxy, one_callee(proxy) as (alice, (bob,)):
        sides = establish(alice, bob)
        ringing = alice.invite("bob")
        bob.answer(bob.expect("INVITE"), 180)
        alice.answer_of(ringing, 180)
        arena = proxy.stored("arena").identity()
        with proxy.down():
            another_layout(proxy)
            invite = alice.invite("bob")
            bye = alice.send(sides[0].request("BYE"))
        proxy.await_log("it has the layout of another version")
        arrived = [bob.receive(5, again=False) for _ in range(2)]  # in either order
        equal({message and message.kind for message in arrived}, {"INVITE", "BYE"}, "what the sockets had held")
        equal({message.get("Call-ID") for message in arrived}, {invite.get("Call-ID"), bye.get("Call-ID")}, "Call-IDs")
        for message in arrived:
            bob.answer(message, 200 if message.kind == "BYE" else 486)
        alice.answer_of(bye, 200, ignore=(100, 180, 486))
        true(proxy.stored("arena").identity() != arena, "the memory is another")
        a_call(proxy)
        names = proxy.names()
        equal(len(names), len(set(names)), f"names that stand once: {names}")
        identity = proxy.stored("arena").identity()
        proxy.strike()  # and that memory is taken over as any other
        equal(proxy.stored("arena").identity(), identity, "the fresh memory, after another death")
        a_call(proxy)


for _damage in DAMAGES:

    @test(f"a store that is damaged ({_damage}): a clean start, told, with all bindings")
    def damaged(damage=_damage):
        with Supervised(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
            with proxy.down():
                DAMAGES[damage](proxy)
            equal(len(proxy.exits), 1, f"ends of masters: {proxy.exits}")
            proxy.await_log("is not taken over")
            equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], "registrations")
            hang_up(*establish(alice, bob))
            names = proxy.names()
            equal(len(names), len(set(names)), f"names that stand once: {names}")
            proxy.strike()
            hang_up(*establish(alice, bob))


@test("any one descriptor missing in the store: the service starts, with all bindings", limit=120)
def missing():
    with Supervised(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for name in proxy.names():
            with proxy.down():
                proxy.remove(proxy.stored(name))
            equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], f"without {name}")
            hang_up(*establish(alice, bob))
            names = proxy.names()
            true(name in names and len(names) == len(set(names)), f"the store has {name} again, once: {names}")
        equal(set(proxy.exits), {-signal.SIGKILL}, "ends of masters")


@test("descriptors that are none of ours are closed, and the store is told; the call goes on")
def strangers():
    with Supervision(PATIENT) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob", UA)
        names = proxy.names()
        invite, seen = calls(alice, bob, "bob")
        with proxy.down():
            for name in ("stored", "mail-read-77", "listener-9", "listener-x", ""):
                reading, writing = os.pipe()
                os.close(writing)
                replaced = Stored(name, reading, False)
                proxy.store.insert(0, replaced)
        bob.answer(seen, 200)
        alice.send(Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)).request("ACK"))
        bob.expect("ACK")
        eventually(lambda: [name for name in proxy.names() if name] == names, f"the store as before: {proxy.names()}")


def scribble(proxy, byte):
    """All but the first page, which says that the rest is good."""
    entry = proxy.stored("arena")
    size = os.fstat(entry.descriptor).st_size
    page = byte * 4096
    for offset in range(4096, min(size, 64 << 20), 4096):
        os.pwrite(entry.descriptor, page, offset)


for _byte in (b"\xff", b"\x01"):

    @test(f"memory full of {_byte[0]:#04x} behind a good first page: given up after a few starts, then all is served")
    def rubbish(byte=_byte):
        with Supervised(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
            count = proxy.starts
            with proxy.down():
                scribble(proxy, byte)

            def served():
                with contextlib.suppress(AssertionError):
                    if proxy.ready.is_set() and proxy.control("status", check=False).returncode == 0:
                        return [row["aor"] for row in proxy.ctl("registrations")] == ["bob@example.org"]

            eventually(served, "the registration, by a later master", 40)
            alice.drain()
            hang_up(*establish(alice, bob))
            true(proxy.starts - count <= 6, f"{proxy.starts - count} starts: {proxy.exits}")


@test("a service manager without a store: a clean start with all bindings")
def no_store():
    with Supervised(FAST, maximum=0) as proxy, one_callee(proxy) as (alice, (bob,)):
        sides = establish(alice, bob)
        proxy.strike()
        equal(proxy.names(), [], "what is stored")
        equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], "registrations")
        hang_up(*sides)
        hang_up(*establish(alice, bob))


@test("a store too small for everything: a clean start with all bindings, no loop")
def small_store():
    for maximum in (1, 3, 9):
        with Supervised(FAST, maximum=maximum) as proxy, one_callee(proxy) as (alice, (bob,)):
            true(proxy.refused, "something was refused")
            proxy.strike()
            equal(len(proxy.exits), 1, "ends of masters")
            equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], "registrations")
            hang_up(*establish(alice, bob))


@test("systemctl stop and start: nothing is taken over but the bindings")
def stop_and_start():
    with Supervised(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        calls(alice, bob, "bob")
        proxy.stop()
        equal(proxy.names(), [], "what is stored")
        bob.drain()
        proxy.start()
        equal(proxy.status()["transactions"], 0, "transactions")
        equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], "registrations")
        alice.drain()
        hang_up(*establish(alice, bob))


HOLDER = """
import fcntl, signal, sys
fcntl.lockf({number}, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {byte})
print("holds", flush=True)
signal.pause()
"""


@test("an older child that is alive and stands still is ended before anybody works on the memory")
def older_child():
    with Supervision(PATIENT) as scene:
        proxy, alice, bob = scene.proxy, scene.alice, scene.phone("bob", UA)
        invite, seen = calls(alice, bob, "bob")
        with proxy.down():
            number = os.dup(proxy.stored("arena").descriptor)
            os.set_inheritable(number, True)
            # The place of worker 0: it has died with its master by now, or will in a moment.
            holder = eventually(lambda: holding(number), "the lock of the memory", 5)
            os.close(number)
            holder.send_signal(signal.SIGSTOP)
        equal(holder.wait(10), -signal.SIGKILL, "end of the older child")
        bob.answer(seen, 200)
        alice.send(Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)).request("ACK"))
        bob.expect("ACK")


def holding(number):
    """A process that has the place of a child in the memory, or None."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(number=number, byte=10)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, pass_fds=[number])
    if holder.stdout.readline() == "holds\n":
        return holder
    holder.wait(5)
    return None
