"""What a reload changes takes effect when it has answered, key by key; and calls in progress go on through all of it.

Each test shows first that it was otherwise before. Routes and name servers are in reloadroutes.py.
"""

import contextlib

from harness import Sipfork, network
from message import uri_of
from peers import establish, hang_up, one_callee, ranked, refuse
from reloadscene import is_ours, renewed
from scene import FAST, SLOW, Scene, passes, serves
from tcpua import TCPUA, Connection
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually

def answer_to(ua, uri, method="MESSAGE"):
    """The status of the answer to a request that only the proxy answers."""
    return ua.expect_final(ua.send(ua.request(method, uri, contact=False))).kind


def failed_call(alice, user, status=480):
    """A call that the proxy itself refuses; gives its INVITE."""
    invite = alice.invite(user)
    alice.ack_failure(invite, alice.answer_of(invite, status))
    return invite


def tried(alice, phones, invite, timeout=5):
    """Lets the phones refuse an INVITE as it comes to them; gives their numbers in that order."""
    order = []
    for _ in phones:
        def rung():
            for index, phone in enumerate(phones):
                if index not in order and (seen := phone.receive(0, again=False)) is not None:
                    order.append(index)
                    return phone, seen
            return None

        phone, seen = eventually(rung, f"another INVITE after {order}", timeout)
        refuse(phone, seen, 486, tag=f"bob{order[-1]}")
    alice.ack_failure(invite, alice.answer_of(invite, 486))
    return order


# [server]

for _mode in ("stateful", "stateless"):

    @test(f"domains, {_mode}: one is added, one is taken away")
    def domains(mode=_mode):
        with Sipfork({**FAST, "server": {"mode": mode, "domains": ["one.test", "two.test"]}}) as proxy:
            with contextlib.ExitStack() as stack:
                def phone(number, domain):
                    place = f"{proxy.prefix}{number}", proxy.address
                    return stack.enter_context(UA("bob", *place, domain=domain))

                one, two, three = (phone(10 + n, f"{name}.test") for n, name in enumerate(("one", "two", "three")))
                one.register()
                two.register()
                names = "one.test", "two.test", "three.test"
                equal([is_ours(proxy, name) for name in names], [True, True, False], "which are ours")
                renewed(proxy, server={"domains": ["one.test", "three.test"]})
                equal([is_ours(proxy, name) for name in names], [True, False, True], "which are ours")
                three.register()
                passes(one, three)
                passes(three, one)
                renewed(proxy, server={"domains": ["one.test", "two.test"]})
                passes(one, two)  # its registration was kept meanwhile

    @test(f"relay-from, {_mode}: who may send to other domains; a call in progress goes on")
    def relay_from(mode=_mode):
        prefix = network()
        settings = {**FAST, "server": {"mode": mode}, "access": {"relay-from": [prefix + "9"]}}
        with Sipfork(settings, prefix) as proxy, one_callee(proxy) as (alice, (bob,)):
            with UA("far", prefix + "60", proxy.address) as far:
                equal(answer_to(alice, far.uri), 403, "before")
                renewed(proxy, access={"relay-from": [prefix + "2"]})
                passes(alice, far, far.uri)
                invite = alice.send(alice.request("INVITE", far.uri))
                seen = far.expect("INVITE")
                ok = far.answer(seen, 200)
                outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
                renewed(proxy, access={"relay-from": []})
                equal(answer_to(alice, far.uri), 403, "afterwards")
                alice.send(outgoing.request("ACK"))
                far.expect("ACK")
                hang_up(Dialog.of_callee(far, seen, ok), outgoing)


@test("record-route: the next call stays without, a call that has it goes on with it")
def record_route():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, incoming = establish(alice, bob)
        equal(len(outgoing.routes), 1, "routes of the first call")
        renewed(proxy, server={"record-route": False})
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        equal(seen.values("Record-Route"), [], "Record-Route")
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        hang_up(outgoing, incoming)
        renewed(proxy, server={"record-route": True})
        hang_up(*establish(alice, bob))


@test("advertise: Via and Record-Route name the new address; the old one's calls can be hung up")
def advertise():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        old = establish(alice, bob)
        renewed(proxy, server={"advertise": ["udp:192.0.2.55:5099"]})
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        contains(seen.values("Via")[0], "192.0.2.55:5099", "our Via")
        contains(uri_of(seen.values("Record-Route")[0]), "192.0.2.55:5099", "Record-Route")
        ok = bob.answer(seen, 200)
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        hang_up(*old)
        equal(answer_to(alice, "sip:192.0.2.55:5099", "OPTIONS"), 200, "OPTIONS to the advertised address")
        hang_up(Dialog.of_callee(bob, seen, ok), outgoing)


