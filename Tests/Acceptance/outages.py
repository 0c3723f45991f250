"""What is remembered of names, and for how long; name servers that are gone or frozen, a resolver that is killed."""

import contextlib
import os
import signal

from harness import DOMAIN, network
from internet import ANSWER, Internet, received
from nameserver import Dnsmasq, host, srv
from testing import equal, test, true
from waiting import eventually

FAR = "sip:bob@example.test"
UDP = "_sip._udp.example.test"
A, B = host("a.example.test", 31), host("b.example.test", 32)
FIRST, SECOND = srv(UDP, "a.example.test", 5071, 10), srv(UDP, "b.example.test", 5071, 20)
REASON = "Next hop cannot be resolved"


def two(**more):
    """A domain with two servers, the second for when the first fails."""
    return Internet(FIRST, SECOND, A, B, **more)


def pair(stage):
    return stage.peer("first", 31, 5071), stage.peer("second", 32, 5071)


def answered(stage, receiver, requests):
    """All these MESSAGEs arrive, and their answers too."""
    for _ in requests:
        receiver.answer(receiver.expect("MESSAGE", ANSWER), 200)
    wanted = {request.get("Call-ID") for request in requests}
    equal({stage.alice.expect(200).get("Call-ID") for _ in requests}, wanted, "requests that were answered")


# What is remembered

@test("within its TTL a name is asked for once, however many calls; the counters of status tell")
def cached():
    with two(server={"workers": 4}) as stage:
        first = stage.peer("first", 31, 5071)
        stage.call(FAR, first)
        before = stage.asked()
        true(len(before) == len(set(before)), f"no question twice: {before}")
        for _ in range(10):
            stage.call(FAR, first)
            stage.arrives(FAR, first)
        equal(stage.asked(), before, "questions for the calls after the first")
        counters = stage.proxy.status()["counters"]
        true(counters["dns_questions"] >= 1, f"dns_questions: {counters}")


@test("after its TTL a name is asked for again, and a new answer counts")
def expired():
    with Internet(srv(UDP, "a.example.test", 5071), A, B, ttl=1) as stage:
        first, second = pair(stage)
        stage.arrives(FAR, first)
        stage.server.restart([srv(UDP, "b.example.test", 5071), A, B])
        eventually(lambda: stage.tried(FAR, first, second) is second, "a request at the new server", 10, 0.1)
        before = len(stage.asked(UDP, "SRV"))
        true(before >= 2, "SRV was asked again")

        def asked_again():
            equal(stage.tried(FAR, first, second), second, "the server that gets it")
            return len(stage.asked(UDP, "SRV")) > before

        eventually(asked_again, "one more question", 10, 0.1)


@test("many calls to a name that is not known yet: it is asked for once")
def asked_once():
    with two(rogue=True, resolver={"timeout": 10000}, server={"workers": 4}) as stage:
        first = stage.peer("first", 31, 5071)
        stage.server.hold()
        requests = [stage.sends(FAR) for _ in range(20)]
        stage.server.await_question()
        stage.server.release()
        answered(stage, first, requests)
        asked = stage.asked()
        equal(len(asked), len(set(asked)), f"every question once, of {asked}")


@test("a name that does not exist: 500 with a reason, and the second call asks nothing")
def nowhere():
    for rogue in (False, True):
        with Internet(A, rogue=rogue) as stage:
            for method in ("INVITE", "MESSAGE", "INVITE"):
                final = stage.fails("sip:bob@nowhere.test", 500, method=method)
                equal(final.reason, REASON, "reason")
                asked = stage.asked()
                equal(len(asked), len(set(asked)), f"every question once, of {asked}")


@test("a negative answer is kept for as long as its SOA says, not for longer")
def negative_expires():
    with Internet(rogue=True, ttl=1) as stage:
        stage.fails(FAR, 500)
        stage.server.records += [srv(UDP, "a.example.test", 5071), A]
        bob = stage.peer("bob", 31, 5071)
        eventually(lambda: stage.tried(FAR, bob) is bob, "the name that is there now", 10, 0.1)


@test("a name without addresses, a target without addresses, SRV with the target '.': 500")
def without_address():
    records = srv("_sip._udp.no.test", "gone.example.test"), srv("_sip._udp.dot.test", "."), host("dot.test", 31)
    with Internet(*records, rogue=True) as stage:
        bob = stage.peer("bob", 31)
        for uri in ("sip:bob@no.test", "sip:bob@gone.example.test:5071", "sip:bob@dot.test"):
            equal(stage.fails(uri, 500).reason, REASON, f"reason for {uri}")
        bob.silent(0.1)


@test("one SRV target without address beside a good one: the good one")
def one_target():
    with Internet(srv(UDP, "gone.example.test", 5071, 10), srv(UDP, "a.example.test", 5071, 20), A) as stage:
        stage.call(FAR, stage.peer("bob", 31, 5071))


# Name servers in trouble

