"""What a reliable transport changes (RFC 3261 §17, §18): the way of answers, connections used again, no repetition,
the length of bodies, and which requests take TCP for their size.
"""

import os

from message import Message, parameter, reply_to
from peers import accept_cancel, establish, hang_up, is_hop_by_hop, refuse
from scene import FAST, SILENCE, SLOW, Scene, options, passes, serves, transport_of, uri_transport
from tcpua import TCPUA
from testing import contains, equal, test, true
from ua import UA, Dialog, token
from waiting import eventually


# The way of the answer (§18.2.2)

@test("the answer goes back on the connection that the request came on, whatever its Via says")
def same_connection():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for via in ("host.invalid:9", f"{alice.host}:{alice.port}", f"{alice.host}:9", "192.0.2.1"):
            sent = []
            for connection in (alice.connect(), alice.connect(), alice.connect()):
                branch = "z9hG4bK" + token()
                request = alice.request("MESSAGE", bob.aor, via=f"SIP/2.0/TCP {via};branch={branch}")
                sent.append((connection, connection.send(request), bob.expect("MESSAGE")))
            for connection, request, seen in reversed(sent):
                below = seen.values("Via")[1]
                received = parameter(below, "received")
                if via.startswith(alice.host):
                    true(received in (None, alice.host), f"received: {below}")
                else:
                    equal(received, alice.host, f"received in {below}")  # §18.2.1
                bob.answer(seen, 200)
                equal(connection.expect(200).branch, request.branch, "branch of the answer")
        alice.silent(0.1)
        equal(alice.accepted, [], "connections that the proxy opened to alice")


@test("rport in a Via over TCP gets the port that the connection came from (RFC 3581)")
def rport():
    with Scene(SLOW) as scene:
        seen = passes(scene.alice, scene.phone("bob"))
        below = seen.values("Via")[1]
        equal(parameter(below, "rport"), str(scene.alice.opened[0].own[1]), f"rport in {below}")
        equal(parameter(below, "received"), scene.alice.host, f"received in {below}")


@test("its connection is closed when the answer comes: it goes to received and the port of sent-by, on a new one")
def closed_before():
    for end in ("close", "reset"):
        with Scene(SLOW) as scene:
            alice, bob = scene.alice, scene.phone("bob")
            for host in (alice.host, "host.invalid"):
                for rport in ("", ";rport"):
                    branch = "z9hG4bK" + token()
                    via = f"SIP/2.0/TCP {host}:{alice.port};branch={branch}{rport}"
                    connection = alice.connect()
                    request = alice.send(alice.request("MESSAGE", bob.aor, via=via), connection)
                    seen = bob.expect("MESSAGE")
                    getattr(connection, end)()
                    scene.settled()
                    bob.answer(seen, 200)
                    response = alice.answer_of(request, 200)
                    true(response.source in alice.accepted, "the answer came on a connection that the proxy opened")
                    alice.accepted.pop().close()


@test("a call goes on when alice's connection breaks while it rings: the 200 comes on a new one, her ACK on another")
def broken_while_ringing():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180).source.reset()
        ok = bob.answer(seen, 200)
        response = alice.answer_of(invite, 200)
        outgoing = Dialog.of_caller(alice, invite, response)
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        hang_up(Dialog.of_callee(bob, seen, ok), outgoing)


@test("a caller that says no more (half close) still gets her answer")
def half_closed():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        connection = alice.connect()
        request = alice.send(alice.request("MESSAGE", bob.aor), connection)
        seen = bob.expect("MESSAGE")
        connection.half_close()
        bob.answer(seen, 200)
        alice.answer_of(request, 200)  # on the half that is left, or on a new connection


@test("nobody is there to take the answer: it ends there, and others are served")
def nobody_there():
    with Scene(FAST) as scene:
        bob = scene.phone("bob")
        pids = sorted(scene.proxy.descendants())
        caller = scene.phone("caller", register=False)
        invite = caller.invite("bob")
        seen = bob.expect("INVITE")
        message = caller.send(caller.request("MESSAGE", bob.aor))
        at_bob = bob.expect("MESSAGE")
        equal(at_bob.get("Call-ID"), message.get("Call-ID"), "Call-ID of the MESSAGE")
        for connection in caller.connections:
            connection.reset()
        caller.socket.close()
        bob.answer(at_bob, 200)
        bob.answer(seen, 486)
        is_hop_by_hop(bob.expect("ACK"), seen)
        passes(scene.alice, bob)
        scene.proxy.idle()
        equal(sorted(scene.proxy.descendants()), pids, "pids of the children")
        del invite