@test("advertise is taken back: a call that has the address in its Route can be hung up all the same")
def advertised_before():
    settings = {**FAST, "server": {"advertise": ["udp:192.0.2.55:5099"]}}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        sides = establish(alice, bob)
        contains(sides[0].routes[0], "192.0.2.55:5099", "Route of the call")
        renewed(proxy, server={"advertise": []})
        hang_up(*establish(alice, bob))
        hang_up(*sides)


# [timers], [forking]

@test("t1: retransmissions to a silent phone begin when the new value says so")
def t1():
    with Sipfork({"timers": {"t1": 4000, "t2": 4000}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        def sent_again(invite):
            seen = bob.expect("INVITE")
            again = bob.receive(0.6)
            refuse(bob, seen, 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
            return again is not None

        true(not sent_again(alice.invite("bob")), "a retransmission within 0.6 s where t1 is 4 s")
        renewed(proxy, timers={"t1": 100})
        true(sent_again(alice.invite("bob")), "no retransmission within 0.6 s where t1 is 0.1 s")


@test("order: at once, then by q, then at once again")
def order():
    with Sipfork(FAST) as proxy, ranked(proxy, "0.1", "0.9") as (alice, phones):
        def both_at_once():
            invite = alice.invite("bob")
            for number, (phone, seen) in enumerate([(phone, phone.expect("INVITE")) for phone in phones], 1):
                refuse(phone, seen, 486, tag=f"bob{number}")
            alice.ack_failure(invite, alice.answer_of(invite, 486))

        both_at_once()
        renewed(proxy, forking={"order": "q-value"})
        equal(tried(alice, phones, alice.invite("bob")), [1, 0], "order by q")
        renewed(proxy, forking={"order": "parallel"})
        both_at_once()


@test("recurse, max-breadth: a 302 is followed when the file says so; of two contacts one is tried when it says that")
def forking():
    with Sipfork(FAST) as proxy, ranked(proxy, "0.5", "0.5") as (alice, phones):
        with UA("there", proxy.prefix + "40", proxy.address) as there:
            def redirect():
                invite = alice.invite("bob")
                for number, (phone, seen) in enumerate([(phone, phone.expect("INVITE")) for phone in phones], 1):
                    contact = [("Contact", f"<{there.uri}>")] if number == 1 else []
                    refuse(phone, seen, 302 if number == 1 else 486, tag=f"bob{number}", headers=contact)
                return invite

            invite = redirect()
            alice.ack_failure(invite, alice.answer_of(invite, 302))
            renewed(proxy, forking={"recurse": True, "max-passes": 3})
            invite = redirect()
            refuse(there, there.expect("INVITE"), 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
            renewed(proxy, forking={"max-breadth": 1})
            invite = alice.invite("bob")
            refuse(phones[1], phones[1].expect("INVITE"), 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
            phones[0].silent(0.1)


# [registrar], [log]

@test("registrar: limits, expiry, and whether it is there at all; who is registered already stays so")
def registrar():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        second = f"<sip:bob@{proxy.prefix}99>"
        bob.register(expires=60)
        renewed(proxy, registrar={"max-contacts": 1, "min-expires": 100, "max-expires": 1000, "default-expires": 500})
        bob.register(expires=99, want=423)
        bob.register(contact=second, want=403)
        contains(bob.register(expires=7200).get("Contact"), "expires=1000", "Contact of the 200: max-expires")
        contains(bob.register(expires=None).get("Contact"), "expires=500", "Contact of the 200: default-expires")
        renewed(proxy, registrar={"enabled": False})
        bob.register(want=405)
        hang_up(*establish(alice, bob))
        renewed(proxy, registrar={"enabled": True, "max-contacts": 2})
        bob.register(contact=second)
        equal(proxy.status()["bindings"], 2, "bindings")


@test("log: calls none, all, failed; level error hides what is less, and the next reload shows it again")
def log():
    with Sipfork({**FAST, "log": {"calls": "none"}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        def answered():
            sides = establish(alice, bob)
            hang_up(*sides)
            return sides[0].call_id

        quiet = [answered(), failed_call(alice, "nobody").get("Call-ID")]
        renewed(proxy, log={"calls": "all"})
        for call_id in (answered(), failed_call(alice, "nobody").get("Call-ID")):
            proxy.await_log(call_id)
        renewed(proxy, log={"calls": "failed"})
        quiet.append(answered())
        proxy.await_log(failed_call(alice, "nobody").get("Call-ID"))
        renewed(proxy, log={"level": "error"})
        quiet.append(failed_call(alice, "nobody").get("Call-ID"))
        renewed(proxy, log={"level": "info"})
        proxy.await_log(failed_call(alice, "nobody").get("Call-ID"))  # in this order: the others had the time
        for call_id in quiet:
            true(call_id not in proxy.log(), f"{call_id} is not to be in the log")


# [tcp]

@test("tcp: fewer connections are allowed: those that are open stay and serve, a further one is closed; then more")
def connections():
    with Scene(SLOW, alice=UA) as scene, contextlib.ExitStack() as stack:
        def connect(number):
            return stack.enter_context(Connection.to(scene.proxy.address, f"{scene.prefix}{100 + number % 3}"))

        served = [connect(number) for number in range(6)]
        for connection in served:
            serves(connection, scene.alice)
        renewed(scene.proxy, tcp={"max-connections": 4})
        for connection in served:
            serves(connection, scene.alice)
        connect(6).expect_end()
        renewed(scene.proxy, tcp={"max-connections": 100, "max-connections-per-peer": 2})
        connect(7).expect_end()
        for connection in served:
            serves(connection, scene.alice)
        renewed(scene.proxy, tcp={"max-connections-per-peer": None})
        for number in range(8, 12):
            serves(connect(number), scene.alice)
        equal(scene.proxy.status()["connections"], 10, "connections")


@test("tcp: max-message, message-timeout and idle-timeout hold for connections that were open before, too")
def tcp_limits():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        body = b"x" * 5000
        passes(alice, bob, body=body)
        with Connection.to(scene.proxy.address, scene.prefix + "100") as slow, \
                Connection.to(scene.proxy.address, scene.prefix + "101") as idle:
            for connection in (slow, idle):
                serves(connection, alice)
            renewed(scene.proxy, tcp={"max-message": 4096, "message-timeout": 1, "idle-timeout": 2})
            slow.send(b"OPTIONS sip:x SIP/2.0\r\n")
            serves(idle, alice)
            alice.send(alice.request("MESSAGE", bob.aor, body=body))
            equal(alice.receive(3).kind, 513, "answer to a message that is too long now")
            alice.opened[-1].expect_end()
            slow.expect_end()
            idle.expect_end()
        renewed(scene.proxy, tcp={"max-message": 65535, "idle-timeout": 3900})
        passes(alice, bob, body=body)


# All at once

@test("everything changes in the middle of calls, one ringing, one answered: both go on to their end")
def everything():
    with Scene(alice=TCPUA) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        carol = scene.phone("carol", UA)
        sides = establish(alice, bob)
        invite = alice.invite("carol")
        seen = carol.expect("INVITE")
        carol.answer(seen, 180)
        alice.answer_of(invite, 180)
        renewed(
            scene.proxy,
            server={"domains": ["elsewhere.test"], "record-route": False, "advertise": ["udp:192.0.2.55:5099"]},
            access={"relay-from": ["192.0.2.0/24"]}, timers={"t1": 60, "t2": 500, "t4": 600, "c": 200000},
            forking={"order": "q-value", "max-breadth": 5, "max-passes": 2, "recurse": True},
            registrar={"min-expires": 90, "max-contacts": 1},
            tcp={"max-connections": 50, "max-message": 20000, "connect-timeout": 500, "max-queue": 70000},
            resolver={"servers": [f"{scene.prefix}53:5300"], "timeout": 100, "candidate-timeout": 100, "dead-time": 1},
            log={"level": "debug", "calls": "all"},
            route=[{"user": "*", "domain": "*", "to": [f"sip:{scene.prefix}77"]}])
        ok = carol.answer(seen, 200)
        outgoing = Dialog.of_caller(alice, invite, alice.answer_of(invite, 200))
        alice.send(outgoing.request("ACK"))
        carol.expect("ACK")
        hang_up(Dialog.of_callee(carol, seen, ok), outgoing)
        hang_up(*sides)
        true(not is_ours(scene.proxy, "example.org"), "example.org is ours no more")
