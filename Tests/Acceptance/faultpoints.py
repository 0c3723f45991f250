"""Every place between two steps of a turn (Sources/Runtime/SharedMemory/FaultPoint.swift): a process dies there while
calls are set up and phones register, and none of these is lost. It takes a debug build, which has these places.
"""

import contextlib
import os
import signal
import socket

from calls import arena
from crashes import kill_worker
from harness import Sipfork
from heirs import Supervision
from internet import Internet
from peers import calls, hang_up, refuse
from reloadscene import PATIENT, harmless
from sipp import PORT
from storm import Storm, Trouble
from storms import Everywhere
from supervisor import Supervised
from tcpua import TCPUA
from testing import equal, test, true
from ua import UA, Dialog
from waiting import await_exit, eventually

BUILD = "debug"

# What a process passes. In a pair, the second point is one that the successor of who died at the first passes, and nobody
# of another role.
TURN = ["undoNoted", "undoLogged", "undoWritten", "undoForgotten", "turnCommitted", "turnForgotten", "turnFinished",
        "arrayHalfCleared", "arrayCleared"]
MAIL = ["mailPlaced", "mailAppended", "ringHanded", "mailSent", "mailNoted"]
WORKER = [
    *TURN, *MAIL, "outboxForgotten", "slotHanded", "slotReleased", "entryWritten", "entryAppended", "loggerTold",
    "workerWoken", "workerReceived", "workerBegun", "workerHandled", "workerExpired", "workerWorked", "workerFlushed",
    "workerEnded", "datagramsSent", "outboxSent",
    ("workerHandled", "undoTaken"), ("workerWorked", "undoForgotten"), ("turnCommitted", "datagramsSent"),
    ("arrayHalfCleared", "workerAttached"), ("workerWorked", "workerRecovered"),
    ("turnForgotten", "workerReady")]
LOCATOR = [
    *TURN, *MAIL, "locatorReceived", "locatorHandled", "locatorStoring", "locatorStored", "locatorPublished",
    "locatorAnswered", "locatorSettled", "locatorEnded", "locatorSwept",
    ("locatorStored", "undoTaken"), ("locatorPublished", "locatorAttached"), ("locatorStored", "locatorRecovered"),
    ("locatorAnswered", "locatorOpened"), ("turnCommitted", "locatorReady"), ("locatorHandled", "locatorStored")]
RESOLVER = [
    *MAIL, "mailTaken", "resolverWoken", "resolverAsked", "resolverAdvanced", "resolverFinished", "resolverTold",
    "cacheOpened", "cacheFilled", "cacheKept", ("cacheOpened", "resolverReady")]
LOGGER = ["loggerWoken", "loggerRearmed", "entryRead", "entryRemarked", "entryPrinted", "entryDropped",
          ("entryPrinted", "loggerReady")]
MASTER = [
    *MAIL, "masterWoken", "slotTaken", "datagramsReceived", "messagePlaced", "messageScanned", "messageMailed",
    "batchTaken", "slotHanded"]
HEIR = ["masterAttached", "masterPublished", "masterFollowed", "masterHanded", "masterRead", "masterDispatched",
        "masterReclaimed",
        "masterDrained", "childStarted", "childNoted", "masterReady"]
CHILD = ["childReaped", "childStarted", "childNoted"]
RELOAD = ["reloadPublished", "reloadTold", "reloadReplaced", "reloadListening", "reloadDone"]
TO_STREAM = ["mailTaken", "sendTaken", "streamWritten", "sendDone", "sendReleased"]
FROM_STREAM = ["streamRead", "streamFramed"]
ACCEPT = ["connectionAccepted"]
LISTS = (WORKER, LOCATOR, RESOLVER, LOGGER, MASTER, HEIR, CHILD, RELOAD, TO_STREAM, FROM_STREAM, ACCEPT)


def ask(proxy, text):
    """The lines that the master answers to this on its control socket; one that is being replaced is waited for."""

    def answer():
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.settimeout(10)
            asking.connect(proxy.socket_path)
            asking.send(f"{text}\n".encode())
            return asking.recv(65536).decode().splitlines()
        return None

    lines = eventually(answer, f"an answer to {text!r}", 20)
    true(lines[0].startswith("200 "), f"{text!r} is answered {lines[0]!r}")
    return lines


def armed(proxy):
    return ask(proxy, "faults")[0].removeprefix("200 ")


