"""A reload in the middle of calls, registrations and lookups: nobody notices."""

import contextlib
import threading

from calls import run_calls
from harness import FAST_TIMERS, Sipfork
from internet import Internet
from nameserver import host
from peers import accept_cancel, establish, hang_up, is_hop_by_hop, one_callee, refuse, rings
from reloadscene import PATIENT, reloading, renewed
from scene import Scene, passes, serves
from tcpua import TCPUA
from testing import equal, test, true
from ua import UA, Dialog
from waiting import eventually

# In every phase

ANSWERED = ("INVITE", "before 100", "180", "200", "200 sent", "cancelled", "ACK", "BYE", "200 to BYE")
CANCELLED = ("CANCEL", "CANCEL at the phones", "487")
REFUSED = ("first 486", "second 486", "ACK to 486")


class Moment:
    """A reload at one moment of a call, all of it, or (`meanwhile`) one that goes on while the call does."""

    def __init__(self, proxy, stage, meanwhile):
        self.proxy, self.stage, self.meanwhile = proxy, stage, meanwhile
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def __call__(self, stage):
        if stage != self.stage:
            return
        if self.meanwhile:
            self.stack.enter_context(reloading(self.proxy))
        else:
            renewed(self.proxy)


def answered(alice, phones, now):
    """A call with a fork in each worker: both ring, the first answers, the other is cancelled; then ACK and BYE."""
    now("INVITE")
    invite = alice.invite("bob")
    now("before 100")
    seen = [phone.expect("INVITE") for phone in phones]
    now("180")
    for number, (phone, each) in enumerate(zip(phones, seen), 1):
        phone.answer(each, 180, tag=f"bob{number}")
    equal({alice.answer_of(invite, 180).tag() for _ in phones}, {"bob1", "bob2"}, "To tags of the 180s")
    now("200")
    ok = phones[0].answer(seen[0], 200, tag="bob1")
    now("200 sent")
    response = alice.answer_of(invite, 200)
    now("cancelled")
    accept_cancel(phones[1], seen[1], tag="bob2")
    outgoing, incoming = Dialog.of_caller(alice, invite, response), Dialog.of_callee(phones[0], seen[0], ok)
    now("ACK")
    alice.send(outgoing.request("ACK"))
    phones[0].expect("ACK")
    now("BYE")
    bye = phones[0].send(incoming.request("BYE"))
    at_alice = alice.expect("BYE")
    now("200 to BYE")
    alice.answer(at_alice, 200)
    phones[0].answer_of(bye, 200)


def cancelled(alice, phones, now):
    """A call that its caller gives up while both phones ring."""
    invite = alice.invite("bob")
    seen = rings(phones, alice, invite)
    now("CANCEL")
    cancel = alice.cancel(invite)
    now("CANCEL at the phones")
    alice.answer_of(cancel, 200)
    for number, (phone, each) in enumerate(zip(phones, seen), 1):
        accept_cancel(phone, each, tag=f"bob{number}")
    now("487")
    alice.ack_failure(invite, alice.answer_of(invite, 487))


def both_refuse(alice, phones, now):
    """A call that both phones refuse."""
    invite = alice.invite("bob")
    seen = rings(phones, alice, invite)
    for number, (phone, each) in enumerate(zip(phones, seen), 1):
        now(("first 486", "second 486")[number - 1])
        phone.answer(each, 486, tag=f"bob{number}")
        is_hop_by_hop(phone.expect("ACK"), each)
    now("ACK to 486")
    alice.ack_failure(invite, alice.answer_of(invite, 486))


def at_every_stage(alice, phones, moment):
    """Calls that are answered, cancelled and refused; at each of their stages the context `moment(stage)` gives what is
    called with the stages as they come.
    """
    for call, stages in ((answered, ANSWERED), (cancelled, CANCELLED), (both_refuse, REFUSED)):
        for stage in stages:
            with moment(stage) as now:
                try:
                    call(alice, phones, now)
                except AssertionError as error:
                    error.add_note(f"it happened before: {stage}")
                    raise
    for ua in (alice, *phones):
        ua.silent(0.05)


