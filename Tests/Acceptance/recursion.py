"""Redirections (3xx): passed upstream, or with forking.recurse followed by the proxy (RFC 3261 §16.5, §16.7 step 4)."""

from harness import FAST_TIMERS, Sipfork
from peers import accept_cancel, one_callee, ranked, refuse, three_contacts
from serial import answered, gives_up, quiet, rings
from testing import equal, test, true
from ua import UA

SLOW = {"t1": 2000}
PARALLEL = {"forking": {"recurse": True}, "timers": SLOW}
BY_Q = {"forking": {"recurse": True, "order": "q-value"}, "timers": SLOW}


def place(proxy, number, name="there"):
    """A user agent that nobody has registered."""
    return UA(name, f"{proxy.prefix}{number}", proxy.address)


def moved_to(*contacts):
    return [("Contact", value) for value in contacts]


def redirect(phone, *contacts, status=302, tag=None, seen=None):
    """A phone takes the INVITE and names other places."""
    refuse(phone, seen or phone.expect("INVITE", 5), status, "Moved", tag=tag, headers=moved_to(*contacts))


@test("default: a 3xx goes upstream with its Contacts, from one phone and from several, and nobody else is tried")
def passed_upstream():
    for forking in ({}, {"order": "q-value"}, {"recurse": False}):
        with Sipfork({"forking": forking, "timers": SLOW}) as proxy, one_callee(proxy) as (alice, (bob,)):
            with place(proxy, 40) as there:
                for status in (300, 301, 302, 305, 380):
                    invite = alice.invite("bob")
                    contacts = [f"<{there.uri}>;q=0.9", "<mailto:bob@example.org>"]
                    redirect(bob, *contacts, status=status)
                    response = gives_up(alice, invite, status)
                    equal(response.values("Contact"), contacts, "Contacts")
                quiet(there, bob)


@test("recurse: the place named is called, the caller hears only it; ACK and BYE go there")
def followed():
    for settings in (PARALLEL, BY_Q):
        with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
            for status in (300, 301, 302):
                invite = alice.invite("bob")
                redirect(bob, f"<{there.uri}>", status=status)
                seen = rings(there, alice, invite, "there")
                equal(seen.uri, there.uri, "Request-URI")
                equal(len(seen.values("Via")), 2, "Vias")
                answered(there, seen, alice, invite, "there")


@test("recurse: a MESSAGE too, and its body goes there")
def non_invite():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        request = alice.send(alice.request("MESSAGE", bob.aor, body=b"hello"))
        bob.answer(bob.expect("MESSAGE"), 302, headers=moved_to(f"<{there.uri}>"))
        seen = there.expect("MESSAGE")
        equal(seen.body, b"hello", "body")
        there.answer(seen, 200)
        alice.answer_of(request, 200)


@test("recurse: Contacts in every spelling; what may not stand in a Request-URI is left out (§16.6 step 2)")
def spellings():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        at = f"{there.host}:{there.port}"
        for line, wanted in (
                (f'Contact: "There, <or> here" <sip:a,b@{at};x=y>;q=0.5;expires=60;odd="a,b"', f"sip:a,b@{at};x=y"),
                (f"m: sip:plain@{at};q=0.7", f"sip:plain@{at}"),
                (f"CONTACT :\r\n <sip:folded@{at}>", f"sip:folded@{at}"), (f"Contact: <SIP:{at}>", f"SIP:{at}"),
                (f"Contact: <sip:c@{at};method=BYE?Subject=x&Priority=urgent>", f"sip:c@{at}")):
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            response = bob.request("X", "sip:x")  # the answer by hand, for the header line as it is
            fields = [("Via", value) for value in seen.values("Via")]
            fields += [(name, seen.get(name)) for name in ("From", "Call-ID", "CSeq")]
            response.start, response.fields = "SIP/2.0 302 Moved", fields + [("To", seen.get("To") + ";tag=bob")]
            bob.send(response.encode().replace(b"\r\n\r\n", f"\r\n{line}\r\n\r\n".encode()), seen.source)
            bob.expect("ACK")
            at_there = there.expect("INVITE")
            equal(at_there.uri, wanted, f"Request-URI, from {line!r}")
            refuse(there, at_there, 486)
            gives_up(alice, invite, 486)


@test("recurse by q: the best of the places first, among them the phones that are still left")
def in_order():
    with Sipfork(BY_Q) as proxy, ranked(proxy, "1.0", "0.5") as (alice, phones):
        with place(proxy, 40) as first, place(proxy, 41) as last:
            invite = alice.invite("bob")
            redirect(phones[0], f"<{last.uri}>;q=0.2, <{first.uri}>;q=0.8")
            for phone, others in ((first, (phones[1], last)), (phones[1], (last,)), (last, ())):
                seen = rings(phone, alice, invite, "now")
                quiet(*others)
                refuse(phone, seen, 486, tag="now")
            gives_up(alice, invite, 486)


@test("recurse by q: places with equal q ring together, one of them joins a phone with the same q")
def equal_q():
    with Sipfork(BY_Q) as proxy, ranked(proxy, "1.0", "0.5") as (alice, phones):
        with place(proxy, 40) as one, place(proxy, 41) as two:
            invite = alice.invite("bob")
            redirect(phones[0], f"<{one.uri}>;q=0.5", f"<{two.uri}>;q=0.50")
            group = (one, two, phones[1])
            seen = [rings(phone, alice, invite, f"g{n}") for n, phone in enumerate(group)]
            one.answer(seen[0], 200, tag="g0")
            alice.answer_of(invite, 200)
            for number in (1, 2):
                accept_cancel(group[number], seen[number], tag=f"g{number}")


