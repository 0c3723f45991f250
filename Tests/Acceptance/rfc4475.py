"""RFC 4475: every message of the torture set goes through a running service, as its appendix A has it, byte for byte.

What is adapted is the service, not the message: the domain that a Request-URI names is ours (there is no DNS yet), the
user it names is registered, and its sender stands at the port of its Via, on an address of ours (so the proxy adds
`received`; a Via with another transport than UDP means nothing to who got the message by UDP). Responses are sent as
they are, which is stray, and as the answer of a fork, with the Vias of the request that they answer.
"""

import os

from hard import T1, Stage, bound, fetch, raw_values, register, untouched
from harness import ROOT
from message import Message, uri_of
from testing import contains, equal, test, true
from waiting import eventually

CORPUS = os.path.join(ROOT, "Tests", "Fuzz", "corpus", "scanner")
ALLOW = [("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS")]
BAD_EXTENSION = "noProxiesSupportThis", "norDoAnyProxiesSupportThis"


def message(name):
    """A message of the archive in appendix A."""
    with open(os.path.join(CORPUS, f"rfc4475-{name}"), "rb") as file:
        return file.read()


def row(section, name, what, check, limit=60):
    """One message and its test."""
    test(f"RFC 4475 {section} {name}: {what}", limit)(lambda: check(message(name)))


# Requests that must go through

def passes(status=200, reason="OK", headers=(), routed=False, **stage):
    """Forwarded untouched, answered by bob with this status, and the answer arrives."""

    def check(data):
        with Stage(**stage) as scene:
            sent, seen = scene.passes(data, routed)
            if sent.kind == "INVITE":
                scene.alice.send(data)  # again: absorbed, whatever its branch looks like (§17.2.3)
                scene.settled()
                equal(scene.bob.drain(), [], "requests that bob got after the first")
            scene.answered(sent, seen, status, reason, headers)

    return check


def atypical_user(data):
    """Forwarded when the odd user is registered, and 404 or 480 when not: that user's name is compared whole."""
    uri = Message.parse(data).uri
    passes(501, "Not Implemented", ALLOW, users=[uri])(data)
    with Stage(users=["sip:1_unusual.URI~(to-be!sure)@example.com"]) as scene:
        scene.refuses(data, (404, 480))


def percent_in_user(data):
    """The escapes of a user part are equivalent to what they stand for, and are resolved once."""
    user = "sip:%73ips%3auser%40%65xample.com@example.net"
    passes(486, "Busy Here", domains=["example.net"], users=[user])(data)
    with Stage(domains=["example.net"], users=["sip:sips%253Auser%2540example.com@example.net"]) as scene:
        scene.refuses(data, (404, 480))


def parameters_in_user(data):
    """`;par=u%40example.net` belongs to the user: who is registered as `user` is somebody else."""
    passes(users=["sip:%75ser;par=u%40example%2Enet@example.com"])(data)
    with Stage() as scene:
        scene.refuses(data, (404, 480))


def percent_in_method(data):
    """An unknown method, not REGISTER, for a domain without a user: it is refused, and nothing is registered."""
    with Stage(domains=["registrar.example.com", "example.com"], users=[]) as scene:
        response = scene.refuses(data, (404, 405, 480, 501))
        equal(response.get("CSeq"), "29344 RE%47IST%45R", "CSeq of the answer")
        equal(fetch(scene.bob, "sip:resource@example.com"), [], "contacts of who is no registrant")


def multipart(data):
    """Its Route names a strict router, 127.0.0.1:5080: the Request-URI changes places with it (RFC 3261 §16.6)."""
    with Stage(domains=["example.net"], users=[]) as scene:
        place = "127.0.0.1", scene.address, 5080
        router = eventually(lambda: bound("router", *place), "127.0.0.1:5080 to be free", 40, 0.2)
        with router:
            sent = Message.parse(data)
            scene.alice.send(data)
            seen = router.expect("MESSAGE")
            equal(seen.uri, "sip:127.0.0.1:5080", "Request-URI")
            equal(seen.values("Route"), ["<sip:kumiko@example.org>"], "Route")
            equal(seen.body, sent.body, "body, with its zeros")
            equal(seen.get("Max-Forwards"), "69", "Max-Forwards")
            untouched(sent, Message.parse(b"\r\n".join(
                [seen.start.encode(), *(line for line in seen.lines if not line.startswith(b"Route")), b"", b""])),
                but=("route",))
            router.answer(seen, 200, "OK")
            response = scene.alice.expect(200)
            equal(response.get("Call-ID"), sent.get("Call-ID"), "Call-ID")


# Requests that must be refused