def arm(proxy, pid, point):
    """This process is to die at this point, or at the first one of a pair, and its successor at the second."""
    first, then = point if isinstance(point, tuple) else (point, "")
    ask(proxy, f"fault {first} 1 {pid} {then}")


def strike(proxy, role, point):
    """The process with this role dies at this point, as soon as it passes it; its successor is there afterwards."""
    pid = proxy.replaced(role, None, 20)
    handle = os.pidfd_open(pid)
    try:
        arm(proxy, pid, point)
        true(await_exit(handle, 20), f"the {role} does not pass {point}")
    finally:
        os.close(handle)
    if isinstance(point, tuple):
        eventually(lambda: armed(proxy) == "none", f"the {role} that follows to pass {point}", 20)
    proxy.replaced(role, pid, 20)


class Busy(Trouble):
    """A phone that is busy: it answers every INVITE with 486, so that each call has a fork that fails."""

    def __init__(self, host):
        super().__init__(self.serve, 0)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(0.1)
        self.socket.bind((host, PORT))

    def serve(self, _):
        with contextlib.suppress(TimeoutError):
            data, source = self.socket.recvfrom(65536)
            if data.startswith(b"INVITE "):
                wanted = (b"Via:", b"From:", b"To:", b"Call-ID:", b"CSeq:")
                lines = [line for line in data.split(b"\r\n") if line.startswith(wanted)]
                lines = [line + b";tag=busy" if line.startswith(b"To:") else line for line in lines]
                lines = [b"SIP/2.0 486 Busy Here", *lines, b"Content-Length: 0", b"", b""]
                self.socket.sendto(b"\r\n".join(lines), source)

    def __exit__(self, *error):
        super().__exit__(*error)
        self.socket.close()


class Traffic(Storm):
    """Calls and registrations until the block is over: then all of them must have succeeded. Every call forks to a
    phone that is busy.
    """

    def __init__(self, proxy, users=(), rate=40, phones=10, seconds=300):
        super().__init__(proxy, rate, seconds, None, phones)
        self.users += users

    def __enter__(self):
        host = f"{self.proxy.prefix}6"
        self.busy = self.stack.enter_context(Busy(host))
        super().__enter__()
        with UA(self.user, host, self.proxy.address) as registrant:
            registrant.register(contact=f"<sip:{self.user}@{host}:{PORT}>")
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.end()
        finally:
            super().__exit__(kind, error, trace)

    def end(self):
        """No new calls and phones; those that there are come to their end."""
        sources = {"calls": self.caller, "phones": self.phones}
        for name, sipp in sources.items():
            true(sipp.process.poll() is None, f"the {name} were over too early\n{sipp.story()}")
            sipp.process.send_signal(signal.SIGUSR1)
        for sipp in sources.values():
            sipp.wait(60)
        self.callee.stop()
        counters = {name: sipp.counters() for name, sipp in sources.items()}
        print("          " + "; ".join(
            f"{row['SuccessfulCall']} {name}, {row['FailedCall']} failed, {row['Retransmissions']} retransmissions"
            for name, row in counters.items()), flush=True)
        for name, row in counters.items():
            true(row["SuccessfulCall"] > 0, f"no {name}")
            equal((row["FailedCall"], row["SuccessfulCall"]), (0, row["OutgoingCall"]), f"failed and good {name}")
        reached = self.callee.counters()["IncomingCall"]
        equal(reached, counters["calls"]["SuccessfulCall"], "calls that have reached the callee")
        self.phone_count = counters["phones"]["SuccessfulCall"]
        self.all_registered(self.proxy)


def empty(proxy, before):
    """What calls take is given back."""
    proxy.idle(60)
    eventually(lambda: arena(proxy) == before, f"the arena's counts back at {before}: {arena(proxy)}", 20)


TIMERS = {"t1": 250, "t2": 2000, "t4": 2500}


def children_die(role, points):
    """A process of this role dies at each of these points."""
    names = [f"callee@n{number}.test:5070" for number in range(2000)]
    with Internet(Everywhere("test", "A", 3), ttl=1, timers=TIMERS, log={"level": "debug", "calls": "all"}) as stage:
        proxy = stage.proxy
        before = arena(proxy)
        with Traffic(proxy, names if role == "resolver" else names[:1]):
            for number, point in enumerate(points):
                strike(proxy, f"worker {number % 2}" if role == "worker" else role, point)
        empty(proxy, before)


@test("a worker dies at every point that it passes", limit=300)
def workers():
    children_die("worker", WORKER)


