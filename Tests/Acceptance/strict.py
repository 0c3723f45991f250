"""Strict routers before and behind us, maddr, Route in every spelling (RFC 3261 §16.4, §16.6 step 6, §16.12.1.2)."""

import re

from harness import FAST_TIMERS, Sipfork, network
from hops import passed_back, passed_on
from message import uri_of
from peers import establish, hang_up, one_callee
from testing import equal, test
from ua import UA, token

FAST = {"timers": FAST_TIMERS}


def hop_at(proxy, number, name="hop"):
    return UA(name, f"{proxy.prefix}{number}", proxy.address)


def loose(ua):
    return f"<sip:{ua.host}:{ua.port};lr>"


def strict(ua):
    return f"<sip:{ua.host}:{ua.port}>"


def ours(proxy):
    return f"<sip:{proxy.address[0]}:5060;lr>"


def sent(caller, receiver, request):
    """Sends a request that `receiver` must get and answer; gives what it got."""
    caller.send(request)
    seen = receiver.expect(request.kind)
    receiver.answer(seen, 200)
    caller.answer_of(request, 200)
    return seen


def record_route(caller, callee):
    """The URI that the proxy records into a call, with the dialogs of that call."""
    outgoing, incoming = establish(caller, callee)
    equal(len(outgoing.routes), 1, "Route set of the caller")
    return uri_of(outgoing.routes[0]), outgoing, incoming


# Before us

@test("from a strict router, several Routes: the last becomes the Request-URI, the others lead on")
def from_strict_router():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)), hop_at(proxy, 30) as hop:
        recorded, outgoing, _ = record_route(alice, bob)
        same = {"to": outgoing.remote, "from_": outgoing.local, "call_id": outgoing.call_id}
        far, target = "<sip:far.invalid;lr>", f"<{bob.uri};x=y>"
        for number, (routes, receiver, left) in enumerate((
                ([target], bob, []), ([loose(hop), target], hop, [loose(hop)]),
                ([loose(hop), far, target], hop, [loose(hop), far]),
                ([f"{loose(hop)}, {far}", f"{far} ,{target}"], hop, [loose(hop), far, far]))):
            request = alice.request("INFO", recorded, routes=routes, cseq=10 + number, **same)
            seen = sent(alice, receiver, request)
            equal(seen.uri, uri_of(target), f"Request-URI, from Route {routes}")
            equal(seen.values("Route"), left, f"Route, from Route {routes}")


@test("from a strict router, the last Route with a display name and parameters: its URI alone is the target")
def last_route_dressed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        recorded, outgoing, _ = record_route(alice, bob)
        same = {"to": outgoing.remote, "from_": outgoing.local, "call_id": outgoing.call_id}
        for number, value in enumerate((
                f'"Bob, <the \\"builder\\">" <{bob.uri}>', f"Bob B. <{bob.uri}>;a=b;c", f"<{bob.uri}>  ;x=\",\"")):
            seen = sent(alice, bob, alice.request("INFO", recorded, routes=[value], cseq=10 + number, **same))
            equal(seen.uri, bob.uri, f"Request-URI, from Route {value}")
            equal(seen.values("Route"), [], "Route")


@test("from a strict router to a strict router: it gets itself in the Request-URI and the target last in Route")
def strict_to_strict():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)), hop_at(proxy, 30) as hop:
        recorded, outgoing, _ = record_route(alice, bob)
        request = alice.request(
            "INFO", recorded, routes=[strict(hop), "<sip:far.invalid;lr>", f"<{bob.uri}>"], to=outgoing.remote,
            from_=outgoing.local, call_id=outgoing.call_id, cseq=2)
        seen = sent(alice, hop, request)
        equal(seen.uri, uri_of(strict(hop)), "Request-URI")
        equal([uri_of(value) for value in seen.values("Route")], ["sip:far.invalid;lr", bob.uri], "Route")


@test("from a strict router with a user of ours as the target: it is looked up")
def strict_to_user():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        recorded, outgoing, _ = record_route(alice, bob)
        request = alice.request(
            "INFO", recorded, routes=[f"<{bob.aor}>"], to=outgoing.remote, from_=outgoing.local,
            call_id=outgoing.call_id, cseq=2)
        equal(sent(alice, bob, request).uri, bob.uri, "Request-URI")