def refuses(statuses, *words, **stage):
    """Answered with one of these statuses, not forwarded; the reason of a 400 names the fault."""

    def check(data):
        with Stage(**stage) as scene:
            response = scene.refuses(data, statuses, words)
            sent = Message.parse(data)
            if len(sent.values("Call-ID")) == 1:
                equal(response.get("Call-ID"), sent.get("Call-ID"), "Call-ID of the answer")

    return check


def bad_extension(data):
    """420 from a proxy: Unsupported lists what Proxy-Require wants, and only that."""
    with Stage(port=5061) as scene:  # where a Via with TLS and no port is (RFC 3261 §18.1.1)
        response = scene.refuses(data, (420,))
        values = [part.strip() for value in response.values("Unsupported") for part in value.split(",")]
        equal(sorted(values), sorted(BAD_EXTENSION), "Unsupported")


def no_transaction_identifier(data):
    """400 that names the Via, or matching by RFC 2543: a second request with that branch is not the first again."""
    with Stage() as scene:
        for call in (b"badbranch.", b"another."):
            request = data.replace(b"badbranch.", call)
            scene.alice.send(request)
            scene.settled()
            for seen in scene.bob.drain():
                scene.bob.answer(seen, 200, "OK")
            response = scene.alice.expect_final(Message.parse(request), passing=True)
            true(response.kind in (200, 400), f"wanted 200 or 400: {response.start}")
            if response.kind == 400:
                true(any(word in response.reason.lower() for word in ("via", "branch")), f"reason: {response.reason}")


@test("RFC 4475 appendix A test: no SIP-Version; in the archive, but in no section")
def without_version():
    """400, or dropped as no SIP; not forwarded."""
    with Stage(domains=["jasomi.com"], users=["sip:alan@jasomi.com"]) as scene:
        scene.alice.send(message("test"))
        scene.settled()
        equal([seen.start for seen in scene.bob.drain()], [], "what bob received")
        true(all(seen.kind == 400 for seen in scene.alice.drain()), "nothing but 400")
        scene.refused_more()


# Registrations

def registers(aor, *contacts, silent_user=None):
    """A REGISTER that must succeed: its 200 and a later query have these contacts."""

    def check(data):
        with Stage(users=[]) as scene:
            if silent_user:
                register(scene.bob, silent_user)
            scene.alice.send(data)
            response = scene.alice.expect(200)
            sent = Message.parse(data)
            equal((response.get("Call-ID"), response.get("CSeq")), (sent.get("Call-ID"), sent.get("CSeq")), "answer to")
            for values in (response.values("Contact"), fetch(scene.bob, aor)):
                equal(sorted(uri_of(value) for value in values), sorted(contacts), "contacts")
                true(all(value.startswith("<") for value in values), f"URIs in brackets: {values}")
            scene.settled()
            equal(scene.alice.drain() + scene.bob.drain(), [], "more messages")

    return check


def null_in_user(data):
    """Two contacts with escaped nulls, for a user with one: nobody whose name would be the same in C is touched."""
    aor, contacts = "sip:null-%00-null@example.com", ("sip:%00@host5.example.com", "sip:%00%00@host5.example.com")
    registers(aor, *contacts)(data)
    with Stage(users=["sip:null-@example.com", "sip:null-%00@example.com"]) as scene:
        scene.alice.send(data)
        scene.alice.expect(200)
        for other in scene.users:
            equal([uri_of(value) for value in fetch(scene.bob, other)], [scene.bob.uri], f"contacts of {other}")


def refuses_registration(statuses, *words, aor="sip:user@example.com"):
    """A REGISTER that must fail, and leaves the binding that was there alone."""

    def check(data):
        with Stage(users=[aor]) as scene:
            scene.refuses(data, statuses, words)
            equal([uri_of(value) for value in fetch(scene.bob, aor)], [scene.bob.uri], "contacts")

    return check


def escaped_header(data):
    """The contact keeps its escaped header; who is called there gets neither it nor a Route (RFC 3261 §16.6)."""
    registers("sip:user@example.com", "sip:user@example.com?Route=%3Csip:sip.example.com%3E")(data)
    with Stage(users=[]) as scene:
        register(scene.bob, "sip:user@example.com", f"{scene.bob.uri}?Route=%3Csip:sip.example.com%3E")
        request = scene.alice.send(scene.alice.request("OPTIONS", "sip:user@example.com"))
        seen = scene.bob.expect("OPTIONS")
        equal((seen.uri, seen.values("Route")), (scene.bob.uri, []), "Request-URI and Route")
        scene.bob.answer(seen, 200)
        scene.alice.answer_of(request, 200)


