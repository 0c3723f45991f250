"""Calls over TCP, and between TCP and UDP: what each side sees of the other (RFC 3261 §16, §18, RFC 5658)."""

from baresip import Baresip
from calls import arena, run_calls
from harness import Sipfork, network
from message import parameter
from peers import accept_cancel, establish, hang_up, is_hop_by_hop, rings
from scene import FAST, SLOW, Scene, listeners, passes, sent_by, uri_transport
from tcpua import TCPUA
from testing import contains, equal, test, true
from ua import UA, Dialog
from waiting import eventually

PAIRS = [(TCPUA, TCPUA), (UA, TCPUA), (TCPUA, UA)]
INSIDE = {"access": {"relay-from": ["192.0.2.0/24"]}}  # nobody of a test


def came_by(scene, seen, receiver):
    """The topmost Via names the proxy and the transport that the receiver speaks; a Route of ours is gone."""
    true(seen.values("Via")[0].startswith(sent_by(scene.proxy, receiver.transport)), f"our Via: {seen.values('Via')}")
    true(parameter(seen.values("Via")[0], "branch").startswith("z9hG4bK"), "branch")
    equal(seen.values("Route"), [], f"Route of the {seen.kind}")


def recorded(scene, routes, caller, callee):
    """Our Record-Route as the callee sees it: one entry; two where the transport changes, his on top (RFC 5658)."""
    wanted = [callee.transport] if caller.transport == callee.transport else [callee.transport, caller.transport]
    equal(len(routes), len(wanted), f"entries of Record-Route, {routes}")
    for route, transport in zip(routes, wanted):
        true(route.startswith(f"<sip:{scene.proxy.address[0]}:5060;"), f"our address in {route}")
        true(";lr" in route, f"lr in {route}")
        if transport == "TCP":
            equal(uri_transport(route), "tcp", f"transport of {route}")
        else:
            true(uri_transport(route) in (None, "udp"), f"transport of {route}")


def in_dialog(first, second, scene, method="INFO"):
    """A request within the call reaches the other side by its own transport, and is answered."""
    request = first.ua.send(first.request(method))
    seen = second.ua.expect(method)
    came_by(scene, seen, second.ua)
    equal(seen.uri, first.target, f"Request-URI of the {method}")
    second.ua.answer(seen, 200)
    first.ua.answer_of(request, 200)
    if method == "INVITE":
        first.ua.send(first.request("ACK"))
        came_by(scene, second.ua.expect("ACK"), second.ua)


