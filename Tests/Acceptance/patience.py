"""A serial search goes on when a phone says nothing (timer B), rings too long (timer C), or a process dies."""

from crashes import kill_worker
from harness import FAST_TIMERS, Sipfork
from peers import accept_cancel, hang_up, is_hop_by_hop, ranked, refuse
from serial import BY_Q, FAST, SLOW, answered, quiet, rings
from testing import equal, test, true
from ua import UA, Dialog

WORKERS = 2


def ringing_for(milliseconds):
    """Timer C at so much."""
    return {**BY_Q, "timers": {**FAST_TIMERS, "c": milliseconds}}


@test("a phone that rings too long is cancelled at timer C, and the next one rings")
def timer_c():
    with Sipfork(ringing_for(1000)) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        accept_cancel(phones[0], first, tag="bob1")
        answered(phones[1], rings(phones[1], alice, invite, "bob2"), alice, invite, "bob2")


@test("a phone that rings too long and does not even answer the CANCEL holds nobody up for ever (§9.1: 64·T1)")
def deaf_after_ringing():
    with Sipfork(ringing_for(500)) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        is_hop_by_hop(phones[0].expect("CANCEL", 5), first)
        second = phones[1].expect("INVITE", 10)
        answered(phones[1], second, alice, invite, "bob2")


@test("timer C begins anew with each group, and the last one's ends the call with 408")
def timer_c_anew():
    with Sipfork(ringing_for(2500)) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        phones[0].silent(1.5)
        refuse(phones[0], first, 486, tag="bob1")
        second = rings(phones[1], alice, invite, "bob2")
        phones[1].silent(1.5)
        accept_cancel(phones[1], second, tag="bob2")
        response = alice.expect_final(invite, 5)
        true(response.kind in (408, 486), f"the best of a 486 and an end at timer C: {response.start}")
        alice.ack_failure(invite, response)


@test("a phone that is switched off: the next one rings after timer B, with no CANCEL to the first")
def timer_b():
    with Sipfork(FAST) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        for number in (1, 2):
            phones[number].expect("INVITE", 8)
            seen = {message.kind for message in phones[number - 1].drain()}
            equal(seen, {"INVITE"}, "what the silent phone received")
        response = alice.expect_final(invite, 8)
        equal(response.kind, 408, "status when nobody has said anything")
        alice.ack_failure(invite, response)