@test("traversing a strict router (§16.12.1.2): it swaps, we swap back, and the call's target is untouched")
def traversal():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)), hop_at(proxy, 30) as hop:
        recorded, outgoing, incoming = record_route(alice, bob)
        request = alice.request(
            "BYE", bob.uri, routes=[ours(proxy), strict(hop), f"<{recorded}>"], to=outgoing.remote,
            from_=outgoing.local, call_id=outgoing.call_id, cseq=2)
        alice.send(request)
        seen = hop.expect("BYE")
        equal(seen.uri, uri_of(strict(hop)), "Request-URI at the strict router")
        equal([uri_of(value) for value in seen.values("Route")], [recorded, bob.uri], "Route at the strict router")
        first, *rest = seen.values("Route")
        hop.send(passed_on(hop, seen, uri=uri_of(first), routes=rest))
        at_bob = bob.expect("BYE")
        equal(at_bob.uri, bob.uri, "Request-URI at the phone")
        equal(at_bob.values("Route"), [], "Route at the phone")
        bob.answer(at_bob, 200)
        hop.send(passed_back(hop.expect(200)))
        alice.answer_of(request, 200)
        equal(incoming.call_id, at_bob.get("Call-ID"), "Call-ID")


# Behind us

@test("to a strict router with further Routes: its URI, whole, in the Request-URI; the target behind the others")
def to_strict_router():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _), hop_at(proxy, 30) as hop:
        target = "sip:x@elsewhere.invalid;user=phone;q=1"
        for value, wanted in (
                (strict(hop), uri_of(strict(hop))),
                (f'"Strict, one" <sip:it@{hop.host}:{hop.port};a=b;transport=udp>;c=d',
                 f"sip:it@{hop.host}:{hop.port};a=b;transport=udp")):
            further = ["<sip:far.invalid;lr>", "<sip:farther.invalid>;z"]
            request = alice.request("MESSAGE", target, routes=[ours(proxy), value, *further])
            seen = sent(alice, hop, request)
            equal(seen.uri, wanted, "Request-URI")
            equal(seen.values("Route")[:2], further, "the further Routes")
            equal([uri_of(value) for value in seen.values("Route")[2:]], [target], "the last Route")


@test("an INVITE that a strict router gets is cancelled and acknowledged with the Request-URI and Route it got")
def strict_cancel():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _), hop_at(proxy, 30) as hop:
        request = alice.request("INVITE", "sip:x@elsewhere.invalid", routes=[ours(proxy), strict(hop)])
        alice.send(request)
        seen = hop.expect("INVITE")
        hop.answer(seen, 180)
        alice.answer_of(request, 180)
        alice.answer_of(alice.cancel(request), 200)
        cancel = hop.expect("CANCEL")
        hop.answer(cancel, 200)
        hop.answer(seen, 487)
        ack = hop.expect("ACK")
        for message in (cancel, ack):
            equal(message.uri, seen.uri, f"Request-URI of the {message.kind}")
            equal(message.values("Route"), seen.values("Route"), f"Route of the {message.kind} (§9.1, §17.1.1.3)")
        alice.ack_failure(request, alice.answer_of(request, 487))


@test("lr in any spelling is loose: lr=on, LR, lr=true; lr outside the URI, or in its user part, is not")
def spellings_of_lr():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _), hop_at(proxy, 30) as hop:
        target, at = "sip:x@elsewhere.invalid", f"{hop.host}:{hop.port}"
        for value in (f"<sip:{at};lr=on>", f"<sip:{at};LR>", f"<sip:{at};a=b;Lr=true;c>", f"<SIP:{at};lr?x=y>"):
            seen = sent(alice, hop, alice.request("MESSAGE", target, routes=[ours(proxy), value]))
            equal(seen.uri, target, f"Request-URI, Route {value}")
            equal(seen.values("Route"), [value], "Route")
        for value in (f"<sip:{at}>;lr", f"<sip:a;lr@{at}>", f"<sip:{at};lrx=1>", f"<sip:{at};x=lr>", f"<sip:{at}?lr>"):
            seen = sent(alice, hop, alice.request("MESSAGE", target, routes=[ours(proxy), value]))
            equal(seen.uri, uri_of(value), f"Request-URI, Route {value}")
            equal([uri_of(value) for value in seen.values("Route")], [target], "Route")


# Route in every spelling