@test("the name server is frozen: a call to a name waits, no other does; then 500; thawed, all is well", limit=90)
def frozen():
    with Internet(srv(UDP, "a.example.test", 5071), A, resolver={"timeout": 2000}) as stage:
        bob, phone = stage.peer("bob", 31, 5071), stage.peer("phone", 33)
        phone.register()
        caller = stage.peer("carol", 3, 0)
        stage.server.freeze()
        invite = stage.sends(FAR, "INVITE", ua=caller)
        caller.expect(100)
        for _ in range(3):
            stage.call(f"sip:phone@{DOMAIN}", phone)
            stage.call(f"sip:phone@{phone.host}", phone)
        # The waiting call has not got its answer: the others did not have to wait for it.
        equal([message.start for message in caller.drain()], [], "messages for the call that waits for DNS")
        final = caller.answer_of(invite, 500, 45)
        equal(final.reason, REASON, "reason")
        caller.ack_failure(invite, final)
        stage.server.thaw()
        eventually(lambda: stage.tried(FAR, bob, timeout=45) is bob, "calls to the name", 20, 0.2)


@test("the name server is dead: 500 in bounded time; it is back: calls work again", limit=90)
def dead_name_server():
    with Internet(srv(UDP, "a.example.test", 5071), A) as stage:
        bob = stage.peer("bob", 31, 5071)
        stage.server.stop()
        request = stage.sends(FAR, "INVITE")
        final = stage.alice.answer_of(request, 500, 45)
        equal(final.reason, REASON, "reason")
        stage.alice.ack_failure(request, final)
        stage.server.start()
        eventually(lambda: stage.tried(FAR, bob, timeout=45) is bob, "calls to the name", 20, 0.2)


@test("two name servers, the first is dead or frozen: the second is asked", limit=90)
def second_name_server():
    for trouble in ("stop", "freeze"):
        with Dnsmasq(network(), []) as other:
            with Internet(srv(UDP, "a.example.test", 5071), A, other_servers=[other.address]) as stage:
                getattr(other, trouble)()
                bob = stage.peer("bob", 31, 5071)
                equal(stage.tried(FAR, bob, timeout=30), bob, f"who gets it after {trouble} of the first name server")
                stage.call(FAR, bob)


@test("the name server freezes in the middle of many calls: calls to names that are known go on", limit=90)
def frozen_in_the_middle():
    with Internet(srv(UDP, "a.example.test", 5071), A) as stage:
        bob, caller = stage.peer("bob", 31, 5071), stage.peer("carol", 3, 0)
        for number in range(40):
            if number == 10:
                stage.server.freeze()
            if number >= 10:  # these wait, and end somehow
                stage.sends(f"sip:x@unknown{number}.test", "INVITE", ua=caller)
            stage.call(FAR, bob)


@test("kill -9 of the resolver while names are asked for: its successor asks again, no call fails")
def killed():
    with two(rogue=True, resolver={"timeout": 5000}) as stage:
        first = stage.peer("first", 31, 5071)
        old = stage.proxy.named("resolver")
        stage.server.hold()
        invite = stage.sends(FAR, "INVITE")
        others = [stage.sends(f"sip:{number}@a.example.test:5071") for number in range(10)]
        stage.server.await_question("a.example.test")
        stage.server.await_question("example.test")
        os.kill(old, signal.SIGKILL)
        stage.proxy.replaced("resolver", old)
        stage.server.release()
        seen = {}
        for _ in range(11):
            message = received(first)[1]
            seen[message.get("Call-ID")] = message
            if message.kind == "MESSAGE":
                first.answer(message, 200)
        wanted = {other.get("Call-ID") for other in others}
        equal({received(stage.alice)[1].get("Call-ID") for _ in others}, wanted, "requests answered")
        at_first = seen[invite.get("Call-ID")]
        stage.hang_up(first, invite, at_first, first.answer(at_first, 200))


@test("kill -9 of the resolver between calls: what was known is known, what is new is asked by its successor")
def killed_between():
    with two() as stage:
        first, second = pair(stage)
        stage.call(FAR, first)
        before = stage.asked()
        old = stage.proxy.named("resolver")
        os.kill(old, signal.SIGKILL)
        stage.proxy.replaced("resolver", old)
        stage.call(FAR, first)
        equal(stage.asked(), before, "questions for what was known")
        stage.call("sip:bob@b.example.test:5071", second)


@test("kill -9 of every worker while names are asked for: no call fails")
def killed_workers():
    with two(rogue=True, resolver={"timeout": 10000}) as stage:
        first = stage.peer("first", 31, 5071)
        stage.server.hold()
        requests = [stage.sends(FAR) for _ in range(10)]
        stage.server.await_question()
        for number, pid in enumerate(stage.proxy.workers()):
            os.kill(pid, signal.SIGKILL)
            stage.proxy.replaced(f"worker {number}", pid)
        stage.server.release()
        answered(stage, first, requests)


@test("SIGSTOP of the resolver: calls to known names and numeric contacts go on, the rest when it is back")
def stopped():
    with two() as stage:
        first, second = pair(stage)
        stage.call(FAR, first)
        pid = stage.proxy.named("resolver")
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        try:
            for _ in range(5):
                stage.call(FAR, first)
                stage.call(f"sip:bob@{second.host}:5071", second)
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)
            os.close(handle)
        stage.call("sip:bob@b.example.test:5071", second)