for _kinds in ((UA, UA, TCPUA), (TCPUA, TCPUA, UA)):
    for _meanwhile in (False, True):
        _way = "/".join(kind.transport for kind in _kinds)

        @test(f"a reload {'that goes on during' if _meanwhile else 'between'} any two messages of a call: {_way}")
        def every_phase(kinds=_kinds, meanwhile=_meanwhile):
            with Scene(PATIENT, alice=kinds[0]) as scene:
                phones = [scene.phone("bob", kind) for kind in kinds[1:]]
                at_every_stage(scene.alice, phones, lambda stage: Moment(scene.proxy, stage, meanwhile))
                counters = scene.counters()
                for name in ("retransmissions_sent", "retransmissions_absorbed", "stray_responses", "send_errors"):
                    equal(counters[name], 0, name)
                equal(counters["calls_failed"], len(CANCELLED + REFUSED), "calls_failed")


@test("20 calls, ringing or answered, over a reload and through another one; nothing is left of them")
def many():
    with Scene({"timers": {"t1": 20, "t2": 100, "t4": 100}}) as scene:  # nothing is sent again over TCP
        alice, bob = scene.alice, scene.phone("bob")  # by UDP, timer D would keep what was refused for 32 s
        scene.proxy.idle()
        before = scene.proxy.status()["arena"]
        dialogs = []
        ringing = []
        for number in range(20):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180, tag=f"b{number}")
            alice.answer_of(invite, 180)
            if number % 2:
                ok = bob.answer(seen, 200, tag=f"b{number}")
                dialogs.append((Dialog.of_caller(alice, invite, alice.answer_of(invite, 200)), bob, seen, ok))
            else:
                ringing.append((invite, seen, f"b{number}"))
        renewed(scene.proxy)
        with reloading(scene.proxy):
            for outgoing, callee, seen, ok in dialogs:
                alice.send(outgoing.request("ACK"))
                bob.expect("ACK", ignore=("BYE",))
                hang_up(outgoing, Dialog.of_callee(callee, seen, ok))
            for invite, seen, tag in ringing:
                refuse(bob, seen, 486, tag=tag)
                alice.ack_failure(invite, alice.answer_of(invite, 486))
        scene.proxy.idle()
        eventually(lambda: scene.proxy.status()["arena"] == before, f"the arena's counts back at {before}", 10)


# Timers