@test("a response that belongs to nothing, over TCP: dropped and counted, and its connection goes on")
def stray():
    with Scene(SLOW) as scene:
        bob = scene.phone("bob")
        seen = passes(scene.alice, bob)
        before = scene.counters()
        response = reply_to(seen, 200)
        for branch in ("z9hG4bKnobody", seen.branch[:-1] + "x"):
            stray = Message(response.start, [
                (name, value.replace(seen.branch, branch)) for name, value in response.fields], b"")
            seen.source.send(stray)
        serves(seen.source, bob)
        true(scene.counters()["stray_responses"] > before["stray_responses"], "stray_responses counts")
        scene.alice.silent(0.1)


# Connections are used again (§18.1.1)

@test("all requests to one contact take one connection, until it closes that; then there is another")
def used_again():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for _ in range(3):
            sources = {passes(alice, bob).source for _ in range(4)}
            dialogs = establish(alice, bob)
            hang_up(*dialogs)
            equal(len(sources), 1, "connections that four requests came on")
            equal(len(bob.accepted), 1, "connections that the proxy opened")
            bob.accepted.pop().close()
            scene.settled()


@test("a contact that is the far end of an open connection is called on that connection")
def own_end():
    with Scene(SLOW) as scene:
        bob = scene.phone("bob", register=False)
        connection = bob.connect()
        bob.register(contact=f"<sip:bob@{bob.host}:{connection.own[1]};transport=tcp>")
        true(passes(scene.alice, bob).source is connection, "it came on the connection of the REGISTER")
        equal(bob.accepted, [], "connections that the proxy opened")


@test("bob's connection breaks while he rings: his 200 on a new one, to the sent-by of our Via, is taken")
def callee_broken():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        seen.source.reset()
        ok = bob.send(reply_to(seen, 200, tag="bob", contact=f"<{bob.uri}>"), bob.connect())
        response = alice.answer_of(invite, 200)
        outgoing = Dialog.of_caller(alice, invite, response)
        alice.send(outgoing.request("ACK"))
        bob.expect("ACK")
        hang_up(outgoing, Dialog.of_callee(bob, seen, ok))


@test("bob's connection breaks before he has said anything: the caller gets 500 at once, or the next contact the call")
def callee_gone():
    for end in ("close", "reset"):
        with Scene({**SLOW, "forking": {"order": "q-value"}}) as scene:
            alice, bob = scene.alice, scene.phone("bob")
            for method in ("INVITE", "MESSAGE"):
                request = alice.send(alice.request(method, bob.aor))
                getattr(bob.expect(method).source, end)()
                response = alice.answer_of(request, 500, 5)
                if method == "INVITE":
                    alice.ack_failure(request, response)
            other = scene.phone("bob", register=False)
            other.register(contact=f"<{other.uri}>;q=0.1")
            invite = alice.invite("bob")
            getattr(bob.expect("INVITE").source, end)()
            hang_up(*establish(alice, other, invite=invite))


# Nothing is said twice (§17)