for _caller, _callee in PAIRS:
    _names = f"{_caller.transport} to {_callee.transport}"

    @test(f"a call from {_names}: Via, Record-Route, ACK, re-INVITE, INFO and BYE from either side")
    def whole_call(caller=_caller, callee=_callee):
        with Scene({**SLOW, **INSIDE}, alice=caller) as scene:
            bob = scene.phone("bob", callee)
            for last in (0, 1):
                invite = scene.alice.invite("bob")
                seen = bob.expect("INVITE")
                came_by(scene, seen, bob)
                equal(seen.uri, bob.uri, "Request-URI")
                recorded(scene, seen.values("Record-Route"), caller, callee)
                equal(seen.get("Content-Length"), str(len(invite.body)), "Content-Length")
                equal(seen.body, invite.body, "body")
                bob.answer(seen, 180, "Ringing")
                ringing = scene.alice.answer_of(invite, 180)
                equal(ringing.values("Record-Route"), seen.values("Record-Route"), "Record-Route of the 180")
                ok = bob.answer(seen, 200, "OK", body=b"v=0\r\n\r\n\r\n")
                response = scene.alice.answer_of(invite, 200)
                equal(response.body, b"v=0\r\n\r\n\r\n", "body of the 200")
                sides = Dialog.of_caller(scene.alice, invite, response), Dialog.of_callee(bob, seen, ok)
                scene.alice.send(sides[0].request("ACK"))
                came_by(scene, bob.expect("ACK"), bob)
                for first, second in (sides, sides[::-1]):
                    in_dialog(first, second, scene, "INVITE")
                    in_dialog(first, second, scene)
                hang_up(sides[last], sides[1 - last])
            scene.alice.silent(0.1)
            bob.silent(0.1)

    @test(f"{_names}: CANCEL, its 200, 487 and the ACK; bob gets them on the INVITE's connection")
    def cancelled(caller=_caller, callee=_callee):
        with Scene(SLOW, alice=caller) as scene:
            bob = scene.phone("bob", callee)
            invite = scene.alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180)
            scene.alice.answer_of(invite, 180)
            scene.alice.answer_of(scene.alice.cancel(invite), 200)
            cancel = bob.expect("CANCEL")
            is_hop_by_hop(cancel, seen)
            bob.answer(cancel, 200)
            bob.answer(seen, 487)
            ack = bob.expect("ACK")
            is_hop_by_hop(ack, seen)
            for message in (cancel, ack):
                equal(message.source, seen.source, f"where the {message.kind} came from")
            scene.alice.ack_failure(invite, scene.alice.answer_of(invite, 487))
            scene.alice.silent(0.2)
            bob.silent(0.1)

    @test(f"{_names}: failures go back and are acknowledged hop by hop; MESSAGE passes with every answer")
    def failures(caller=_caller, callee=_callee):
        with Scene(SLOW, alice=caller) as scene:
            bob = scene.phone("bob", callee)
            for status in (300, 404, 486, 500, 603):
                invite = scene.alice.invite("bob")
                seen = bob.expect("INVITE")
                bob.answer(seen, status, "Because")
                ack = bob.expect("ACK")
                is_hop_by_hop(ack, seen)
                equal(ack.source, seen.source, "where the ACK came from")
                response = scene.alice.answer_of(invite, status)
                equal(response.reason, "Because", "reason")
                scene.alice.ack_failure(invite, response)
            for status in (200, 202, 302, 404, 600):
                came_by(scene, passes(scene.alice, bob, status=status), bob)
            scene.alice.silent(0.2)
            bob.silent(0.1)


@test("a fork to a UDP and a TCP contact: both ring; whoever answers gets the call, the other a CANCEL")
def forked():
    for winner in (0, 1):
        with Scene(SLOW) as scene:
            phones = [scene.phone("bob", UA), scene.phone("bob", TCPUA)]
            invite = scene.alice.invite("bob")
            invites = rings(phones, scene.alice, invite)
            for phone, seen in zip(phones, invites):
                came_by(scene, seen, phone)
                recorded(scene, seen.values("Record-Route"), scene.alice, phone)
            ok = phones[winner].answer(invites[winner], 200, tag=f"bob{winner + 1}")
            response = scene.alice.answer_of(invite, 200)
            accept_cancel(phones[1 - winner], invites[1 - winner], tag=f"bob{2 - winner}")
            outgoing = Dialog.of_caller(scene.alice, invite, response)
            scene.alice.send(outgoing.request("ACK"))
            phones[winner].expect("ACK")
            hang_up(Dialog.of_callee(phones[winner], invites[winner], ok), outgoing)


@test("serial: the TCP contact refuses, the UDP one is tried next, and the other way round")
def serial():
    for order in ((UA, TCPUA), (TCPUA, UA)):
        with Scene({**SLOW, "forking": {"order": "q-value"}}) as scene:
            phones = [scene.phone("bob", kind, register=False) for kind in order]
            for phone, q in zip(phones, ("0.9", "0.1")):
                phone.register(contact=f"<{phone.uri}>;q={q}")
            invite = scene.alice.invite("bob")
            seen = phones[0].expect("INVITE")
            phones[0].answer(seen, 486)
            phones[0].expect("ACK")
            hang_up(*establish(scene.alice, phones[1], invite=invite))


