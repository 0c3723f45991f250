"""Forks: one call to three registered contacts, with three workers."""

from harness import FAST_TIMERS, Sipfork
from peers import accept_cancel, hang_up, refuse, rings, three_contacts
from testing import contains, equal, test, true
from ua import Dialog
from waiting import eventually

THREE = {"server": {"workers": 3}, "timers": FAST_TIMERS}


def forks_of(proxy, invite):
    """The forks of a call as `sipforkctl transactions` shows them."""
    call_id = invite.get("Call-ID")
    found = [row for row in proxy.ctl("transactions") if row.get("call_id") == call_id and row["method"] == "INVITE"]
    equal(len(found), 1, "rows with our Call-ID in transactions")
    return found[0]["forks"]


@test("the forks run in three processes, and sipforkctl shows each pid")
def three_processes():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        forks = forks_of(proxy, invite)
        equal(len(forks), 3, "forks")
        equal({fork["pid"] for fork in forks}, set(proxy.workers()), "pids of the forks: one in each worker")
        equal({fork["worker"] for fork in forks}, {0, 1, 2}, "workers of the forks")
        equal(sorted(fork["index"] for fork in forks), [0, 1, 2], "indices of the forks")
        targets = " ".join(str(fork["target"]) for fork in forks)
        for phone in phones:
            contains(targets, phone.host, "targets of the forks")
        text = proxy.control("transactions").stdout
        for fork in forks:
            contains(text, str(fork["pid"]), "what sipforkctl transactions prints")
        alice.cancel(invite)
        alice.expect(200)
        for phone, seen in zip(phones, invites):
            accept_cancel(phone, seen)
        alice.ack_failure(invite, alice.answer_of(invite, 487))


@test("one answers: the other two are cancelled and their 487 acknowledged; the call goes on")
def one_answers():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        ok = phones[1].answer(invites[1], 200, "OK", tag="bob2")
        response = alice.answer_of(invite, 200)
        equal(response.tag(), "bob2", "tag of the 200")
        for index in (0, 2):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")
        outgoing = Dialog.of_caller(alice, invite, response)
        alice.send(outgoing.request("ACK"))
        phones[1].expect("ACK")
        hang_up(outgoing, Dialog.of_callee(phones[1], invites[1], ok))
        alice.silent(0.5)
        for phone in phones:
            phone.silent(0.2)


@test("all are busy: the caller gets 486 once, after the last")
def all_busy():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for index in (0, 1):
            refuse(phones[index], invites[index], 486, "Busy Here", tag=f"bob{index + 1}")
        alice.silent(0.3)
        refuse(phones[2], invites[2], 486, "Busy Here", tag="bob3")
        response = alice.answer_of(invite, 486)
        true(response.tag() in ("bob1", "bob2", "bob3"), f"the To tag is a callee's: {response.tag()}")
        alice.ack_failure(invite, response)
        alice.silent(0.5)


@test("nobody answers: at timer C all are cancelled, the caller gets 408")
def timer_c():
    settings = {"server": {"workers": 3}, "timers": {**FAST_TIMERS, "c": 1000}}
    with Sipfork(settings) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
        alice.ack_failure(invite, alice.answer_of(invite, 408, 5))


@test("a provisional response sets timer C again")
def timer_c_again():
    settings = {"server": {"workers": 3}, "timers": {**FAST_TIMERS, "c": 1200}}
    with Sipfork(settings) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        phones[0].silent(0.8)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            phone.answer(seen, 183, "Session Progress", tag=f"bob{number}")
            alice.answer_of(invite, 183)
        phones[0].silent(0.8)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
        alice.ack_failure(invite, alice.answer_of(invite, 408, 5))


@test("phones that are switched off: 408 after 64·T1, and no CANCEL to them")
def dead_phones():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        alice.ack_failure(invite, alice.answer_of(invite, 408, 6))
        for phone in phones:
            kinds = [message.kind for message in phone.drain()]
            true(len(kinds) >= 4, f"the INVITE is sent again and again until timer B: {kinds}")
            equal(set(kinds), {"INVITE"}, "what a silent phone receives (RFC 3261 §9.1: no CANCEL before a response)")


@test("the caller hangs up: 200 to the CANCEL, all are cancelled, 487")
def caller_cancels():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        cancel = alice.cancel(invite)
        alice.answer_of(cancel, 200)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
        response = alice.answer_of(invite, 487)
        alice.ack_failure(invite, response)
        alice.silent(0.5)


