"""The master ends in the middle of calls, by a signal, a restart or an upgrade; the next one goes on with its memory,
sockets and mailboxes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from harness import FAST_TIMERS, network
from peers import accept_cancel, calls, establish, hang_up, one_callee, refuse, rings, three_contacts
from reloadcalls import ANSWERED, CANCELLED, REFUSED, answered, both_refuse, cancelled
from reloadscene import PATIENT, reloading
from scene import Scene, listeners, passes
from supervisor import Supervised
from tcpua import TCPUA
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually

FAST = {"timers": FAST_TIMERS}


def other_program(proxy):
    """A copy of the program, as an upgrade brings it."""
    path = os.path.join(proxy.directory, f"sipforkd-{proxy.starts}")
    shutil.copy(proxy.daemon, path)
    return path


WAYS = {
    "kill -9": lambda proxy: proxy.strike(signal.SIGKILL),
    "a trap": lambda proxy: proxy.strike(signal.SIGILL),
    "systemctl restart": lambda proxy: proxy.restart(),
    "an upgrade": lambda proxy: proxy.upgrade(other_program(proxy))}


class Supervision(Scene):
    """A scene whose proxy is started again when its master ends."""

    def __init__(self, settings=None, alice=UA, transports=("udp", "tcp"), **more):
        super().__init__(settings, alice, transports)
        merged = {key: value for key, value in self.proxy.settings.items()}
        self.proxy = Supervised(merged, self.prefix, **more)


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
        for call, stages in ((answered, ANSWERED), (cancelled, CANCELLED), (both_refuse, REFUSED)):
            for stage in stages:
                with Moment(scene.proxy, stage, way, meanwhile) as now:
                    try:
                        call(scene.alice, phones, now)
                    except AssertionError as error:
                        error.add_note(f"restarted before: {stage}")
                        raise
        for ua in (scene.alice, *phones):
            ua.silent(0.05)
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


@test("kill -9 of a master that has just begun, two in a row, at other moments of its start: the call goes on", limit=120)
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


@test("the same call from a caller whose port changed is none: what is left after deaths and timers is nothing")
def no_leak():
    with Supervision(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        scene.proxy.idle()
        before = scene.proxy.status()["arena"]
        descriptors = len(os.listdir(f"/proc/{scene.proxy.process.pid}/fd"))
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
        equal(len(os.listdir(f"/proc/{scene.proxy.process.pid}/fd")), descriptors, "descriptors of the master")
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
            branches = {alice.expect(200).branch for _ in sent}
            equal(branches, {request.branch for request in sent}, "branches of the answers")
            WAYS["systemctl restart"](proxy)
            rows = {row["aor"] for row in proxy.ctl("registrations")}
            equal(rows, {f"sip:{user}@example.org" for user in ("first", *(f"user{n}" for n in range(20)))}, "users")
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
        branches = {alice.expect(200).branch for _ in requests}
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
            hang_up(*((outgoing, incoming) if caller_ends else (incoming, outgoing)))


@test("a client that connects while nobody is there waits, and is served")
def connects_meanwhile():
    with Supervision(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", TCPUA)
        with scene.proxy.down():
            carol = scene.phone("carol", TCPUA, register=False)
            request = carol.send(carol.request("MESSAGE", bob.aor))
        bob.answer(bob.expect("MESSAGE"), 200)
        carol.answer_of(request, 200)


# The store, and what is not as it was

def a_call(proxy):
    """A whole call, of people who come for it and register."""
    with UA("alice", proxy.prefix + "30", proxy.address) as alice, UA("carol", proxy.prefix + "31", proxy.address) as carol:
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
        arrived = [bob.expect(kind, 5, ignore=("INVITE", "BYE")) for kind in ("BYE",)]
        bob.answer(arrived[0], 200)
        alice.answer_of(bye, 200, ignore=(100, 180))
        true(proxy.stored("arena").identity() != arena, "the memory is another")
        equal(invite.get("Call-ID") != bye.get("Call-ID"), True, "two calls")
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
            equal([row["aor"] for row in proxy.ctl("registrations")], ["sip:bob@example.org"], "registrations")
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
            equal([row["aor"] for row in proxy.ctl("registrations")], ["sip:bob@example.org"], f"without {name}")
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
                replaced = type(proxy.store[0])(name, reading, False)
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
                        return [row["aor"] for row in proxy.ctl("registrations")] == ["sip:bob@example.org"]

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
        equal([row["aor"] for row in proxy.ctl("registrations")], ["sip:bob@example.org"], "registrations")
        hang_up(*sides)
        hang_up(*establish(alice, bob))


@test("a store too small for everything: a clean start with all bindings, no loop")
def small_store():
    for maximum in (1, 3, 9):
        with Supervised(FAST, maximum=maximum) as proxy, one_callee(proxy) as (alice, (bob,)):
            true(proxy.refused, "something was refused")
            proxy.strike()
            equal(len(proxy.exits), 1, "ends of masters")
            equal([row["aor"] for row in proxy.ctl("registrations")], ["sip:bob@example.org"], "registrations")
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
        equal([row["aor"] for row in proxy.ctl("registrations")], ["sip:bob@example.org"], "registrations")
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
        [sys.executable, "-c", HOLDER.format(number=number, byte=10)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, pass_fds=[number])
    if holder.stdout.readline() == "holds\n":
        return holder
    holder.wait(5)
    return None


# Another configuration at the next start

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
