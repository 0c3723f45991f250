"""What a reliable transport changes (RFC 3261 §17, §18): the way of answers, connections used again, no repetition."""

from message import Message, parameter, reply_to
from peers import establish, hang_up, is_hop_by_hop, refuse
from scene import FAST, SILENCE, SLOW, Scene, passes, serves
from tcpua import TCPUA
from testing import equal, test, true
from ua import UA, Dialog, token


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