@test("the caller hangs up before any phone has answered: CANCEL follows the first provisional response")
def early_cancel():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = [phone.expect("INVITE") for phone in phones]
        cancel = alice.cancel(invite)
        alice.answer_of(cancel, 200)
        for phone in phones:
            phone.silent(0.15, ignore=("INVITE",))
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            phone.drain()
            phone.answer(seen, 180, "Ringing", tag=f"bob{number}")
            accept_cancel(phone, seen, tag=f"bob{number}")
        alice.ack_failure(invite, alice.answer_of(invite, 487, ignore=(100, 180)))


@test("a retransmitted CANCEL is answered again, and the phones see one")
def cancel_again():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        cancel = alice.cancel(invite)
        alice.answer_of(cancel, 200)
        alice.send(cancel)
        alice.answer_of(cancel, 200, again=True)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            accept_cancel(phone, seen, tag=f"bob{number}")
            phone.silent(0.1)
        alice.ack_failure(invite, alice.answer_of(invite, 487))


@test("two answer at once: both 200s reach the caller, and both ACKs their phones")
def two_answers():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for index in (0, 1):
            phones[index].answer(invites[index], 200, "OK", tag=f"bob{index + 1}")
        responses = [alice.answer_of(invite, 200) for _ in range(2)]
        equal({response.tag() for response in responses}, {"bob1", "bob2"}, "tags of the 200s")
        accept_cancel(phones[2], invites[2], tag="bob3")
        for response in responses:
            alice.send(Dialog.of_caller(alice, invite, response).request("ACK"))
        for index in (0, 1):
            ack = phones[index].expect("ACK", ignore=("CANCEL",))
            equal(ack.tag(), f"bob{index + 1}", "To tag of the ACK")


@test("a 200 that crosses the CANCEL reaches the caller")
def crossing():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        cancel = alice.cancel(invite)
        alice.answer_of(cancel, 200)
        for index in (0, 1):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")
        phones[2].answer(phones[2].expect("CANCEL"), 200, "OK")
        phones[2].answer(invites[2], 200, "OK", tag="bob3")
        equal(alice.answer_of(invite, 200).tag(), "bob3", "tag of the 200")


@test("a 200 sent again is forwarded again (RFC 6026)")
def accepted_again():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        for _ in range(3):
            phones[0].answer(invites[0], 200, "OK", tag="bob1")
            equal(alice.answer_of(invite, 200, again=True).tag(), "bob1", "tag of the 200")
        for index in (1, 2):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")


@test("a 603 cancels the others and wins over their 487")
def global_failure():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        invites = rings(phones, alice, invite)
        refuse(phones[0], invites[0], 603, "Decline", tag="bob1")
        for index in (1, 2):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")
        alice.ack_failure(invite, alice.answer_of(invite, 603))


@test("every 180 and 183 is forwarded, no 100 but the proxy's own")
def provisional():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        alice.expect(100)
        invites = [phone.expect("INVITE") for phone in phones]
        for phone, seen in zip(phones, invites):
            phone.answer(seen, 100, "Trying")
        alice.silent(0.3)
        for number, (phone, seen) in enumerate(zip(phones, invites), 1):
            for status in (180, 183, 180):
                phone.answer(seen, status, tag=f"bob{number}")
                equal(alice.answer_of(invite, status, ignore=(), again=True).tag(), f"bob{number}", "To tag")
        phones[0].answer(invites[0], 200, tag="bob1")
        alice.answer_of(invite, 200, ignore=())
        for index in (1, 2):
            accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")


@test("after forked calls and the timers no transaction, fork, slot or stored message is left", limit=90)
def nothing_left():
    with Sipfork(THREE) as proxy, three_contacts(proxy) as (alice, phones):
        proxy.idle()
        before = proxy.status()["arena"]
        for _ in range(10):
            invite = alice.invite("bob")
            invites = rings(phones, alice, invite)
            phones[1].answer(invites[1], 200, tag="bob2")
            response = alice.answer_of(invite, 200)
            for index in (0, 2):
                accept_cancel(phones[index], invites[index], tag=f"bob{index + 1}")
            alice.send(Dialog.of_caller(alice, invite, response).request("ACK"))
            phones[1].expect("ACK")
        true(proxy.status()["transactions"] >= 10, "the transactions of the last second are in status")
        proxy.idle()
        # A fork that ended in 487 waits for its repetition for 32 s whatever T1 is (timer D, RFC 3261 §17.1.1.2).
        eventually(lambda: proxy.status()["arena"] == before, f"the arena's counts back at {before}", 40)


@test("more contacts than max-breadth: the newest are tried")
def newest_contacts():
    with Sipfork({"forking": {"max-breadth": 2}, **THREE}) as proxy, three_contacts(proxy) as (alice, phones):
        invite = alice.invite("bob")
        for phone in phones[1:]:
            refuse(phone, phone.expect("INVITE"), 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        phones[0].silent(0.3)
        equal(len(proxy.ctl("registrations")[0]["contacts"]), 3, "contacts")