@test("the locator dies at every point that it passes", limit=300)
def locator():
    children_die("locator", LOCATOR)


@test("the resolver dies at every point that it passes", limit=300)
def resolver():
    children_die("resolver", RESOLVER)


@test("the logger dies at every point that it passes", limit=300)
def logger():
    children_die("logger", LOGGER)


# The master, which finds memory and sockets in the descriptor store

def strike_master(proxy, point, deed=lambda: None):
    """The master dies at this point, once `deed` is done, if it needs one; the next one serves afterwards. Gives what
    `deed` gives.
    """
    count = proxy.starts
    arm(proxy, proxy.process.pid, point)
    done = deed()
    proxy.await_start(count + isinstance(point, tuple), 30)
    equal(armed(proxy), "none", "the point that nobody has passed")
    return done


def master_dies(points, deed=lambda proxy: None):
    with Supervised({"timers": TIMERS}) as proxy:
        before = arena(proxy)
        with Traffic(proxy):
            for point in points:
                strike_master(proxy, point, lambda: deed(proxy))
        empty(proxy, before)


@test("the master dies at every point of its loop", limit=300)
def master():
    master_dies(MASTER)


@test("a message comes once, and the master dies at a point of its way: nothing of it is lost", limit=120)
def on_the_way():
    with Supervision(PATIENT) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        for point in MASTER:
            invite = strike_master(scene.proxy, point, lambda: alice.invite("bob"))
            try:
                refuse(bob, bob.expect("INVITE"), 486)
                alice.ack_failure(invite, alice.answer_of(invite, 486))
            except AssertionError as error:
                error.add_note(f"the master died at {point}")
                raise


@test("the next master dies as well, at every point of its beginning", limit=300)
def heir():
    master_dies([("masterWoken", point) for point in HEIR])


@test("the master dies while it replaces a worker", limit=300)
def replacing():
    master_dies(CHILD, lambda proxy: kill_worker(proxy, 0))


@test("the master dies in the middle of a reload, at every point", limit=300)
def reload():
    def change(proxy):
        proxy.change(**harmless(proxy))
        proxy.control("reload", check=False)

    master_dies(RELOAD, change)


@test("the master dies while a message goes to a peer by TCP: it is sent again", limit=120)
def to_stream():
    with Supervision(PATIENT, alice=UA) as scene:
        alice, bob = scene.alice, scene.phone("bob", TCPUA)
        for point in TO_STREAM:
            invite = strike_master(scene.proxy, point, lambda: alice.invite("bob"))
            finish(alice, bob, invite, bob.expect("INVITE"))


@test("the master dies while an answer comes by TCP: it is on its way, or the peer is asked again", limit=120)
def from_stream():
    with Supervision(PATIENT, alice=UA) as scene:
        alice, bob = scene.alice, scene.phone("bob", TCPUA)
        for point in FROM_STREAM:
            invite, seen = calls(alice, bob, "bob")
            strike_master(scene.proxy, point, lambda: bob.answer(seen, 200))
            equal(finish(alice, bob, invite, seen), point == "streamRead", f"{point}: asked again")


@test("the master dies when a client has connected: the client connects again", limit=60)
def accepting():
    with Supervision(PATIENT, alice=UA) as scene:
        bob = scene.phone("bob", TCPUA)
        for point in ACCEPT:
            strike_master(scene.proxy, point, lambda: scene.phone("carol", TCPUA, register=False).connect())
        request = bob.send(bob.request("MESSAGE", scene.alice.uri))
        scene.alice.answer(scene.alice.expect("MESSAGE"), 200)
        bob.answer_of(request, 200)


def finish(alice, bob, invite, seen):
    """The rest of a call; gives whether the INVITE came again. The last one that comes is answered: those before have
    come over connections that are gone.
    """
    last = seen
    while again := bob.receive(1.0):
        equal((again.kind, again.branch), ("INVITE", seen.branch), "what comes after an INVITE")
        last = again
    ok = bob.answer(last, 200)
    outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200, ignore=(100, 180)))
    alice.send(outgoing.request("ACK"))
    bob.expect("ACK", ignore=("INVITE",))
    hang_up(outgoing, Dialog.of_callee(bob, seen, ok))
    return last is not seen


@test("there is no other point")
def complete():
    with Sipfork() as proxy:
        there = {line.split()[0] for line in ask(proxy, "faults")[1:]}
    tried = {name for points in LISTS for point in points for name in ([point] if isinstance(point, str) else point)}
    equal(tried, there, "points that are tried, and that there are")