@test("a spiral from UDP over TCP and back: carol's contact is bob, reached at the proxy by TCP")
def spiral():
    with Scene(SLOW, alice=UA) as scene:
        bob = scene.phone("bob", UA)
        scene.alice.register(user="carol", contact=f"<sip:bob@{scene.proxy.address[0]}:5060;transport=tcp>")
        sides = establish(scene.alice, bob, "carol")
        for first, second in (sides, sides[::-1]):
            in_dialog(first, second, scene)
        hang_up(*sides)


@test("REGISTER and fetch over TCP; the contacts show their transport, and unregistering works from another connection")
def registered():
    with Scene(SLOW) as scene:
        bob = scene.phone("bob")
        (row,) = scene.proxy.ctl("registrations", "sip:bob@example.org")
        equal([contact["uri"] for contact in row["contacts"]], [bob.uri], "contacts")
        bob.connect()
        bob.register(expires=0, cseq=2)
        equal(scene.proxy.ctl("registrations", "sip:bob@example.org"), [], "contacts")
        scene.alice.answer_of(scene.alice.send(scene.alice.request("MESSAGE", bob.aor)), 480)


@test("Route to the proxy with transport=tcp, by UDP and by TCP, is ours")
def own_route():
    for kind in (UA, TCPUA):
        with Scene({**SLOW, **INSIDE}, alice=kind) as scene:
            bob = scene.phone("bob")
            for parameters in ("", ";transport=tcp", ";transport=TCP", ";transport=udp"):
                seen = passes(scene.alice, bob, routes=[f"<sip:{scene.proxy.address[0]}:5060{parameters};lr>"])
                equal(seen.values("Route"), [], f"Route with {parameters}")


@test("listening on TCP alone: a call, and no Record-Route without transport=tcp")
def tcp_only():
    with Scene(SLOW, transports=("tcp",)) as scene:
        sides = establish(scene.alice, scene.phone("bob"))
        equal([uri_transport(route) for route in sides[1].routes], ["tcp"], "transports of Record-Route")
        hang_up(*sides)


# Other people's software

def load(count, caller, callee, **more):
    prefix = network()
    with Sipfork({**FAST, "server": {"listen": listeners(("udp", "tcp"), prefix + "1:5060")}}, prefix) as proxy:
        pids = proxy.workers()
        before = arena(proxy)
        run_calls(proxy, count, 150, 40, caller, callee, **more)
        proxy.idle(30)
        eventually(lambda: arena(proxy) == before, f"the arena's counts back at {before}", 10)
        equal(proxy.workers(), pids, "worker pids")


@test("sipp: 600 calls over TCP, one connection on each side", limit=90)
def sipp_one():
    load(600, "t1", "t1")


@test("sipp: 300 calls over TCP, a connection for each", limit=90)
def sipp_each():
    load(300, "tn", "t1")


@test("sipp: 300 calls from UDP to TCP, 300 from TCP to UDP", limit=120)
def sipp_mixed():
    load(300, "u1", "t1")
    load(300, "t1", "u1")


@test("two baresip over TCP register; one calls, the other answers; each side hangs up once", limit=90)
def phones():
    with Scene({"timers": {"t1": 500}}) as scene:
        place = scene.prefix
        with Baresip("carol", place + "20", scene.proxy.address, transport="tcp") as carol:
            with Baresip("dave", place + "21", scene.proxy.address, answers=True, transport="tcp") as dave:
                for phone in (carol, dave):
                    phone.registered()
                for row in scene.proxy.ctl("registrations"):
                    contains(row["contacts"][0]["uri"], "transport=tcp", "contact")
                for hanging_up in (carol, dave):
                    for phone in (carol, dave):
                        phone.events.clear()
                    carol.command("dial", "sip:dave@example.org")
                    carol.expect("CALL_RINGING")
                    for phone in (carol, dave):
                        phone.expect("CALL_ESTABLISHED")
                        phone.expect("CALL_RTPESTAB")
                    hanging_up.command("hangup")
                    for phone in (carol, dave):
                        phone.expect("CALL_CLOSED")
        eventually(lambda: scene.proxy.status()["bindings"] == 0, "the end of both bindings", 10)
