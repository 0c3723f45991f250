"""Messages, timers and questions that end the process that handles them, by a trap or by making it hang: the third time
they are dropped. All else goes on. The debug build, since only that can be told what to trap on.
"""

import os
import re
import signal
import socket

from harness import FAST_TIMERS, Sipfork
from heirs import Supervision
from internet import Internet
from peers import calls, establish, hang_up, one_callee
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually

BUILD = "debug"
os.environ["SWIFT_BACKTRACE"] = "enable=no"  # it takes longer than a process that hangs is given

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}  # nothing is lost, so nothing needs a retransmission within the test
ONE = {"server": {"workers": 1}, **SLOW}


def trigger(proxy, *words):
    """Tells the handlers of the service what to trap or hang on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
        asking.settimeout(5)
        asking.connect(proxy.socket_path)
        asking.send(f"trigger {' '.join(words)}\n".encode())
        equal(asking.recv(1000), b"200 OK\n", "answer to trigger")


def deaths(proxy, role):
    """The signals that ended processes of this role."""
    return re.findall(rf"{role} \(pid \d+\) died: killed by signal (\d+)", proxy.log())


def quarantined(proxy):
    return proxy.status()["counters"]["quarantined"]


def await_quarantine(proxy, count=1, timeout=10):
    eventually(lambda: quarantined(proxy) >= count, f"{count} quarantined", timeout)
    equal(quarantined(proxy), count, "counter quarantined")


def eve_of(proxy):
    """Whoever sends what should not be."""
    return UA("eve", proxy.prefix + "3", proxy.address)


class Call:
    """A call of alice's that rings at bob's while something else happens."""

    def __init__(self, alice, bob):
        self.alice, self.bob = alice, bob
        self.invite, self.seen = calls(alice, bob, "bob")

    def completes(self):
        ok = self.bob.answer(self.seen, 200, "OK")
        response = self.alice.answer_of(self.invite, 200)
        outgoing = Dialog.of_caller(self.alice, self.invite, response)
        self.alice.send(outgoing.request("ACK"))
        self.bob.expect("ACK")
        hang_up(outgoing, Dialog.of_callee(self.bob, self.seen, ok))


@test("an INVITE that makes its worker trap: dropped the third time, and when it is sent again; other calls go on")
def poison():
    with Sipfork(ONE) as proxy, one_callee(proxy) as (alice, (bob,)), eve_of(proxy) as eve:
        call = Call(alice, bob)
        trigger(proxy, "worker", "poison")
        secret = ("Proxy-Authorization", 'Digest username="eve", response="6629fae4"')
        invite = eve.invite("poison", headers=[secret])
        await_quarantine(proxy)
        equal(len(deaths(proxy, "worker 0")), 2, "deaths")
        pid = proxy.replaced("worker 0", None)
        for count in range(2, 5):
            eve.send(invite)
            await_quarantine(proxy, count)
        equal(proxy.named("worker 0"), pid, "pid of the worker")
        equal(proxy.status()["workers"][0]["restarts"], 2, "restarts")
        eve.silent(0.1)
        call.completes()
        trigger(proxy, "none")
        hang_up(*establish(alice, bob))
        # The journal has the message, but nobody's credentials.
        proxy.await_log("has ended worker 0 twice, and is dropped from now on")
        log = proxy.log()
        contains(log, f"    INVITE {invite.uri} SIP/2.0", "log")
        contains(log, "    Proxy-Authorization: ***", "log")
        true("6629fae4" not in log, "credentials stand in the log")


@test("another request of the same sender is another event: each has two strikes")
def each_by_itself():
    with Sipfork(ONE) as proxy, one_callee(proxy) as (alice, (bob,)):
        trigger(proxy, "worker", "poison")
        first, second = alice.invite("poison"), alice.invite("poison")
        eventually(lambda: len(deaths(proxy, "worker 0")) == 4, "four deaths", 10)
        hang_up(*establish(alice, bob))
        # Where one was dropped in a turn that the other ended, it was dropped and counted again.
        before = quarantined(proxy)
        for count, invite in enumerate((first, second), before + 1):
            alice.send(invite)
            await_quarantine(proxy, count)
        equal(len(deaths(proxy, "worker 0")), 4, "deaths")


@test("a worker that was killed from outside blames nothing")
def outside():
    with Sipfork(ONE) as proxy, one_callee(proxy) as (alice, (bob,)):
        trigger(proxy, "worker", "poison", "hang")
        invite = alice.invite("poison")
        for _ in range(3):
            pid = proxy.replaced("worker 0", None)
            alice.silent(0.3)  # it hangs, or there would be an answer
            os.kill(pid, signal.SIGKILL)
            proxy.replaced("worker 0", pid)
        trigger(proxy, "none")
        os.kill(proxy.named("worker 0"), signal.SIGKILL)
        alice.ack_failure(invite, alice.answer_of(invite, 480, 5))
        equal(quarantined(proxy), 0, "counter quarantined")


@test("an INVITE that makes its worker hang: ended after five seconds, twice; then it is dropped", limit=90)
def hanging():
    with Sipfork(ONE) as proxy, one_callee(proxy) as (alice, (bob,)), eve_of(proxy) as eve:
        call = Call(alice, bob)
        trigger(proxy, "worker", "poison", "hang")
        invite = eve.invite("poison")

        def dropped():
            eve.send(invite)  # as its timer A would: mail that waits shows that somebody hangs
            return quarantined(proxy)

        eventually(dropped, "the quarantine", 40, 0.5)
        equal(deaths(proxy, "worker 0"), [str(signal.SIGABRT.value)] * 2, "signals that ended it")
        contains(proxy.log(), "hangs: no turn for ", "log")
        call.completes()


@test("a timer that makes its worker trap stays out of the wheel; the call goes on")
def timer():
    with Sipfork({"server": {"workers": 1}, **FAST}) as proxy, one_callee(proxy) as (alice, (bob,)):
        trigger(proxy, "timer", "bob@")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")  # and timer A sends it again, if it may
        await_quarantine(proxy)
        equal(len(deaths(proxy, "worker 0")), 2, "deaths")
        ok = bob.answer(seen, 200, "OK")
        response = alice.answer_of(invite, 200)
        outgoing = Dialog.of_caller(alice, invite, response)
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK", ignore=("INVITE",))
        trigger(proxy, "none")
        hang_up(outgoing, Dialog.of_callee(bob, seen, ok))


for _how, _signal in (("trap", None), ("hang", "6")):

    @test(f"a REGISTER on which the locator is to {_how}: answered 500; other registrations and calls go on", limit=120)
    def registration(how=_how, number=_signal):
        words = ("hang",) if how == "hang" else ()
        with Sipfork({"timers": {"t1": 4000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
            trigger(proxy, "locator", "poison", *words)
            phones = [UA(name, proxy.prefix + end, proxy.address) for name, end in (("poison", "4"), ("carol", "5"))]
            with phones[0] as eve, phones[1] as carol:
                aor = f"<{eve.aor}>"
                register = eve.request("REGISTER", f"sip:{eve.domain}", to=aor, from_=f"{aor};tag=1")
                eve.send(register)
                hang_up(*establish(alice, bob))
                eve.answer_of(register, 500, 60)
                ends = deaths(proxy, "locator")
                equal(len(ends), 2, "deaths of the locator")
                true(number is None or set(ends) == {number}, f"signals {ends}")
                equal(quarantined(proxy), 1, "counter quarantined")
                carol.register()
                known = {row["aor"] for row in proxy.ctl("registrations")}
                equal(known, {"bob@example.org", "carol@example.org"}, "registered")
            contains(proxy.log(), "a registration has ended the locator twice, and is refused", "log")


@test("a name on which the resolver traps: 500; other names are found")
def name():
    with Internet() as stage:
        trigger(stage.proxy, "resolver", "poison")
        stage.fails("sip:bob@poison.test", 500)
        equal(len(deaths(stage.proxy, "resolver")), 2, "deaths of the resolver")
        true(quarantined(stage.proxy) >= 1, "counter quarantined")
        pid = stage.proxy.named("resolver")
        stage.fails("sip:bob@nowhere.test", 500)
        true(stage.asked("nowhere.test"), "the other name was asked")
        equal(stage.proxy.named("resolver"), pid, "pid of the resolver")


@test("a resolver that hangs is ended after five seconds")
def hanging_resolver():
    with Internet() as stage:
        trigger(stage.proxy, "resolver", "poison", "hang")
        old = stage.proxy.named("resolver")
        request = stage.sends("sip:bob@poison.test")
        stage.proxy.replaced("resolver", old, 20)
        equal(deaths(stage.proxy, "resolver"), ["6"], "signals that ended it")
        trigger(stage.proxy, "none")
        stage.alice.answer_of(request, 500, 20)


@test("a message on which the master itself traps: the third master drops it unread; calls go on", limit=90)
def master():
    with Supervision(SLOW) as scene:
        bob = scene.phone("bob", UA)
        call = Call(scene.alice, bob)
        with UA("eve", scene.prefix + "9", scene.proxy.address) as eve:
            trigger(scene.proxy, "master", "poison")
            invite = eve.request("INVITE", f"sip:poison@{eve.domain}")
            eve.send(invite)
            # The second has the datagram in its hands as well, which the first had; the third drops it.
            scene.proxy.await_start(2, 30)
            await_quarantine(scene.proxy, 1)
            eve.send(invite)
            await_quarantine(scene.proxy, 2)
            equal(scene.proxy.starts, 3, "masters")
            contains(scene.proxy.log(), "has ended the master twice, and is dropped from now on", "log")
            trigger(scene.proxy, "none")
        call.completes()


@test("a worker that dies at once again and again is started later and later: its calls wait, others do not", limit=90)
def back_off():
    with Sipfork(SLOW) as proxy, one_callee(proxy) as (alice, (bob,)):
        for _ in range(3):  # a busy machine may look too late
            if waits_for_its_worker(proxy, alice, bob):
                return
        raise AssertionError("never saw one worker at work while the other was awaited")


def waits_for_its_worker(proxy, alice, bob):
    """Worker 0 dies until its successor has to wait; meanwhile those of worker 1 go through, and in the end all."""
    old = None
    ends = len(deaths(proxy, "worker 0"))
    while "starts in 1600 ms" not in proxy.log().rpartition("killed by signal")[2]:
        old = proxy.replaced("worker 0", old)
        os.kill(old, signal.SIGSEGV)
        eventually(lambda: len(deaths(proxy, "worker 0")) > ends, "its death", 10)
        ends = len(deaths(proxy, "worker 0"))
    sent = {alice.send(alice.request("MESSAGE", bob.aor)).get("Call-ID") for _ in range(20)}
    answered, early = set(), 0
    while answered != sent:
        seen = bob.expect("MESSAGE", 10)
        bob.answer(seen, 200)
        answered.add(seen.get("Call-ID"))
        if not any(worker["index"] == 0 and worker["pid"] for worker in proxy.status()["workers"]):
            early = len(answered)
    for _ in sent:
        alice.expect(200)
    return 0 < early < len(sent)