@test("a silent TCP callee gets his INVITE once, and timer B ends it with 408; a late answer harms nobody")
def timer_b():
    with Scene(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        bob.silent(SILENCE * 0.8)
        alice.ack_failure(invite, alice.answer_of(invite, 408, SILENCE + 5))
        bob.silent(0.2)
        bob.answer(seen, 486)
        scene.proxy.idle()
        passes(alice, bob)


@test("a silent TCP callee gets his MESSAGE once; timer F ends it, and nobody is told 408 (RFC 4320)")
def timer_f():
    with Scene(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        alice.send(alice.request("MESSAGE", bob.aor))
        bob.expect("MESSAGE")
        bob.silent(SILENCE + 0.5)
        alice.silent(0, ignore=(100,))
        scene.proxy.idle()


@test("a 200 of INVITE passes as often as the callee says it, and is never repeated by the proxy")
def ok_once():
    with Scene(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        for _ in range(3):
            bob.answer(seen, 200)
            response = alice.answer_of(invite, 200)
            alice.silent(0.3)
        alice.send(Dialog.of_caller(alice, invite, response).request("ACK"))
        bob.expect("ACK")
        bob.silent(0.2)


@test("a failure that is not acknowledged is said once over TCP (no timer G), again and again over UDP")
def timer_g():
    for kind in (TCPUA, UA):
        with Scene(FAST, alice=kind) as scene:
            alice, bob = scene.alice, scene.phone("bob")
            invite = alice.invite("bob")
            refuse(bob, bob.expect("INVITE"), 486)
            response = alice.answer_of(invite, 486)
            if kind is TCPUA:
                alice.silent(SILENCE / 2)
            else:
                equal(alice.expect(486, again=True).raw, response.raw, "the 486 again")
            alice.ack_failure(invite, response)
            scene.proxy.idle()


@test("the INVITE of a UDP caller that comes again is absorbed; the TCP callee hears it once")
def absorbed():
    with Scene(SLOW, alice=UA) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        alice.send(invite)
        alice.send(invite)
        bob.silent(0.3)
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
        alice.send(invite)
        alice.expect(180, ignore=(100,), again=True)
        refuse(bob, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))


@test("over TCP a transaction is over with its last message (timers D, I, J and K are zero)")
def no_waiting():
    with Scene({"timers": {"t1": 2000, "t4": 60000}}) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for _ in range(5):
            passes(alice, bob)
            invite = alice.invite("bob")
            refuse(bob, bob.expect("INVITE"), 486)
            alice.ack_failure(invite, alice.answer_of(invite, 486))
        scene.proxy.idle(10)


# The length of a body (§18.3)

def bare_message(alice, bob, body, *lengths):
    """A MESSAGE without Content-Length but what is given, and whatever body."""
    request = alice.request("MESSAGE", bob.aor, drop=("Content-Length",), headers=list(lengths))
    return Message(request.start, request.fields, body)


@test("from UDP to TCP Content-Length is added where there is none, and what is behind the body is cut off")
def length_added():
    with Scene(SLOW, alice=UA) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for body, lengths, wanted in (
                (b"", [], b""), (b"hello\r\n\r\nworld", [], b"hello\r\n\r\nworld"), (b"x" * 900, [], b"x" * 900),
                (b"hello, and more", [("Content-Length", "5")], b"hello"), (b"hello!", [("l", "5")], b"hello"),
                (b"\r\n\r\n", [("Content-Length", "0")], b""), (b"\0\r\n", [], b"\0\r\n")):
            request = alice.send(bare_message(alice, bob, body, *lengths))
            seen = bob.expect("MESSAGE")
            equal(seen.body, wanted, f"body after {body[:20]!r}, {lengths}")
            equal(seen.values("Content-Length"), [str(len(wanted))], "Content-Length")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)
        bob.silent(0.1)
        equal(seen.source.buffer, b"", "what is left on the connection")


@test("from UDP to TCP the same for responses")
def response_length():
    with Scene(SLOW) as scene:
        alice, bob = scene.alice, scene.phone("bob", UA)
        for body, lengths, wanted in (
                (b"", [], b""), (b"\r\n\r\nhello", [], b"\r\n\r\nhello"),
                (b"hello, and more", [("Content-Length", "5")], b"hello"), (b"hello", [("l", "1")], b"h")):
            request = alice.send(alice.request("MESSAGE", bob.aor))
            seen = bob.expect("MESSAGE")
            response = reply_to(seen, 200, tag="x")
            fields = [field for field in response.fields if field[0] != "Content-Length"] + lengths
            bob.send(Message(response.start, fields, body), seen.source)
            answer = alice.answer_of(request, 200)
            equal(answer.body, wanted, f"body after {body!r}, {lengths}")
            equal(answer.values("Content-Length"), [str(len(wanted))], "Content-Length")
        serves(alice.way, alice)


@test("the proxy's own answers over TCP have a Content-Length: 100, 200, 404, 480, 483, 420, 401 to nobody")
def own_answers():
    with Scene(FAST) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for method, uri, more, status in (
                ("OPTIONS", f"sip:{alice.proxy[0]}", {}, 200), ("MESSAGE", "sip:nobody@example.org", {}, 480),
                ("MESSAGE", bob.aor, {"max_forwards": 0}, 483), ("MESSAGE", "nosuchscheme:bob", {}, 416),
                ("MESSAGE", bob.aor, {"headers": [("Proxy-Require", "warp")]}, 420)):
            request = alice.send(alice.request(method, uri, **more))
            equal(alice.answer_of(request, status).get("Content-Length"), "0", f"Content-Length of the {status}")
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        equal(alice.answer_of(invite, 100, ignore=()).get("Content-Length"), "0", "Content-Length of the 100")
        alice.cancel(invite)
        equal(alice.expect(200).get("Content-Length"), "0", "Content-Length of the CANCEL's 200")
        accept_cancel(bob, seen)
        alice.ack_failure(invite, alice.answer_of(invite, 487))


# Which requests take TCP for their size (§18.1.1)

def twins(scene, tcp=True):
    """Bob at one address and port by UDP and by TCP, registered without a transport."""
    udp = scene.phone("bob", UA)
    if not tcp:
        return udp, None
    return udp, scene.stack.enter_context(TCPUA("bob", udp.address, udp.proxy, port=udp.port))


def padded(sender, small, receiver, size, uri=None):
    """A MESSAGE that is `size` bytes when the proxy sends it on, as `small` (with a body of 1000) was."""
    others = len(small.raw) - len("1000") - 1000
    body = b"x" * next(n for n in range(size) if others + len(str(n)) + n >= size)
    return sender.send(sender.request("MESSAGE", uri or receiver.aor, body=body))


def goes_by(udp, tcp, sender, request, transport):
    """The request comes by this transport, first and alone, and is answered."""
    receiver = tcp if transport == "TCP" else udp
    seen = receiver.expect(request.kind)
    equal(transport_of(seen), transport, "transport in our Via")
    receiver.answer(seen, 200)
    sender.answer_of(request, 200)
    for other in {udp, tcp} - {receiver, None}:
        other.silent(0.05)
    return seen


@test("a request of more than 1,300 bytes to a contact without transport goes by TCP, a smaller one by UDP")
def by_size():
    with Scene(SLOW, alice=UA) as scene:
        alice, (udp, tcp) = scene.alice, twins(scene)
        small = goes_by(udp, tcp, alice, alice.send(alice.request("MESSAGE", udp.aor, body=b"x" * 1000)), "UDP")
        for size, transport in (
                (1250, "UDP"), (1301, "TCP"), (1290, "UDP"), (1400, "TCP"), (9000, "TCP"), (60000, "TCP")):
            seen = goes_by(udp, tcp, alice, padded(alice, small, udp, size), transport)
            equal(len(seen.raw), size, f"size by {transport}")
        for uri in (udp.uri.replace("bob", "x"),):  # also where no contact is looked up
            goes_by(udp, tcp, alice, padded(alice, small, udp, 1500, uri), "TCP")
            goes_by(udp, tcp, alice, padded(alice, small, udp, 1200, uri), "UDP")


@test("a large INVITE to a contact without transport makes a call by TCP, with a Record-Route for each side")
def large_call():
    with Scene(SLOW, alice=UA) as scene:
        alice, (udp, tcp) = scene.alice, twins(scene)
        invite = alice.invite("bob", body=b"x" * 3000)
        sides = establish(alice, tcp, invite=invite)
        equal([uri_transport(route) for route in sides[1].routes][0], "tcp", "transport of the upper Record-Route")
        equal(len(sides[1].routes), 2, "entries of Record-Route")
        hang_up(*sides[::-1])
        udp.silent(0.1)


@test("nobody takes TCP there: the large request goes by UDP at once; so do its ACK and its CANCEL")
def fall_back():
    with Scene(SLOW, alice=UA) as scene:
        alice, (udp, _) = scene.alice, twins(scene, tcp=False)
        for size in (1400, 5000, 30000):
            body = b"x" * size
            request = alice.send(alice.request("MESSAGE", udp.aor, body=body))
            equal(goes_by(udp, None, alice, request, "UDP").body, body, "body")
        invite = alice.invite("bob", body=b"x" * 3000)
        sides = establish(alice, udp, invite=invite)
        true([uri_transport(route) for route in sides[1].routes] in ([None], ["udp"]), f"Record-Route {sides[1].routes}")
        hang_up(*sides)
        invite = alice.invite("bob", body=b"x" * 3000)
        seen = udp.expect("INVITE")
        refuse(udp, seen, 486)
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        invite = alice.invite("bob", body=b"x" * 3000)
        seen = udp.expect("INVITE")
        udp.answer(seen, 180)
        alice.answer_of(invite, 180)
        alice.answer_of(alice.cancel(invite), 200)
        accept_cancel(udp, seen)
        alice.ack_failure(invite, alice.answer_of(invite, 487))


@test("a contact with transport=udp gets large requests by UDP, one with transport=tcp small ones by TCP")
def stated():
    with Scene(SLOW, alice=UA) as scene:
        alice, (udp, tcp) = scene.alice, twins(scene)
        udp.register(contact=f"<{udp.uri};transport=udp>", user="carol")
        udp.register(contact=f"<{udp.uri};transport=tcp>", user="dave")
        for size in (10, 5000):
            for user, transport in (("carol", "UDP"), ("dave", "TCP")):
                request = alice.request("MESSAGE", f"sip:{user}@example.org", body=b"x" * size)
                goes_by(udp, tcp, alice, alice.send(request), transport)


@test("a service that does not listen on TCP sends large requests by UDP, and answers 500 for transport=tcp")
def udp_only():
    with Scene(SLOW, alice=UA, transports=("udp",)) as scene:
        alice, (udp, tcp) = scene.alice, twins(scene)
        goes_by(udp, tcp, alice, alice.send(alice.request("MESSAGE", udp.aor, body=b"x" * 5000)), "UDP")
        udp.register(contact=f"<{udp.uri};transport=tcp>", user="dave")
        for method in ("MESSAGE", "INVITE"):
            request = alice.send(alice.request(method, "sip:dave@example.org"))
            response = alice.answer_of(request, 500)
            if method == "INVITE":
                alice.ack_failure(request, response)
        tcp.silent(0.1)
