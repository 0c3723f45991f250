"""The length of bodies between UDP and TCP (RFC 3261 §18.3), and which requests take TCP for their size (§18.1.1)."""

from message import Message, reply_to
from peers import accept_cancel, establish, hang_up, refuse
from scene import FAST, SLOW, Scene, serves, transport_of, uri_transport
from tcpua import TCPUA
from testing import equal, test, true
from ua import UA


# The length of a body (§18.3)

def bare_message(alice, bob, body, *lengths):
    """A MESSAGE without Content-Length but what is given, and whatever body."""
    request = alice.request("MESSAGE", bob.aor, drop=("Content-Length",))
    return Message(request.start, request.fields + list(lengths), body)


@test("from UDP to TCP Content-Length is added where there is none, and what is behind the body is cut off")
def length_added():
    with Scene(SLOW, alice=UA) as scene:
        alice, bob = scene.alice, scene.phone("bob")
        for body, lengths, wanted in (
                (b"", [], b""), (b"hello\r\n\r\nworld", [], b"hello\r\n\r\nworld"), (b"x" * 900, [], b"x" * 900),
                (b"hello, and more", [("Content-Length", "5")], b"hello"), (b"hello!", [("l", "5")], b"hello"),
                (b"hello" + alice.request("BYE", bob.aor).encode(), [("Content-Length", "5")], b"hello"),
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


@test("the proxy's own answers over TCP have a Content-Length: 100, 200, 416, 420, 480, 483")
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
        bob.answer(seen, 180)
        alice.answer_of(invite, 180)
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
    """A MESSAGE that is `size` bytes when the proxy sends it on, in all but its body like `small`, which it sent."""
    others = len(small.raw) - len(small.body) - len(str(len(small.body)))
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
        small = goes_by(udp, tcp, alice, alice.send(alice.request("MESSAGE", udp.aor, body=b"x" * 500)), "UDP")
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
        recorded = [uri_transport(route) for route in sides[1].routes]
        true(recorded in ([None], ["udp"]), f"transports of Record-Route: {recorded}")
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
