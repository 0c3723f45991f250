"""Serial forking: the contacts of a user in the order of their q (RFC 3261 §16.6, forking.order = "q-value")."""

from forks import forks_of
from harness import FAST_TIMERS, Sipfork
from peers import accept_cancel, hang_up, ranked, refuse
from testing import contains, equal, test, true
from ua import Dialog
from waiting import eventually

BY_Q = {"forking": {"order": "q-value"}}
FAST = {**BY_Q, "timers": FAST_TIMERS}
SLOW = {**BY_Q, "timers": {"t1": 2000}}  # no retransmission of the proxy's comes between
QUIET = 0.15  # seconds in which a phone that must not ring has its chance to


def rings(phone, caller, invite, tag):
    """A phone takes the INVITE and rings, and the caller hears it."""
    seen = phone.expect("INVITE", 5)
    phone.answer(seen, 180, "Ringing", tag=tag)
    equal(caller.answer_of(invite, 180).tag(), tag, "To tag of the 180")
    return seen


def quiet(*phones):
    for phone in phones:
        phone.silent(QUIET)


def answered(phone, seen, caller, invite, tag):
    """A phone takes the call, which is set up and hung up."""
    ok = phone.answer(seen, 200, "OK", tag=tag)
    response = caller.answer_of(invite, 200)
    equal(response.tag(), tag, "To tag of the 200")
    outgoing = Dialog.of_caller(caller, invite, response)
    caller.send(outgoing.request("ACK"))
    phone.expect("ACK")
    hang_up(outgoing, Dialog.of_callee(phone, seen, ok))


def gives_up(caller, invite, status, timeout=5):
    response = caller.answer_of(invite, status, timeout)
    caller.ack_failure(invite, response)
    return response


@test("highest q first; the next rings when the one before it has refused, the caller hears each, and the best at last")
def one_by_one():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.1", "1.0", "0.55", "0.9") as (alice, phones):
        invite = alice.invite("bob")
        order = [phones[index] for index in (1, 3, 2, 0)]
        for number, phone in enumerate(order):
            seen = rings(phone, alice, invite, f"bob{number}")
            quiet(*order[number + 1:])
            refuse(phone, seen, (480, 486, 404, 480)[number], tag=f"bob{number}")
        response = alice.expect_final(invite)
        true(response.kind in (404, 480, 486), f"a response of one of the phones: {response.start}")
        alice.ack_failure(invite, response)
        alice.silent(QUIET)


@test("equal q, however it is written, at the same time; the next group after the last of them has refused")
def groups():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.7", "0.70", "0.700", "0.699", "0.699") as (alice, phones):
        invite = alice.invite("bob")
        first = [rings(phone, alice, invite, f"a{n}") for n, phone in enumerate(phones[:3])]
        quiet(*phones[3:])
        for number, (phone, seen) in enumerate(zip(phones, first)):
            refuse(phone, seen, 486, tag=f"a{number}")
            if number < 2:
                quiet(*phones[3:])
        second = [rings(phone, alice, invite, f"b{n}") for n, phone in enumerate(phones[3:])]
        for number, (phone, seen) in enumerate(zip(phones[3:], second)):
            refuse(phone, seen, 486, tag=f"b{number}")
        gives_up(alice, invite, 486)


@test("q-value with no q at all, or all the same: all ring at once")
def no_q():
    for q in ((None, None, None), ("0.3", "0.3", "0.3")):
        with Sipfork(SLOW) as proxy, ranked(proxy, *q) as (alice, phones):
            invite = alice.invite("bob")
            seen = [rings(phone, alice, invite, f"bob{n}") for n, phone in enumerate(phones)]
            for number, (phone, message) in enumerate(zip(phones, seen)):
                refuse(phone, message, 486, tag=f"bob{number}")
            gives_up(alice, invite, 486)