@test("timer C: who rings keeps the one that held when it began to, longer or shorter; the next call has the new one")
def timer_c():
    with Sipfork({"timers": {**FAST_TIMERS, "c": 1000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        def ringing(tag):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180, tag=tag)
            alice.answer_of(invite, 180)
            return invite, seen

        def given_up(invite, seen, tag):
            accept_cancel(bob, seen, tag=tag)
            alice.ack_failure(invite, alice.answer_of(invite, 408))

        first = ringing("first")
        renewed(proxy, timers={"c": 185000})
        patient = ringing("patient")
        given_up(*first, "first")
        renewed(proxy, timers={"c": 300})
        given_up(*ringing("third"), "third")
        bob.silent(0.5)
        bob.answer(patient[1], 200, tag="patient")
        response = alice.answer_of(patient[0], 200)
        alice.send(Dialog.of_caller(alice, patient[0], response).request("ACK"))
        bob.expect("ACK")


@test("retransmissions go on over reloads, not anew: a silent phone gets 7 INVITEs at most, then the caller 408")
def retransmissions():
    with Sipfork({"timers": {**FAST_TIMERS, "t1": 30}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        bob.expect("INVITE")
        for _ in range(4):
            renewed(proxy)
        alice.ack_failure(invite, alice.answer_of(invite, 408, 8))
        again = [message.kind for message in bob.drain()]
        equal(set(again), {"INVITE"}, "what else the silent phone got")
        true(3 <= len(again) <= 6, f"{len(again)} retransmissions within 64·T1 (RFC 3261 §17.1.1.2)")


# Registrations and lookups

@test("phones that register while the locator is replaced are answered, each once, and all are there")
def registrations():
    with Scene(PATIENT, alice=UA) as scene:
        users = [f"user{number}" for number in range(60)]
        for number in range(0, 60, 20):
            with reloading(scene.proxy):
                for user in users[number:number + 20]:
                    scene.alice.register(user=user)
        rows = scene.proxy.ctl("registrations")
        equal({row["aor"].removeprefix("sip:") for row in rows}, {f"{user}@example.org" for user in users}, "users")
        counters = scene.counters()
        equal((counters["registers_accepted"], counters["retransmissions_absorbed"]), (60, 0), "REGISTERs")


@test("store = \"memory\": registrations survive a reload; so does the time that they have left")
def in_memory():
    with Sipfork({"registrar": {"store": "memory"}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        bob.register(contact=f"<{bob.uri}>", expires=600, cseq=7, call_id="one@phone")
        renewed(proxy)
        (row,) = proxy.ctl("registrations")
        equal([contact["uri"] for contact in row["contacts"]], [bob.uri], "contacts")
        true(500 <= row["contacts"][0]["expires"] <= 600, f"seconds left: {row}")
        hang_up(*establish(alice, bob))
        bob.register(contact=f"<{bob.uri}>", expires=600, cseq=6, call_id="one@phone", want=500)  # it knows the order


@test("requests that wait for a name while the resolver is replaced go out when the name server answers")
def lookups():
    with Internet(host("far.test", 31), rogue=True, resolver={"timeout": 5000}) as stage:
        bob = stage.peer("bob", 31)
        stage.server.hold()
        sent = [stage.sends(f"sip:bob{number}@far.test:5060") for number in range(5)]
        stage.server.await_question("far.test")
        renewed(stage.proxy)
        stage.server.release()
        seen = [bob.expect("MESSAGE", 10) for _ in sent]
        equal({each.get("Call-ID") for each in seen}, {each.get("Call-ID") for each in sent}, "Call-IDs at bob's")
        for each in seen:
            bob.answer(each, 200)
        answers = {stage.alice.expect(200, ignore=(100,)).branch for _ in sent}
        equal(answers, {each.branch for each in sent}, "branches of the answers")
        asked = len(stage.asked("far.test", "A"))
        renewed(stage.proxy)
        stage.arrives("sip:bob@far.test:5060", bob)
        equal(len(stage.asked("far.test", "A")), asked, "questions, when the answer was known before the reload")


# Connections

@test("half a message on a connection before the reload, the rest after it; the connections are the same")
def half_a_message():
    with Scene(PATIENT) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        passes(alice, bob)
        request = alice.request("MESSAGE", bob.aor, body=b"x" * 3000)
        data = request.encode()
        for cut in (10, 200, len(data) - 1000):
            request = alice.request("MESSAGE", bob.aor, body=b"x" * 3000)
            data = request.encode()
            connection = alice.way
            connection.send(data[:cut])
            connection.taken()
            renewed(scene.proxy)
            connection.send(data[cut:])
            seen = bob.expect("MESSAGE")
            equal(seen.body, request.body, "body")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)
        serves(alice.way, alice)
        equal((len(alice.opened), len(alice.accepted)), (1, 0), "alice's connections")
        equal((scene.counters()["connections_accepted"], scene.proxy.status()["connections"]), (2, 3), "connections")


# Load

def reload_until(proxy, done, outcomes):
    """Reloads every 0.3 s until told to end; each adds its outcome, None or what went wrong."""
    while not done.wait(0.3):
        try:
            renewed(proxy)
            outcomes.append(None)
        except Exception as failure:  # for the test to raise
            outcomes.append(failure)


@test("sipp at 100 calls/s from UDP to TCP, a reload every 0.3 s: none fails, nothing is lost", limit=90)
def load():
    count = 300
    with Scene({"timers": {}}) as scene:
        done, outcomes = threading.Event(), []
        thread = threading.Thread(target=reload_until, args=(scene.proxy, done, outcomes))
        thread.start()
        try:
            counters = run_calls(scene.proxy, count, 100, 30, callee="t1")
        finally:
            done.set()
            thread.join()
        for outcome in outcomes:
            if outcome is not None:
                raise outcome
        true(len(outcomes) >= 3, f"{len(outcomes)} reloads under load")
        # T1 is 500 ms here and there: who waits that long for a process to be replaced has noticed it.
        again = counters["caller"]["Retransmissions"] + counters["callee"]["Retransmissions"]
        again += scene.counters()["retransmissions_sent"]
        true(again <= count // 50, f"{again} retransmissions of {count} calls")
