"""The path of a message through the proxy: Via, Route, Record-Route, Max-Forwards, targets, untouched bytes (§16)."""

import re

from harness import DOMAIN, FAST_TIMERS, Sipfork
from message import parameter, uri_of
from peers import establish, hang_up, one_callee
from testing import contains, equal, test, true
from ua import UA, token

FAST = {"timers": FAST_TIMERS}
OURS = ("via", "v", "max-forwards", "max-breadth", "record-route", "route")


def passed_through(lines):
    """The header lines that a proxy has no business with, as they came."""
    return [line for line in lines if line.split(b":")[0].strip().lower().decode("latin-1") not in OURS]


@test("what is not the proxy's passes byte for byte: odd headers, folding, compact names, binary bodies")
def untouched():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        body = bytes(range(256)) * 3 + b"\r\n\r\nINVITE sip:not@start.line SIP/2.0\r\n"
        data = (
            f"MESSAGE {bob.aor} SIP/2.0\r\n"
            f"v:  SIP/2.0/UDP {alice.host}:{alice.port} ;branch=z9hG4bK{token()};rport;odd=\"a,b;c\"\r\n"
            f"Max-Forwards:  70\r\n"
            f"X-Unknown :   spaces  before and  inside\t tab  \r\n"
            f"f: \"A. \\\"Quoted\\\", <Name>\" <{alice.aor}>;tag=x{token()};unknown=1\r\n"
            f"t: <{bob.aor};user=phone?x=y>\r\n"
            f"i: {token()}\r\n"
            f"CSEQ:    0007\tMESSAGE\r\n"
            f"Subject: first line\r\n and a second,\r\n\t\tand a third\r\n"
            f"x-empty:\r\n"
            f"UnknownHeaderWithAVeryLongName-{'n' * 200}: {'v' * 800}\r\n"
            f"s: compact, not known to the proxy\r\n"
            f"Contact: <{alice.uri}>;q=0.5;+sip.instance=\"<urn:uuid:0>\"\r\n"
            f"Content-Type: application/octet-stream\r\n"
            f"l: {len(body)}\r\n\r\n").encode() + body
        data = data.replace(b"compact, not", "compact, näht ünd \udcff".encode("utf-8", "surrogateescape"))
        alice.send(data)
        seen = bob.expect("MESSAGE")
        sent_lines = data.partition(b"\r\n\r\n")[0]
        equal(seen.body, body, "body")
        wanted = re.split(rb"\r\n(?![ \t])", sent_lines)[1:]
        equal(passed_through(seen.lines), passed_through(wanted), "header lines")
        contains(seen.values("Via")[1], 'odd="a,b;c"', "the caller's Via")
        answer = f"SIP/2.0 200 ünknown  reason \r\nx-odd:\t one\r\n two\r\n".encode()
        answer += b"".join(
            line + b"\r\n" for line in seen.lines
            if line.split(b":")[0].strip().lower() in (b"via", b"v", b"f", b"t", b"i", b"cseq"))
        answer += b"Content-Length: 5\r\n\r\n\0\1\2\r\n"
        bob.send(answer, seen.source)
        response = alice.expect(200)
        equal(response.start.encode("latin-1"), answer.split(b"\r\n")[0], "status line")
        equal(response.lines[-1], b"Content-Length: 5", "last header")
        contains(response.lines, b"x-odd:\t one\r\n two", "headers of the response")
        equal(response.body, b"\0\1\2\r\n", "body of the response")


@test("methods known and unknown are forwarded: MESSAGE, INFO, SUBSCRIBE, OPTIONS to a user, FOO")
def methods():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for method in ("MESSAGE", "INFO", "SUBSCRIBE", "OPTIONS", "PUBLISH", "FOO", "x-odd.method!%*_+`'~"):
            request = alice.send(alice.request(method, bob.aor))
            seen = bob.expect(method)
            equal(seen.uri, bob.uri, f"Request-URI of {method}: the contact")
            equal(seen.get("CSeq"), f"1 {method}", "CSeq")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)


@test("OPTIONS to the proxy itself is answered 200, by address and by domain")
def options():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        for uri in (f"sip:{proxy.address[0]}:5060", f"sip:{DOMAIN}", f"sip:{proxy.address[0]}"):
            request = alice.send(alice.request("OPTIONS", uri))
            response = alice.answer_of(request, 200)
            true(response.tag(), "the 200 has a To tag")


@test("Max-Forwards: one less, 70 when missing, 483 at zero")
def max_forwards():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for sent, wanted in ((70, "69"), (1, "0"), (255, "254"), (None, "70")):
            request = alice.send(alice.request("MESSAGE", bob.aor, max_forwards=sent))
            seen = bob.expect("MESSAGE")
            equal([value for value in seen.values("Max-Forwards")], [wanted], f"Max-Forwards, {sent} sent")
            bob.answer(seen, 200)
            alice.answer_of(request, 200)
        for method in ("MESSAGE", "INVITE"):
            request = alice.send(alice.request(method, bob.aor, max_forwards=0))
            response = alice.answer_of(request, 483)
            if method == "INVITE":
                alice.ack_failure(request, response)
        bob.silent(0.2)