@test("recurse in parallel: while another phone rings the places ring too, and one 200 ends it all")
def beside():
    with Sipfork(PARALLEL) as proxy, three_contacts(proxy) as (alice, phones), place(proxy, 40) as there:
        invite = alice.invite("bob")
        seen = [phone.expect("INVITE") for phone in phones]
        for number in (1, 2):
            phones[number].answer(seen[number], 180, tag=f"bob{number}")
            alice.answer_of(invite, 180)
        redirect(phones[0], f"<{there.uri}>", seen=seen[0])
        at_there = rings(there, alice, invite, "there")
        there.answer(at_there, 200, tag="there")
        alice.answer_of(invite, 200)
        for number in (1, 2):
            accept_cancel(phones[number], seen[number], tag=f"bob{number}")


@test("recurse: a place is never tried twice, whichever phone names it and however it is spelled (§16.5)")
def once():
    with Sipfork(PARALLEL) as proxy, three_contacts(proxy) as (alice, phones), place(proxy, 40) as there:
        invite = alice.invite("bob")
        seen = [phone.expect("INVITE") for phone in phones]
        spellings_of_one = (there.uri, there.uri.replace("sip:", "SIP:"), there.uri.replace("e@", "%65@"))
        for number, spelling in enumerate(spellings_of_one):
            redirect(phones[number], f"<{spelling}>", f"<{phones[0].uri}>", f"<{phones[1].uri}>", seen=seen[number])
        refuse(there, there.expect("INVITE"), 486)
        response = alice.expect_final(invite)
        true(response.kind in (302, 486), f"the best that is left: {response.start}")
        alice.ack_failure(invite, response)
        quiet(there, *phones)


@test("recurse: two phones that send the caller to each other and back end the search")
def each_other():
    with Sipfork(BY_Q) as proxy, ranked(proxy, "1.0", "0.5") as (alice, phones):
        invite = alice.invite("bob")
        redirect(phones[0], f"<{phones[1].uri}>", tag="bob1")
        redirect(phones[1], f"<{phones[0].uri}>", tag="bob2")
        gives_up(alice, invite, 302)
        quiet(*phones)
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)):
        with place(proxy, 40) as one, place(proxy, 41) as two:
            invite = alice.invite("bob")
            redirect(bob, f"<{one.uri}>")
            redirect(one, f"<{two.uri}>")
            redirect(two, f"<{one.uri}>", f"<{bob.uri}>")
            gives_up(alice, invite, 302)
            quiet(bob, one, two)


@test("recurse: tel, mailto and sips are not followed; with nothing else the 3xx goes upstream as it came")
def other_schemes():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        others = ["<tel:+1-201-555-0123>", "<mailto:bob@example.org>", f"<sips:bob@{there.host}>"]
        for contacts in (others, ["*"], [], ["<sip:>"], ["garbage"]):
            invite = alice.invite("bob")
            redirect(bob, *contacts)
            equal(gives_up(alice, invite, 302).values("Contact"), contacts, "Contacts")
        invite = alice.invite("bob")
        redirect(bob, *others, f"<{there.uri}>")
        refuse(there, there.expect("INVITE"), 404)
        response = alice.expect_final(invite)
        if response.kind == 302:  # §16.7 step 4: what was not followed may be offered, what was followed may not
            equal(response.values("Contact"), others, "Contacts that are left")
        else:
            equal(response.kind, 404, "status")
        alice.ack_failure(invite, response)


@test("recurse: a place that cannot be reached does not end the search")
def unreachable():
    with Sipfork({**BY_Q, "timers": FAST_TIMERS}) as proxy, one_callee(proxy) as (alice, (bob,)):
        with place(proxy, 40) as there:
            for dead in ("sip:x@name.invalid", f"sip:x@{proxy.prefix}99:5999", "sip:x@192.0.2.1:0", "sip:x@[::1]"):
                invite = alice.invite("bob")
                redirect(bob, f"<{dead}>;q=0.9, <{there.uri}>;q=0.5")
                refuse(there, there.expect("INVITE", 8), 486)
                response = alice.expect_final(invite, 8)
                true(response.kind in (408, 486), f"{dead}: {response.start}")
                alice.ack_failure(invite, response)
            invite = alice.invite("bob")
            redirect(bob, "<sip:x@name.invalid>")
            response = alice.expect_final(invite, 8)  # a proxy that cannot find the place may leave it to the caller
            true(response.kind in (302, 408, 480, 500), f"when the only place cannot be reached: {response.start}")
            alice.ack_failure(invite, response)


@test("recurse: a place in our own domain is a user of ours; a circle of them ends")
def own_users():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40, "carol") as carol:
        carol.register()
        invite = alice.invite("bob")
        redirect(bob, "<sip:carol@example.org>")
        answered(carol, rings(carol, alice, invite, "carol"), alice, invite, "carol")
        invite = alice.invite("bob")
        redirect(bob, "<sip:carol@example.org>")
        redirect(carol, "<sip:bob@example.org>")
        response = alice.expect_final(invite)
        true(response.kind in (302, 482), f"the circle ends: {response.start}")
        alice.ack_failure(invite, response)