@test("order = parallel does not look at q")
def parallel():
    with Sipfork({"timers": {"t1": 2000}}) as proxy, ranked(proxy, "1.0", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        seen = [rings(phone, alice, invite, f"bob{n}") for n, phone in enumerate(phones)]
        for number, (phone, message) in enumerate(zip(phones, seen)):
            refuse(phone, message, 486, tag=f"bob{number}")
        gives_up(alice, invite, 486)


@test("a 200 in the second group: it stands, the third group never rings")
def second_group_answers():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
        seen = [rings(phone, alice, invite, tag) for phone, tag in zip(phones[1:3], ("bob2", "bob3"))]
        equal(len({message.branch for message in seen}), 2, "branches")
        phones[2].answer(seen[1], 200, tag="bob3")
        response = alice.answer_of(invite, 200)
        accept_cancel(phones[1], seen[0], tag="bob2")
        alice.send(Dialog.of_caller(alice, invite, response).request("ACK"))
        phones[2].expect("ACK")
        quiet(phones[3], phones[0])
        alice.silent(QUIET)


@test("a 200 in the first group: the second never rings")
def first_group_answers():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        answered(phones[0], rings(phones[0], alice, invite, "bob1"), alice, invite, "bob1")
        quiet(phones[1])


@test("a CANCEL in the first group, and in the second: who rings is cancelled, and nobody else is tried")
def cancelled():
    for group in (0, 1):
        with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
            invite = alice.invite("bob")
            if group == 1:
                refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
            seen = rings(phones[group], alice, invite, "now")
            alice.answer_of(alice.cancel(invite), 200)
            accept_cancel(phones[group], seen, tag="now")
            response = alice.expect_final(invite)  # any of the 4xx will do (§16.7 step 6), 487 says more than 486
            true(response.kind in (486, 487), f"status {response.kind}")
            alice.ack_failure(invite, response)
            quiet(*phones)


@test("a CANCEL before the second group has said anything: it follows the first provisional response (§9.1)")
def cancelled_early():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
        seen = phones[1].expect("INVITE")
        alice.answer_of(alice.cancel(invite), 200)
        quiet(phones[1])
        phones[1].answer(seen, 180, tag="bob2")
        accept_cancel(phones[1], seen, tag="bob2")
        response = alice.expect_final(invite)
        true(response.kind in (486, 487), f"status {response.kind}")
        alice.ack_failure(invite, response)
        quiet(phones[2])


@test("a 6xx ends the search: its neighbour is cancelled, the next group never rings, the caller gets it")
def global_failure():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
        seen = [rings(phone, alice, invite, tag) for phone, tag in zip(phones[1:3], ("bob2", "bob3"))]
        refuse(phones[1], seen[0], 603, tag="bob2")
        accept_cancel(phones[2], seen[1], tag="bob3")
        gives_up(alice, invite, 603)
        quiet(phones[3])


def best_of(*groups):
    """A call to phones of which each refuses in its turn, with a (status, headers...); gives the caller's response."""
    q = [f"0.{9 - number}" for number in range(len(groups))]
    with Sipfork(SLOW) as proxy, ranked(proxy, *q) as (alice, phones):
        invite = alice.invite("bob")
        for number, (phone, (status, *headers)) in enumerate(zip(phones, groups), 1):
            refuse(phone, rings(phone, alice, invite, f"bob{number}"), status, tag=f"bob{number}", headers=headers)
        response = alice.expect_final(invite)
        alice.ack_failure(invite, response)
        alice.silent(QUIET)
        return response


@test("the best response is chosen over all groups: lowest class, 3xx with its Contact, 503 becomes 500")
def best_response():
    for statuses, wanted in (
            ((486, 500), 486), ((500, 486), 486), ((500, 404, 503), 404), ((503, 503), 500), ((486, 603), 603)):
        equal(best_of(*((status,) for status in statuses)).kind, wanted, f"best of {statuses}")
    moved = ("Contact", "<sip:bob@elsewhere.example>")
    for groups in (((302, moved), (486,)), ((486,), (302, moved), (500,))):
        response = best_of(*groups)
        equal(response.kind, 302, "status")
        equal(response.contact(), "sip:bob@elsewhere.example", "Contact: passed upstream, not tried")


@test("challenges of an earlier group are merged into that of a later one")
def challenges():
    digest = 'Digest realm="{}", nonce="x", qop="auth"'
    response = best_of(
        (407, ("Proxy-Authenticate", digest.format("one"))), (486,), (401, ("WWW-Authenticate", digest.format("two"))))
    true(response.kind in (401, 407), f"status {response.kind}")
    realms = response.values("Proxy-Authenticate") + response.values("WWW-Authenticate")
    equal(sorted(value.split('"')[1] for value in realms), ["one", "two"], "realms")


@test("MESSAGE too goes to one after the other: 404 moves on, 200 ends")
def non_invite():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        for last in (1, 2):
            request = alice.send(alice.request("MESSAGE", "sip:bob@example.org", body=b"hello"))
            for phone in phones[:last]:
                quiet(*phones[last:])
                phone.answer(phone.expect("MESSAGE"), 404)
            phones[last].answer(phones[last].expect("MESSAGE"), 200)
            alice.answer_of(request, 200)
            quiet(*phones)


@test("an INVITE sent again in the middle of the search is absorbed")
def sent_again():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        refuse(phones[0], rings(phones[0], alice, invite, "bob1"), 486, tag="bob1")
        seen = rings(phones[1], alice, invite, "bob2")
        alice.send(invite)
        equal(alice.answer_of(invite, 180, again=True).tag(), "bob2", "To tag of the 180 that came again")
        for phone in phones:
            phone.silent(QUIET, again=True)
        answered(phones[1], seen, alice, invite, "bob2")


@test("sipforkctl transactions shows every fork of the search with its target and status")
def shown():
    with Sipfork(SLOW) as proxy, ranked(proxy, "0.9", "0.5", "0.1") as (alice, phones):
        invite = alice.invite("bob")
        first = rings(phones[0], alice, invite, "bob1")
        started = [fork for fork in forks_of(proxy, invite) if fork["status"] is not None]
        equal([fork["status"] for fork in started], [180], "status of the forks that have answered")
        contains(started[0]["target"], phones[0].host, "target")
        refuse(phones[0], first, 486, tag="bob1")
        second = rings(phones[1], alice, invite, "bob2")
        forks = {fork["status"]: fork for fork in forks_of(proxy, invite) if fork["status"] is not None}
        equal(set(forks), {486, 180}, "status of the forks that have answered")
        for status, phone in ((486, phones[0]), (180, phones[1])):
            contains(forks[status]["target"], phone.host, f"target of the fork with {status}")
        true(forks[486]["index"] != forks[180]["index"], "each fork has an index of its own")
        equal(forks[180]["state"].lower(), "proceeding", "state of the fork that rings")
        answered(phones[1], second, alice, invite, "bob2")


@test("a search over ten groups; after it and the timers nothing is left", limit=90)
def ten_groups():
    q = [f"0.{n:03}" for n in range(10)]
    with Sipfork(FAST) as proxy, ranked(proxy, *q) as (alice, phones):
        proxy.idle()
        before = proxy.status()["arena"]
        invite = alice.invite("bob")
        branches = set()
        for number, phone in enumerate(reversed(phones)):
            seen = phone.expect("INVITE", 5)
            branches.add(seen.branch)
            refuse(phone, seen, 486, tag=f"bob{number}")
        gives_up(alice, invite, 486)
        equal(len(branches), 10, "branches: one for each fork")
        proxy.idle()
        # A fork that was refused waits for the repetition for 32 s whatever T1 is (timer D, RFC 3261 §17.1.1.2).
        eventually(lambda: proxy.status()["arena"] == before, f"the arena's counts back at {before}", 40)


@test("eighty contacts, one after the other: each is tried once at most, and there is an end", limit=90)
def many_contacts():
    settings = {**SLOW, "registrar": {"max-contacts": 100}}
    with Sipfork(settings) as proxy, ranked(proxy, "0.5") as (alice, (bob,)):
        for n in range(8):
            contacts = ", ".join(f"<sip:{n}-{m}@{bob.host}:{bob.port}>;q=0.{n}{m}" for m in range(10))
            bob.register(contact=contacts)
        invite = alice.invite("bob")
        tried, final = [], []

        def over():
            while (message := bob.receive(0.02, again=False)) is not None:
                if message.kind == "INVITE":
                    tried.append(message.uri)
                    bob.answer(message, 404)
            final.extend(message for message in alice.drain() if message.kind >= 200)
            return final

        eventually(over, "a final response", 30)
        equal(final[0].kind, 404, "status")
        alice.ack_failure(invite, final[0])
        equal(len(set(tried)), len(tried), "contacts tried, each once")
        true(len(tried) >= 60, f"{len(tried)} of 81 contacts were tried")