@test("a user without contact gets 480")
def unknown_user():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        invite = alice.invite("nobody")
        alice.ack_failure(invite, alice.answer_of(invite, 480))
        alice.answer_of(alice.send(alice.request("MESSAGE", f"sip:nobody@{DOMAIN}")), 480)


@test("a URI scheme that is not sip gets 416, a Proxy-Require that nobody knows 420 with Unsupported")
def refused():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        alice.answer_of(alice.send(alice.request("MESSAGE", "nosuchscheme:bob")), 416)
        request = alice.request("MESSAGE", bob.aor, headers=[("Proxy-Require", "warp-drive, foo")])
        response = alice.answer_of(alice.send(request), 420)
        equal(set(response.values("Unsupported")), {"warp-drive", "foo"}, "Unsupported")
        request = alice.send(alice.request("MESSAGE", bob.aor, headers=[("Require", "warp-drive")]))
        bob.answer(bob.expect("MESSAGE"), 200)
        alice.answer_of(request, 200)


@test("Via: the proxy's on top with an RFC 3261 branch, received and rport in the one below")
def via():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        branch = "z9hG4bK" + token()
        request = alice.request("MESSAGE", bob.aor, via=f"SIP/2.0/UDP host.invalid:5999;rport;branch={branch};x=y")
        alice.send(request)
        seen = bob.expect("MESSAGE")
        top, below = seen.values("Via")
        true(top.startswith(f"SIP/2.0/UDP {proxy.address[0]}"), f"sent-by of the proxy's Via: {top}")
        true(parameter(top, "branch").startswith("z9hG4bK"), f"branch of the proxy's Via: {top}")
        true(below.startswith("SIP/2.0/UDP host.invalid:5999"), f"the caller's Via: {below}")
        equal(parameter(below, "received"), alice.host, "received")
        equal(parameter(below, "rport"), str(alice.port), "rport")
        equal(parameter(below, "branch"), branch, "branch")
        equal(parameter(below, "x"), "y", "another parameter")
        bob.answer(seen, 200)
        alice.expect(200)


@test("without rport the response goes to the port in the Via (§18.2.2)")
def without_rport():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("alice2", alice.host, proxy.address) as other:
            via_other = f"SIP/2.0/UDP {alice.host}:{other.port};branch=z9hG4bK{token()}"
            alice.send(alice.request("MESSAGE", bob.aor, via=via_other))
            bob.answer(bob.expect("MESSAGE"), 200)
            other.expect(200)
            alice.silent(0.1)


@test("a Via list in one line and several lines: the response carries what the request brought")
def via_list():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        vias = [f"SIP/2.0/UDP {alice.host}:{alice.port};branch=z9hG4bKa{token()}, SIP/2.0/UDP b.invalid;branch=z9hG4bKb"]
        request = alice.request("MESSAGE", bob.aor, via=vias[0], headers=[("Via", "SIP/2.0/TCP c.invalid;branch=z9hG4bKc")])
        alice.send(request)
        seen = bob.expect("MESSAGE")
        equal(len(seen.values("Via")), 4, "Vias at the callee")
        bob.answer(seen, 200)
        response = alice.expect(200)
        hosts = [re.split(r"[ ;:]+", value)[1] for value in response.values("Via")]
        equal(hosts, [alice.host, "b.invalid", "c.invalid"], "sent-by of the Vias in the response")


@test("Record-Route with lr on INVITE; ACK and BYE come along it, and its value is removed on the way")
def record_route():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        routes = seen.values("Record-Route")
        equal(len(routes), 1, "Record-Route values")
        contains(routes[0], proxy.address[0], "Record-Route")
        true(";lr" in uri_of(routes[0]), f"lr in {routes[0]}")
        ok = bob.answer(seen, 200)
        response = alice.answer_of(invite, 200)
        equal(response.values("Record-Route"), routes, "Record-Route in the 200")
        equal(response.contact(), bob.uri, "Contact in the 200")
        del ok
        ack = alice.request(
            "ACK", bob.uri, to=response.get("To"), from_=invite.get("From"), call_id=invite.get("Call-ID"), cseq=1,
            routes=routes)
        alice.send(ack)
        seen = bob.expect("ACK")
        equal(seen.values("Route"), [], "Route at the callee")
        equal(seen.uri, bob.uri, "Request-URI of the ACK")
        equal(len(seen.values("Via")), 2, "Vias of the ACK")


