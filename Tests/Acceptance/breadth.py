"""Max-Breadth, the bound on forks at one time (RFC 5393 §5)."""

from harness import FAST_TIMERS, Sipfork
from peers import Cast, establish, hang_up, one_callee, ranked, refuse, three_contacts
from testing import contains, equal, test, true
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
SERIAL = {**FAST, "forking": {"order": "q-value"}}


def breadth(message):
    """The one Max-Breadth of a forwarded request."""
    values = message.values("Max-Breadth")
    equal(len(values), 1, f"Max-Breadth headers of a forwarded {message.kind}: {values}")
    true(values[0].isdigit(), f"Max-Breadth is a number: {values[0]!r}")
    return int(values[0])


def with_breadth(*values):
    return [("Max-Breadth", value) for value in values]


def refused(caller, request, status):
    """The answer to a request that must fail, acknowledged if it was an INVITE."""
    response = caller.answer_of(request, status)
    if request.kind == "INVITE":
        caller.ack_failure(request, response)
    return response


def shares(proxy, count, value):
    """An INVITE with this Max-Breadth (None: without) to bob, who has `count` contacts: what each of them saw."""
    with Cast(proxy, ["bob"] * count) as (alice, phones):
        invite = alice.invite("bob", headers=with_breadth(value) if value else ())
        seen = [phone.expect("INVITE") for phone in phones]
        found = sorted((breadth(message) for message in seen), reverse=True)
        for phone, message in zip(phones, seen):
            refuse(phone, message, 486)
        refused(alice, invite, 486)
        phones[0].register(contact="*", expires=0)
        return found


@test("one contact: absent becomes 60, a value passes as it is, a larger one is lowered to 60")
def one_contact():
    with Sipfork(FAST) as proxy:
        for sent, wanted in (
                (None, 60), ("60", 60), ("59", 59), ("1", 1), ("0007", 7), ("61", 60), ("4294967295", 60),
                ("99999999999999999999999", 60)):
            equal(shares(proxy, 1, sent), [wanted], f"Max-Breadth of the fork, {sent} sent")


@test("forking.max-breadth is what a request without Max-Breadth gets, and what a larger value is lowered to")
def configured():
    with Sipfork({**FAST, "forking": {"max-breadth": 7}}) as proxy:
        for sent, wanted in ((None, 7), ("6", 6), ("8", 7), ("60", 7)):
            equal(shares(proxy, 1, sent), [wanted], f"Max-Breadth of the fork, {sent} sent")


@test("parallel forks share it: all of it, at least 1 each, the remainder one each to the first")
def split():
    with Sipfork(FAST) as proxy:
        for count, sent, wanted in (
                (3, None, [20, 20, 20]), (3, "7", [3, 2, 2]), (3, "3", [1, 1, 1]), (2, "5", [3, 2]),
                (3, "1000", [20, 20, 20]), (10, "19", [2] * 9 + [1]), (10, "10", [1] * 10)):
            equal(shares(proxy, count, sent), wanted, f"Max-Breadth of {count} forks, {sent} sent")


@test("every kind of forwarded request has it, once: MESSAGE, FOO, INVITE, ACK, BYE from either side")
def every_request():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("MESSAGE", "FOO"):
            request = alice.send(alice.request(method, bob.aor, headers=with_breadth("5")))
            seen = bob.expect(method)
            equal(breadth(seen), 5, f"Max-Breadth of {method}")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)
        outgoing, incoming = establish(alice, bob)
        for method in ("ACK", "BYE"):
            for headers, wanted in (((), 60), (with_breadth("4"), 4)):
                alice.send(outgoing.request(method, headers=headers))
                equal(breadth(bob.expect(method)), wanted, f"Max-Breadth of {method}")
        request = bob.send(incoming.request("INFO"))
        seen = alice.expect("INFO")
        equal(breadth(seen), 60, "Max-Breadth of INFO from the callee")
        alice.answer(seen, 200)
        bob.answer_of(request, 200)


@test("a request that leaves for a foreign address or a Route has it too")
def foreign():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        target = f"sip:x@{bob.host}:{bob.port}"
        for routes in ((), [f"<sip:{proxy.address[0]};lr>", f"<{target};lr>"]):
            for headers, wanted in (((), 60), (with_breadth("2"), 2), (with_breadth("90"), 60)):
                request = alice.send(alice.request("MESSAGE", target, routes=routes, headers=headers))
                seen = bob.expect("MESSAGE")
                equal(breadth(seen), wanted, "Max-Breadth")
                bob.answer(seen, 200)
                alice.answer_of(request, 200)


@test("its value has one place among the headers: the others pass as they were, in their order")
def in_place():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        around = [("X-One", "1"), ("max-BREADTH ", "  9\t"), ("X-Two", "2, 3"), ("X-One", "4")]
        request = alice.send(alice.request("MESSAGE", bob.aor, headers=around, body=b"hello"))
        seen = bob.expect("MESSAGE")
        equal(breadth(seen), 9, "Max-Breadth")
        equal([value for name, value in seen.fields if name.startswith("X-")], ["1", "2, 3", "4"], "other headers")
        equal(seen.body, b"hello", "body")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)
        lines = alice.request("MESSAGE", bob.aor, headers=[("Max-Breadth", "FOLDED")]).encode()
        alice.send(lines.replace(b"Max-Breadth: FOLDED", b"Max-Breadth:\r\n  8"))
        seen = bob.expect("MESSAGE")
        equal(breadth(seen), 8, "Max-Breadth of a folded line")
        bob.answer(seen, 200)
        alice.expect(200)