def trailing_octets(data):
    """The REGISTER counts, the INVITE behind it is noise; behind a forwarded request such noise is cut off."""
    registers("sip:j.user@example.com", "sip:j.user@host.example.com", silent_user="sip:joe@example.com")(data)
    with Stage() as scene:
        request = scene.alice.request("OPTIONS", "sip:user@example.com")
        scene.alice.send(request.encode() + data[data.index(b"INVITE"):])
        seen = scene.bob.expect("OPTIONS")
        equal(seen.body, b"", "body")
        scene.bob.answer(seen, 200)
        scene.alice.answer_of(request, 200)


# Responses

def answers(then):
    """The response as it is: dropped and counted. Then as the answer to a request of its CSeq, From and Call-ID."""

    def check(data):
        with Stage() as scene:
            scene.bob.send(data)
            scene.refused_more()
            equal(scene.alice.drain() + scene.bob.drain(), [], "what a stray response causes")
            response = Message.parse(data)
            number, method = response.get("CSeq").split()
            request = scene.alice.request(
                method, "sip:user@example.com", from_=response.get("From"), call_id=response.get("Call-ID"),
                cseq=int(number) % 1000)
            if int(number) < 1 << 31:
                request = scene.alice.request(
                    method, "sip:user@example.com", from_=response.get("From"), to=response.get("To").split(";")[0],
                    call_id=response.get("Call-ID"), cseq=int(number))
            scene.alice.send(request)
            seen = scene.bob.expect(method)
            then(scene, request, seen, response)

    return check


def with_vias(response, seen, keep=0):
    """The response with the Vias of the request in place of its own, but for the last `keep` of those."""
    lines = raw_values(seen.lines, "via", "v")
    if keep:
        lines = lines[:1] + raw_values(response.lines, "via")[-keep:]
    rest = [line for line in response.lines if not line.startswith(b"Via")]
    return b"\r\n".join([response.start.encode("latin-1"), *lines, *rest, b"", response.body])


def goes_through(scene, request, seen, response):
    """Forwarded as it is, but for our Via."""
    scene.bob.send(with_vias(response, seen))
    got = scene.alice.expect(response.kind, ignore=(100,))
    equal(got.start, response.start, "status line")
    untouched(response, got)
    equal(got.values("Via"), seen.values("Via")[1:], "Via")
    equal(got.body, response.body, "body")


def is_absorbed(scene, request, seen, response):
    """A 100 is not forwarded, but ends the retransmissions; a 180 without a reason goes through as it is."""
    scene.bob.send(with_vias(response, seen))
    scene.settled()
    scene.bob.drain()
    scene.bob.silent(6 * T1, again=True)
    true(not [got for got in scene.alice.drain() if got.get("Contact")], "the callee's 100 stays here")
    scene.bob.send(with_vias(response, seen).replace(b"SIP/2.0 100 ", b"SIP/2.0 180 "))
    got = scene.alice.expect(180, ignore=(100,))
    equal(got.start, "SIP/2.0 180 ", "status line")
    scene.bob.answer(seen, 486)
    scene.bob.expect("ACK")
    scene.alice.ack_failure(request, scene.alice.answer_of(request, 486))


def is_dropped(keep=0):
    """Dropped and counted, although its branch is right; the right answer still goes through."""

    def then(scene, request, seen, response):
        scene.bob.send(with_vias(response, seen, keep))
        scene.settled()
        equal([got.start for got in scene.alice.drain() if got.kind != 100], [], "what alice received")
        scene.refused_more(2)
        scene.bob.answer(seen, 200)
        scene.alice.answer_of(request, 200)

    return then


BUSY = 486, "Busy Here"
CHAIR = {"domains": ["chair-dnrc.example.com", "services.example.com"], "users": ["sip:vivekg@chair-dnrc.example.com"]}
WATSON = {"domains": ["example.org"], "users": ["sip:t.watson@example.org"]}