@test("record-route = false: the proxy steps out of the call")
def no_record_route():
    settings = {"server": {"record-route": False}, "timers": FAST_TIMERS}
    with Sipfork(settings) as proxy, one_callee(proxy) as (alice, (bob,)):
        invite = alice.invite("bob")
        seen = bob.expect("INVITE")
        equal(seen.values("Record-Route"), [], "Record-Route")
        bob.answer(seen, 200)
        alice.answer_of(invite, 200)


@test("further Route values are followed: to the next, not to the Request-URI")
def further_route():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        with UA("next", proxy.prefix + "30", proxy.address) as hop:
            routes = [f"<sip:{proxy.address[0]}:5060;lr>, <sip:{hop.host}:{hop.port};lr>", "<sip:far.invalid;lr>"]
            request = alice.send(alice.request("MESSAGE", "sip:x@elsewhere.invalid", routes=routes))
            seen = hop.expect("MESSAGE")
            equal(seen.uri, "sip:x@elsewhere.invalid", "Request-URI")
            equal(
                seen.values("Route"), [f"<sip:{hop.host}:{hop.port};lr>", "<sip:far.invalid;lr>"],
                "Route at the next hop")
            hop.answer(seen, 200)
            alice.answer_of(request, 200)
        bob.silent(0.1)


@test("a strict next hop (no lr) gets itself in the Request-URI and the target last in Route (§16.6 step 6)")
def strict_next_hop():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, _):
        with UA("strict", proxy.prefix + "30", proxy.address) as hop:
            routes = [f"<sip:{proxy.address[0]}:5060;lr>", f"<sip:{hop.host}:{hop.port}>"]
            request = alice.send(alice.request("MESSAGE", "sip:x@elsewhere.invalid", routes=routes))
            seen = hop.expect("MESSAGE")
            equal(seen.uri, f"sip:{hop.host}:{hop.port}", "Request-URI")
            equal([uri_of(value) for value in seen.values("Route")], ["sip:x@elsewhere.invalid"], "Route")
            hop.answer(seen, 200)
            alice.answer_of(request, 200)


@test("from a strict router: our Record-Route URI in the Request-URI, the target last in Route (§16.4)")
def from_strict_router():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        outgoing, _ = establish(alice, bob)
        ours = uri_of(outgoing.routes[0])
        bye = alice.request(
            "BYE", ours, to=outgoing.remote, from_=outgoing.local, call_id=outgoing.call_id, cseq=2,
            routes=[f"<{bob.uri}>"])
        alice.send(bye)
        seen = bob.expect("BYE")
        equal(seen.uri, bob.uri, "Request-URI")
        equal(seen.values("Route"), [], "Route")
        bob.answer(seen, 200)
        alice.answer_of(bye, 200)


@test("a request for an address that is not ours goes there, without look-up")
def direct_target():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = alice.send(alice.request("MESSAGE", f"sip:anyone@{bob.host}:{bob.port};x=1"))
        seen = bob.expect("MESSAGE")
        equal(seen.uri, f"sip:anyone@{bob.host}:{bob.port};x=1", "Request-URI")
        bob.answer(seen, 200)
        alice.answer_of(request, 200)


@test("who is not in access.relay-from gets 403 for domains that are not ours, and reaches our users")
def no_open_relay():
    with Sipfork({**FAST, "access": {"relay-from": ["192.0.2.0/24"]}}) as proxy, one_callee(proxy) as (alice, (bob,)):
        for uri in (f"sip:anyone@{bob.host}:{bob.port}", "sip:anyone@elsewhere.example"):
            alice.answer_of(alice.send(alice.request("MESSAGE", uri)), 403)
        bob.silent(0.1)
        request = alice.send(alice.request("MESSAGE", bob.aor))
        bob.answer(bob.expect("MESSAGE"), 200)
        alice.answer_of(request, 200)
        hang_up(*establish(alice, bob))


@test("a request that comes back to the proxy (a loop) ends in 482 or 483, never in a storm")
def loop():
    with Sipfork(FAST) as proxy, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        alice.register(user="mirror", contact=f"<sip:mirror@{DOMAIN}>")
        request = alice.send(alice.request("MESSAGE", f"sip:mirror@{DOMAIN}"))
        response = alice.expect_final(request, 10)
        true(response.kind in (480, 482, 483, 404, 500), f"the loop ends with an error: {response.start}")


@test("users are found whatever the case of the domain and the escapes in the user part")
def uri_equality():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for uri in ("sip:bob@EXAMPLE.org", "sip:%62ob@example.org", "SIP:bob@example.org;transport=udp"):
            request = alice.send(alice.request("MESSAGE", uri))
            bob.answer(bob.expect("MESSAGE"), 200)
            alice.answer_of(request, 200)


@test("BYE and re-INVITE work when the contact has moved out of the registrar")
def call_survives_unregister():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        sides = establish(alice, bob)
        bob.register(contact="*", expires=0)
        hang_up(*sides)