@test("a phone of the group is silent, the other refuses: the next group waits for timer B")
def half_silent():
    with Sipfork(FAST) as proxy, ranked(proxy, "0.9", "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        refuse(phones[0], phones[0].expect("INVITE"), 486, tag="bob1")
        phones[1].expect("INVITE")
        phones[2].silent(1)
        seen = rings(phones[2], alice, invite, "bob3")
        answered(phones[2], seen, alice, invite, "bob3")


@test("a late 200 from a phone that was cancelled at timer C reaches the caller, and ends the search")
def late_answer():
    with Sipfork(ringing_for(800)) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        phones[0].answer(phones[0].expect("CANCEL", 5), 200, tag="bob1")
        second = phones[1].receive(0.3, again=False)  # some start the next group at once, others after the 487
        if second is not None:
            phones[1].answer(second, 180, tag="bob2")
        ok = phones[0].answer(first, 200, tag="bob1")
        response = alice.answer_of(invite, 200, ignore=(100, 180))
        equal(response.tag(), "bob1", "To tag of the 200")
        if second is not None:
            accept_cancel(phones[1], second, tag="bob2")
        outgoing = Dialog.of_caller(alice, invite, response)
        alice.send(outgoing.request("ACK"))
        phones[0].expect("ACK", ignore=("CANCEL",))
        hang_up(outgoing, Dialog.of_callee(phones[0], first, ok))
        quiet(phones[2])


@test("a late 200 from the first group while the second refuses: the caller has its 200")
def late_answer_and_refusal():
    with Sipfork(ringing_for(800)) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        phones[0].answer(phones[0].expect("CANCEL", 5), 200, tag="bob1")
        second = phones[1].receive(0.3, again=False)
        if second is not None:
            refuse(phones[1], second, 486, tag="bob2")
        phones[0].answer(first, 200, tag="bob1")
        equal(alice.answer_of(invite, 200, ignore=(100, 408, 486)).tag(), "bob1", "To tag of the 200")


# Deaths

STAGES = ("first 180", "first 486", "first 486 sent", "second 180", "second 486 sent", "third 180", "200", "ACK")


def search_with_death(proxy, alice, phones, index, stage):
    """A search over three groups, the last of which answers; worker `index` is killed at this stage of it."""

    def now(name):
        if name == stage:
            kill_worker(proxy, index)

    def refused(phone, seen, tag, name):
        now(name)
        phone.answer(seen, 486, tag=tag)
        now(f"{name} sent")
        is_hop_by_hop(phone.expect("ACK", 5), seen)

    invite = alice.invite("bob")
    seen = phones[0].expect("INVITE")
    now("first 180")
    phones[0].answer(seen, 180, tag="bob1")
    alice.answer_of(invite, 180)
    refused(phones[0], seen, "bob1", "first 486")
    seen = phones[1].expect("INVITE", 5)
    now("second 180")
    phones[1].answer(seen, 180, tag="bob2")
    alice.answer_of(invite, 180)
    refused(phones[1], seen, "bob2", "second 486")
    seen = phones[2].expect("INVITE", 5)
    now("third 180")
    phones[2].answer(seen, 180, tag="bob3")
    alice.answer_of(invite, 180)
    now("200")
    ok = phones[2].answer(seen, 200, tag="bob3")
    response = alice.answer_of(invite, 200)
    outgoing = Dialog.of_caller(alice, invite, response)
    now("ACK")
    alice.send(outgoing.request("ACK"))
    phones[2].expect("ACK")
    hang_up(outgoing, Dialog.of_callee(phones[2], seen, ok))
    for phone in phones:
        phone.drain()


for _stage in STAGES:

    @test(f"kill -9 of each worker in a serial search, at its {_stage}: the next phones ring, the call completes")
    def killed(stage=_stage):
        with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
            for index in range(WORKERS):
                for _ in range(3):  # other Call-IDs: the owner is now this worker, now the other
                    old = proxy.named(f"worker {index}")
                    search_with_death(proxy, alice, phones, index, stage)
                    proxy.replaced(f"worker {index}", old)


@test("timers go on after the death of all workers: timer C and timer B move on to the next group")
def timers_survive():
    with Sipfork(ringing_for(1500)) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        for index in range(WORKERS):
            kill_worker(proxy, index)
        accept_cancel(phones[0], first, tag="bob1")
        phones[1].expect("INVITE", 5)
        for index in range(WORKERS):
            kill_worker(proxy, index)
        third = phones[2].expect("INVITE", 8)
        answered(phones[2], third, alice, invite, "bob3")


@test("a CANCEL across a death in the second group: who rings is cancelled, the third never rings")
def cancel_survives():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        for index in range(WORKERS):
            invite = alice.invite("bob")
            refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
            seen = rings(phones[1], alice, invite, "bob2")
            old = kill_worker(proxy, index)
            alice.answer_of(alice.cancel(invite), 200)
            accept_cancel(phones[1], seen, tag="bob2")
            response = alice.expect_final(invite)
            true(response.kind in (486, 487), f"status {response.kind}")
            alice.ack_failure(invite, response)
            proxy.replaced(f"worker {index}", old)
            quiet(phones[2])


@test("after searches with deaths and the timers nothing is left")
def nothing_left():
    with Sipfork(FAST) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        for number, stage in enumerate(STAGES[:4]):
            old = proxy.named(f"worker {number % WORKERS}")
            search_with_death(proxy, alice, phones, number % WORKERS, stage)
            proxy.replaced(f"worker {number % WORKERS}", old)
        proxy.idle()
        equal(proxy.ctl("transactions"), [], "transactions")


@test("kill -9 of each worker right after a 302: the place that it names is called all the same")
def redirected():
    settings = {**SLOW, "forking": {"order": "q-value", "recurse": True}}
    with Sipfork(settings) as proxy, ranked(proxy, "0.9", "0.1") as (alice, phones):
        with UA("there", proxy.prefix + "40", proxy.address) as there:
            for index in range(WORKERS):
                for _ in range(3):
                    old = proxy.named(f"worker {index}")
                    invite = alice.invite("bob")
                    seen = rings(phones[0], alice, invite, "bob1")
                    phones[0].answer(seen, 302, tag="bob1", headers=[("Contact", f"<{there.uri}>;q=0.5")])
                    kill_worker(proxy, index)
                    is_hop_by_hop(phones[0].expect("ACK", 5), seen)
                    at_there = rings(there, alice, invite, "there")
                    kill_worker(proxy, 1 - index)
                    answered(there, at_there, alice, invite, "there")
                    proxy.replaced(f"worker {index}", old)
                    phones[0].drain()
            quiet(phones[1])