@test("malformed: 400 with the header's name, and nobody rings")
def malformed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for value in ("x", "-1", "+5", "5.5", "0x5", "5 6", "5;a=b", "5,6", "", "٣"):
            for method in ("MESSAGE", "INVITE"):
                request = alice.request(method, bob.aor, headers=[("Max-Breadth", "VALUE")])
                alice.send(request.encode().replace(b"VALUE", value.encode()))
                response = refused(alice, request, 400)
                contains(response.reason, "Max-Breadth", f"reason for {method} with Max-Breadth: {value!r}")
        bob.silent(0.2)
        hang_up(*establish(alice, bob))


@test("two Max-Breadth headers: 400, or the smaller one alone")
def doubled():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for values in (("5", "9"), ("9", "5")):
            request = alice.send(alice.request("MESSAGE", bob.aor, headers=with_breadth(*values)))
            seen = bob.receive(0.5, again=False)
            if seen is None:
                alice.answer_of(request, 400)
            else:
                equal(breadth(seen), 5, f"Max-Breadth, {values} sent")
                bob.answer(seen, 200)
                alice.answer_of(request, 200)


@test("0: nothing may be forwarded, 440; what the proxy answers itself is answered")
def zero():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("MESSAGE", "INVITE", "OPTIONS"):
            for value in ("0", "000"):
                request = alice.send(alice.request(method, bob.aor, headers=with_breadth(value)))
                refused(alice, request, 440)
        foreign_uri = f"sip:x@{bob.host}:{bob.port}"
        refused(alice, alice.send(alice.request("MESSAGE", foreign_uri, headers=with_breadth("0"))), 440)
        bob.silent(0.2)
        request = alice.send(alice.request("OPTIONS", f"sip:{proxy.address[0]}", headers=with_breadth("0")))
        alice.answer_of(request, 200)
        alice.register(headers=with_breadth("0"))


@test("an ACK with Max-Breadth 0 or a malformed one is never answered")
def never_an_answer_to_ack():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, _ = establish(alice, bob)
        for value in ("0", "x"):
            alice.send(outgoing.request("ACK", headers=with_breadth(value)))
        alice.silent(0.3)


@test("more contacts than the request's Max-Breadth, in parallel: 440, and nobody rings")
def exceeded():
    with Sipfork(FAST) as proxy, three_contacts(proxy) as (alice, phones):
        for method in ("INVITE", "MESSAGE"):
            for value in ("1", "2"):
                request = alice.send(alice.request(method, "sip:bob@example.org", headers=with_breadth(value)))
                refused(alice, request, 440)
        for phone in phones:
            phone.silent(0.1)


@test("more contacts than our own max-breadth only leaves out the oldest; a large value is no reason for 440")
def our_own_limit():
    with Sipfork({**FAST, "forking": {"max-breadth": 2}}) as proxy, three_contacts(proxy) as (alice, phones):
        for headers in ((), with_breadth("60")):
            invite = alice.invite("bob", headers=headers)
            seen = [phone.expect("INVITE") for phone in phones[1:]]
            equal([breadth(message) for message in seen], [1, 1], "Max-Breadth")
            for phone, message in zip(phones[1:], seen):
                refuse(phone, message, 486)
            refused(alice, invite, 486)
        phones[0].silent(0.2)


@test("by q: a group gets all of it, the next group gets all of it again (§5.3.3.1)")
def groups_reuse():
    with Sipfork(SERIAL) as proxy, ranked(proxy, "1.0", "1.0", "0.5") as (alice, phones):
        invite = alice.invite("bob", headers=with_breadth("9"))
        seen = [phone.expect("INVITE") for phone in phones[:2]]
        equal(sorted(breadth(message) for message in seen), [4, 5], "Max-Breadth of the first group")
        for phone, message in zip(phones, seen):
            refuse(phone, message, 486)
        last = phones[2].expect("INVITE")
        equal(breadth(last), 9, "Max-Breadth of the second group")
        refuse(phones[2], last, 486)
        refused(alice, invite, 486)


@test("by q: a group larger than Max-Breadth is tried in portions, never more at once than it allows")
def portions():
    with Sipfork(SERIAL) as proxy, ranked(proxy, *["0.8"] * 5) as (alice, phones):
        for allowed in (2, 1, 4):
            invite = alice.invite("bob", headers=with_breadth(str(allowed)))
            left = list(phones)
            while left:
                active = ringing(left, min(allowed, len(left)))
                shared = [breadth(message) for _, message in active]
                true(sum(shared) <= allowed and min(shared) >= 1, f"portion of {allowed}: {shared}")
                for phone, message in active:
                    left.remove(phone)
                    refuse(phone, message, 486)
            refused(alice, invite, 486)


def ringing(phones, count):
    """Waits until `count` of these phones ring, and checks that the others do not; gives (phone, INVITE) of each."""
    found = {}

    def enough():
        for phone in phones:
            message = phone.receive(0.01, again=False)
            if message is not None:
                equal(message.kind, "INVITE", f"what {phone.host} received")
                found[phone] = message
        return len(found) >= count

    eventually(enough, f"{count} of {len(phones)} phones to ring")
    for phone in phones:
        if phone not in found:
            phone.silent(0.1)
    equal(len(found), count, "phones that ring at once")
    return found.items()


@test("by q: 0 is 440 there too")
def zero_serial():
    with Sipfork(SERIAL) as proxy, ranked(proxy, "1.0", "0.5") as (alice, phones):
        refused(alice, alice.invite("bob", headers=with_breadth("0")), 440)
        for phone in phones:
            phone.silent(0.1)
