"""Where the proxy stops to follow redirections: foreign requests, calls, CANCEL, 6xx, Max-Breadth, 64 forks in all."""

from breadth import breadth, with_breadth
from harness import Sipfork
from peers import accept_cancel, establish, one_callee, ranked, refuse, three_contacts
from recursion import BY_Q, PARALLEL, moved_to, place, redirect
from serial import gives_up, quiet, rings
from testing import equal, test, true
from waiting import eventually


@test("a request for a foreign address is not the proxy's to redirect: 3xx goes upstream (§16.5)")
def foreign():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        invite = alice.send(alice.request("INVITE", f"sip:x@{bob.host}:{bob.port}"))
        redirect(bob, f"<{there.uri}>")
        gives_up(alice, invite, 302)
        quiet(there)
        ours, at_bob = f"<sip:{proxy.address[0]};lr>", f"<sip:{bob.host}:{bob.port};lr>"
        invite = alice.send(alice.request("INVITE", bob.aor, routes=[ours, at_bob]))
        redirect(bob, f"<{there.uri}>")
        gives_up(alice, invite, 302)
        quiet(there)


@test("in a call the other side's 302 is for the side that asked, not for the proxy")
def in_dialog():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        outgoing, _ = establish(alice, bob)
        invite = alice.send(outgoing.request("INVITE"))
        redirect(bob, f"<{there.uri}>")
        gives_up(alice, invite, 302)
        info = alice.send(outgoing.request("INFO"))
        bob.answer(bob.expect("INFO"), 302, headers=moved_to(f"<{there.uri}>"))
        alice.answer_of(info, 302)
        quiet(there)


@test("a CANCEL reaches the place that was named, a 603 from it ends the search")
def ended():
    with Sipfork(BY_Q) as proxy, ranked(proxy, "1.0", "0.1") as (alice, phones), place(proxy, 40) as there:
        invite = alice.invite("bob")
        redirect(phones[0], f"<{there.uri}>;q=0.5")
        seen = rings(there, alice, invite, "there")
        alice.answer_of(alice.cancel(invite), 200)
        accept_cancel(there, seen, tag="there")
        gives_up(alice, invite, 487)
        invite = alice.invite("bob")
        redirect(phones[0], f"<{there.uri}>;q=0.5")
        refuse(there, there.expect("INVITE"), 603)
        gives_up(alice, invite, 603)
        quiet(phones[1])


@test("a 3xx that comes after the caller's CANCEL is not followed")
def after_cancel():
    with Sipfork(PARALLEL) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        invite = alice.invite("bob")
        seen = rings(bob, alice, invite, "bob")
        alice.answer_of(alice.cancel(invite), 200)
        bob.answer(bob.expect("CANCEL"), 200)
        redirect(bob, f"<{there.uri}>", seen=seen)
        response = alice.expect_final(invite)
        true(response.kind in (302, 487), f"status {response.kind}")
        alice.ack_failure(invite, response)
        quiet(there)


def flood_of_places(proxy, alice, bob, there, count, headers=()):
    """Bob names `count` places, all at one address; gives the INVITEs that came there, each refused."""
    invite = alice.invite("bob", headers=headers)
    redirect(bob, *(f"<sip:{n}@{there.host}:{there.port}>" for n in range(count)))
    seen, final = [], []

    def over():
        while (message := there.receive(0.02, again=False)) is not None:
            if message.kind == "INVITE":
                seen.append(message)
                there.answer(message, 404)
        final.extend(message for message in alice.drain() if message.kind >= 200)
        return final

    eventually(over, "a final response", 15)
    alice.ack_failure(invite, final[0])
    quiet(bob)
    return seen


@test("a hundred places: 64 forks in all at most, and never more than Max-Breadth at once")
def many_places():
    for settings in (PARALLEL, BY_Q):
        with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
            seen = flood_of_places(proxy, alice, bob, there, 100)
            equal(len({message.uri for message in seen}), len(seen), "places tried, each once")
            true(1 <= len(seen) <= 63, f"{len(seen)} places tried beside the phone")
            true(all(breadth(message) >= 1 for message in seen), "Max-Breadth of each")
            alice.drain()


@test("with Max-Breadth 1 the places are tried one by one, or not at all")
def narrow():
    with Sipfork(BY_Q) as proxy, one_callee(proxy) as (alice, (bob,)), place(proxy, 40) as there:
        for seen in (flood_of_places(proxy, alice, bob, there, 5, with_breadth("1")),):
            true(len(seen) <= 5, f"{len(seen)} places tried")
            equal([breadth(message) for message in seen], [1] * len(seen), "Max-Breadth")


@test("places join only as far as Max-Breadth has room while other phones still ring (RFC 5393 §5.3.3)")
def no_room():
    with Sipfork(PARALLEL) as proxy, three_contacts(proxy) as (alice, phones), place(proxy, 40) as there:
        invite = alice.invite("bob", headers=with_breadth("3"))
        seen = [phone.expect("INVITE") for phone in phones]
        redirect(phones[0], *(f"<sip:{n}@{there.host}:{there.port}>" for n in range(3)), seen=seen[0])
        first = there.expect("INVITE")
        equal(breadth(first), 1, "Max-Breadth of the first place: what its phone has given back")
        quiet(there)
        refuse(phones[1], seen[1], 486)
        found = [first]
        while (another := there.receive(0.3, again=False)) is not None:
            equal(breadth(another), 1, "Max-Breadth of a further place")
            found.append(another)
        true(len(found) <= 2, f"{len(found)} places and a phone ring with Max-Breadth 3 when two phones have ended")
        phones[2].answer(seen[2], 200)
        alice.answer_of(invite, 200, ignore=(100, 180))