@test("Route in one line, several lines, folded, with odd spacing: ours goes, the others stay as they were")
def spellings_of_route():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _), hop_at(proxy, 30) as hop:
        us, second, third = ours(proxy), loose(hop), '"Far, far" <sip:f,g@far.invalid;lr>;a="b,c"'
        for lines in (
                f"Route: {us},{second},{third}", f"Route:{us}\r\nROUTE : {second}\r\nroute:\t{third}",
                f"Route: {us} ,\t{second}  ,  {third}  ", f"Route: {us},\r\n {second},\r\n\t{third}",
                f"Route: {us}\r\nRoute: {second} , {third}", f"Route: {us}, {second}\r\nRoute: {third}",
                f'Route: "We, <us>" <sip:{proxy.address[0]};lr>;x=y;z , {second}\r\nRoute: {third}',
                f"Route: We <sip:user@{proxy.address[0]}:5060;lr;transport=udp?h=v>,{second}, {third}"):
            request = alice.request("MESSAGE", "sip:x@elsewhere.invalid", headers=[("LINES", "")])
            data = re.sub(rb"LINES: *", lines.encode().replace(b"\\", rb"\\"), request.encode())
            alice.send(data)
            seen = hop.expect("MESSAGE")
            equal(seen.uri, "sip:x@elsewhere.invalid", "Request-URI")
            equal(seen.values("Route"), [second, third], f"Route, from {lines!r}")
            hop.answer(seen, 200)
            alice.answer_of(request, 200)


@test("a Route that names one of our domains is ours")
def route_by_domain():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for value in ("<sip:example.org;lr>", "<sip:EXAMPLE.org:5060;lr>"):
            seen = sent(alice, bob, alice.request("MESSAGE", bob.aor, routes=[value]))
            equal(seen.values("Route"), [], f"Route, {value} sent")


# maddr

def two_ports(prefix):
    return {**FAST, "server": {"listen": [f"udp:{prefix}1:5060", f"udp:{prefix}1:5070"]}}


@test("maddr that is us, by address or domain: gone, and the user is looked up")
def maddr_ours():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for parameters in (
                f";maddr={proxy.address[0]}", f";maddr={proxy.address[0]};transport=udp", ";maddr=example.org",
                f";x=y;MADDR={proxy.address[0]}", f":5060;maddr={proxy.address[0]}"):
            seen = sent(alice, bob, alice.request("MESSAGE", f"sip:bob@example.org{parameters}"))
            equal(seen.uri, bob.uri, f"Request-URI, {parameters} sent")


@test("maddr that is us on a foreign user: gone with the port that is not 5060, then it goes to its own host (§16.4)")
def maddr_stripped():
    prefix = network()
    with Sipfork(two_ports(prefix), prefix=prefix) as proxy:
        with UA("alice", prefix + "2", (proxy.address[0], 5070)) as alice, UA("hop", prefix + "30", None, 5060) as hop:
            uri = f"sip:x@{hop.host}:5070;a=b;transport=udp;maddr={proxy.address[0]}"
            seen = sent(alice, hop, alice.request("MESSAGE", uri))
            equal(seen.uri.replace(";transport=udp", ""), f"sip:x@{hop.host};a=b", "Request-URI")


@test("maddr that is us with another port of ours than the request came by: the user is found all the same")
def maddr_other_port():
    prefix = network()
    with Sipfork(two_ports(prefix), prefix=prefix) as proxy, one_callee(proxy) as (alice, (bob,)):
        uri = f"sip:bob@example.org:5070;maddr={proxy.address[0]}"
        seen = sent(alice, bob, alice.request("MESSAGE", uri))
        equal(seen.uri, bob.uri, "Request-URI")


@test("maddr that is not us: the request goes there as it is, without look-up (§16.5)")
def maddr_foreign():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)), hop_at(proxy, 30) as hop:
        for uri in (
                f"sip:bob@example.org:{hop.port};maddr={hop.host}", f"sip:x@far.invalid:{hop.port};maddr={hop.host};a"):
            seen = sent(alice, hop, alice.request("MESSAGE", uri))
            equal(seen.uri, uri, "Request-URI")
        bob.silent(0.1)


@test("maddr in a Route is where the request goes")
def maddr_in_route():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _), hop_at(proxy, 30) as hop:
        value = f"<sip:far.invalid:{hop.port};lr;maddr={hop.host}>"
        seen = sent(alice, hop, alice.request("MESSAGE", f"sip:x{token()}@far.invalid", routes=[ours(proxy), value]))
        equal(seen.values("Route"), [value], "Route")


@test("a whole call in which every in-dialog request comes from a strict router")
def strict_call():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        _, outgoing, incoming = record_route(alice, bob)
        for side in (outgoing, incoming):
            side.routes, side.target = [f"<{side.target}>"], uri_of(side.routes[0])
        for first, second in ((outgoing, incoming), (incoming, outgoing)):
            invite = first.ua.send(first.request("INVITE"))
            seen = second.ua.expect("INVITE")
            equal(seen.uri, uri_of(first.routes[0]), "Request-URI")
            second.ua.answer(seen, 200)
            first.ua.answer_of(invite, 200)
            first.ua.send(first.request("ACK"))
            equal(second.ua.expect("ACK").uri, uri_of(first.routes[0]), "Request-URI of the ACK")
        hang_up(outgoing, incoming)
