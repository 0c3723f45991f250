"""mode = "stateless": what the proxy answers by itself, refusals without state; REGISTER and OPTIONS by a worker."""

from harness import Sipfork, network
from message import uri_of
from peers import establish, hang_up, one_callee
from stateless import STATELESS, plain
from testing import equal, test, true
from ua import token


@test("refusals without state: a retransmission gets the same To tag, another request another; the ACK ends here")
def refusals():
    prefix = network()
    closed = {**STATELESS, "access": {"relay-from": [prefix + "9"]}}
    with Sipfork(closed, prefix) as proxy, one_callee(proxy) as (alice, (bob,)):
        for status, uri, more in (
                ((480, 404), "sip:nobody@example.org", {}), ((483,), bob.aor, {"max_forwards": 0}),
                ((403,), "sip:x@192.0.2.1", {}), ((403,), f"sip:x@{bob.host}:{bob.port}", {}),
                ((420,), bob.aor, {"headers": [("Proxy-Require", "x-nothing")]}), ((416,), "http://example.org/", {}),
                ((400,), bob.aor, {"max_forwards": "many"})):
            tags = []
            for method in ("INVITE", "INVITE", "MESSAGE"):
                request = alice.send(alice.request(method, uri, to=f"<{bob.aor}>", **more))
                first = alice.expect_final(request)
                true(first.kind in status, f"{method} {uri}: wanted one of {status}, received {first.start}")
                true(bool(first.tag()), f"a To tag: {first.get('To')}")
                tags.append(first.tag())
                if first.kind == 420:
                    equal(first.get("Unsupported"), "x-nothing", "Unsupported")
                for _ in range(2):
                    alice.send(request)
                    equal(alice.expect_final(request).tag(), first.tag(), "To tag for the retransmission")
                if method == "INVITE":
                    alice.ack_failure(request, first)
            equal(len(set(tags)), 3, f"To tags of three requests, {uri}")
        alice.silent(0.2, again=True)  # nothing is sent again, nothing is said to an ACK
        bob.silent(0.1, again=True)


@test("a contact that leads back to itself: the loop ends, 482 or 483")
def loop():
    with plain() as (proxy, alice, bob):
        bob.register(contact="<sip:bob@example.org>", cseq=2)
        for method in ("INVITE", "MESSAGE"):
            request = alice.send(alice.request(method, bob.aor))
            final = alice.expect_final(request)
            true(final.kind in (482, 483), f"final response: {final.start}")
        hops = proxy.status()["counters"]["messages_received"]
        true(hops < 400, f"messages for two loops: {hops}")


@test("REGISTER and OPTIONS to the proxy itself are served, and served again where they come again")
def served():
    with plain() as (proxy, alice, bob):
        for uri in ("sip:example.org", f"sip:{proxy.address[0]}"):
            options = alice.send(alice.request("OPTIONS", uri))
            first = alice.answer_of(options, 200)
            alice.send(options)
            equal(alice.answer_of(options, 200, again=True).tag(), first.tag(), "To tag for the retransmission")
        answer = bob.register(contact="", expires=None, cseq=3)
        equal([uri_of(value) for value in answer.values("Contact")], [bob.uri], "Contact")
        (one,) = proxy.ctl("registrations")
        equal([contact["uri"] for contact in one["contacts"]], [bob.uri], "registrations")
        equal(bob.register(expires=0, cseq=4).values("Contact"), [], "Contact after the phone has left")
        request = alice.send(alice.request("OPTIONS", bob.aor))
        true(alice.expect_final(request).kind in (404, 480), "OPTIONS for a user who is not there")


@test("OPTIONS to a user is forwarded; OPTIONS to the proxy with Max-Forwards 0 is answered by it")
def options():
    with plain() as (proxy, alice, bob):
        request = alice.send(alice.request("OPTIONS", bob.aor))
        bob.answer(bob.expect("OPTIONS"), 200, tag="far")
        equal(alice.answer_of(request, 200).tag(), "far", "To tag")
        alice.answer_of(alice.send(alice.request("OPTIONS", "sip:example.org", max_forwards=0)), 200)


@test("the requests of a call pass where its sender may not relay: the mark in Record-Route is good here, too")
def marks():
    prefix = network()
    with Sipfork({**STATELESS, "access": {"relay-from": [prefix + "9"]}}, prefix) as proxy:
        with one_callee(proxy) as (alice, (bob,)):
            for last in (0, 1):
                sides = establish(alice, bob)
                hang_up(sides[last], sides[1 - last])
            dialog = establish(alice, bob)[0]
            info = alice.request("INFO", dialog.target, call_id=token(), to=dialog.remote, routes=dialog.routes)
            alice.answer_of(alice.send(info), 403)