row("3.1.1.1", "wsinv", "folding and white space everywhere", passes(*BUSY, routed=True, **CHAIR))
row("3.1.1.2", "intmeth", "all characters that a token, a user and a Call-ID may have", atypical_user)
row("3.1.1.3", "esc01", "% as an escape", percent_in_user)
row("3.1.1.4", "escnull", "escaped nulls in URIs", null_in_user)
row("3.1.1.5", "esc02", "% where it is no escape", percent_in_method)
row("3.1.1.6", "lwsdisp", "no white space between name and <", passes())
row("3.1.1.7", "longreq", "long values, 34 Vias, none with a magic cookie", passes(*BUSY))
row("3.1.1.8", "dblreq", "octets behind the end of a datagram's message", trailing_octets)
row("3.1.1.9", "semiuri", "parameters in the user part", parameters_in_user)
row("3.1.1.10", "transports", "known and unknown transports in Vias", passes())
row("3.1.1.11", "mpart01", "a binary multipart body, through a strict router", multipart, 90)
row("3.1.1.12", "unreason", "a reason phrase not in ASCII", answers(goes_through))
row("3.1.1.13", "noreason", "an empty reason phrase", answers(is_absorbed))
row("3.1.2.1", "badinv01", "superfluous separators in Via", refuses((400,), "Via"))
row("3.1.2.2", "clerr", "Content-Length larger than the message", refuses((400,), "Content-Length"))
row("3.1.2.3", "ncl", "negative Content-Length", refuses((400,), "Content-Length"))
row("3.1.2.4", "scalar02", "numbers too large in a REGISTER", refuses_registration((400,), "CSeq"))
row("3.1.2.5", "scalarlg", "numbers too large in a response", answers(is_dropped()))
row("3.1.2.6", "quotbal", "a quoted string without an end", refuses((400,), "To", port=5050))
row("3.1.2.7", "ltgtruri", "Request-URI in <>", refuses((400,), "Request-URI"))
row("3.1.2.8", "lwsruri", "a space in the Request-URI", refuses((400,), "Request-URI", "Request-Line", "start line"))
row("3.1.2.9", "lwsstart", "two spaces in the Request-Line", refuses((400,), "Request-Line", "start line"))
row("3.1.2.10", "trws", "spaces behind the Request-Line", refuses((400,), "Request-Line", "start line"))
row("3.1.2.11", "escruri", "headers in the Request-URI", refuses((400,), "Request-URI"))
row("3.1.2.12", "baddate", "a wrong Date is none of a proxy's business", passes(*BUSY))
row("3.1.2.13", "regbadct", "a Contact with headers that is not in <>", refuses_registration((400,), "Contact"))
row("3.1.2.14", "badaspec", "spaces in the URI of To", refuses((400,), "To", **WATSON))
row("3.1.2.15", "baddn", "a comma in an unquoted name", refuses((400,), "From", **WATSON))
row("3.1.2.16", "badvers", "an unknown version", refuses((505,), **WATSON))
row("3.1.2.17", "mismatch01", "the method of CSeq is another", refuses((400,), "CSeq"))
row("3.1.2.18", "mismatch02", "and the method is unknown", refuses((400, 501), "CSeq"))
row("3.1.2.19", "bigcode", "a status above 699", answers(is_dropped()))
row("3.2.1", "badbranch", "a magic cookie and nothing else", no_transaction_identifier)
row("3.3.1", "insuf", "no Call-ID, From and To", refuses((400,), "Call-ID", "From", "To"))
row("3.3.2", "unkscm", "an unknown scheme", refuses((416,)))
row("3.3.3", "novelsc", "a known scheme, not for requests", refuses((416, 404)))
row("3.3.4", "unksm2", "a REGISTER whose To is no SIP URI", refuses_registration((400,), "To"))
row("3.3.5", "bext01", "Proxy-Require and Require", bad_extension)
row("3.3.6", "invut", "an unknown Content-Type", passes(415, "Unsupported Media Type", [("Accept", "application/sdp")]))
row("3.3.7", "regaut01", "an unknown scheme of authorization", registers("sip:j.user@example.com"))
row("3.3.8", "multi01", "several CSeq, Call-ID, To, From and Max-Forwards", refuses(
    (400,), "CSeq", "Call-ID", "To", "From", "Max-Forwards", domains=["company.com"], users=["sip:user@company.com"]))
row("3.3.9", "mcl01", "two Content-Lengths", refuses((400,), "Content-Length"))
row("3.3.10", "bcast", "a response for 255.255.255.255", answers(is_dropped(keep=1)))
row("3.3.11", "zeromf", "Max-Forwards 0", refuses((483,)))
row("3.3.12", "cparam01", "a parameter of the Contact", registers(
    "sip:watson@example.com", "sip:+19725552222@gw1.example.net"))
row("3.3.13", "cparam02", "a parameter of the contact's URI", registers(
    "sip:watson@example.com", "sip:+19725552222@gw1.example.net;unknownparam"))
row("3.3.14", "regescrt", "a header in the contact's URI", escaped_header)
row("3.3.15", "sdp01", "an Accept that nobody can please", passes(
    406, "Not Acceptable", [("Warning", '399 b.example.com "nothing of that kind"')]))
row("3.4.1", "inv2543", "an INVITE after RFC 2543", passes(*BUSY, users=["sip:UserB@example.com"]))
