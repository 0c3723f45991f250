"""Faults in messages: what a proxy need not look at is passed on as it is, what it must look at is answered 400.

And a fault in one call never touches another, nor the same one: whatever comes with its Call-ID or its branch.
"""

from hard import Stage, untouched
from malformed import raw, without
from message import Message
from testing import equal, test, true
from ua import Dialog, token

# Headers that only endpoints, registrars and other proxies look at.
NOT_OURS = [
    b"Date: Fri, 01 Jan 2010 16:00:00 EST", b"Date: yesterday", b"Authorization: Digest username=\"al",
    b"Authorization:", b"Proxy-Authorization: ,,,=", b"WWW-Authenticate: x", b"Contact: <sip:", b"Contact: *, *",
    b"Contact: \"", b"m: ,;,", b"Contact: <sip:a@b>;q=7;expires=-1", b"Expires: soon", b"Expires: -1",
    b"Expires: " + b"9" * 60, b"Expires: 1\r\nExpires: 2", b"Path: <sip:", b"Path: ,", b"Service-Route: \"",
    b"Allow: ,(,", b"Accept: text", b"Accept:", b"Content-Type: /", b"c: a b c", b"Content-Encoding: <",
    b"Content-Disposition: ;;", b"MIME-Version: x", b"Supported: <>", b"Require: nobody has this, (", b"Unsupported: ,",
    b"Timestamp: then", b"Warning: 1812 x", b"Retry-After: -1", b"RAck: a b c", b"RSeq: x", b"Event: ;",
    b"Subscription-State: =", b"Refer-To: <", b"Replaces: ;to-tag", b"Session-Expires: x", b"Min-SE: -90",
    b"Reply-To: \"a", b"In-Reply-To: @@@", b"Priority: (", b"Organization: \xff\xfe\x00\x01", b"Subject: \xc3\x28",
    b"P-Asserted-Identity: <tel:", b"Alert-Info: <", b"Max-Breadths: x", b"X-\"(odd): name"]
BODIES = [
    b"v=", b"v=0\r\n=", b"\0" * 50, bytes(range(256)), b"\r\n\r\n\r\n",
    b"v=0\r\no=- 1 IN IP9 nowhere\r\nm=\r\n" * 30]
SINGLE = {
    "CSeq": "2 MESSAGE", "Call-ID": "another@call", "From": "<sip:x@example.com>;tag=x", "To": "<sip:x@example.com>",
    "Max-Forwards": "5", "Content-Length": "4"}


def each(rows, check):
    """Runs the check for every row; fails with all that went wrong, not only the first."""
    failures = []
    for row in rows:
        try:
            check(row)
        except AssertionError as error:
            failures.append(f"{row!r}: {error}")
    if failures:
        raise AssertionError(f"{len(failures)} of {len(rows)} rows failed:\n" + "\n".join(failures))


def with_header(request, line):
    """The request's bytes with one more header, in front of Content-Length."""
    return raw(request, b"Content-Length:", line + b"\r\nContent-Length:")


def plain(scene, method="MESSAGE", **more):
    """A good request of alice's for bob, without Contact, so that the test may add one."""
    return scene.alice.request(method, "sip:user@example.com", contact=False, body=b"hello", **more)


def passed_on(scene, data):
    """The request arrives as it is, and so does its answer; what failed before leaves nothing behind."""
    scene.alice.drain()
    scene.bob.drain()
    sent, seen = scene.passes(data)
    scene.answered(sent, seen, 200, "OK")


def refused(scene, data, *words):
    """400 with one of the words in its reason, and bob hears nothing."""
    scene.alice.drain()
    scene.bob.drain()
    scene.refuses(data, (400,), words)


@test("passed on untouched: broken values of headers that are no business of a proxy", limit=120)
def headers_of_others():
    with Stage() as scene:
        each(NOT_OURS, lambda line: passed_on(scene, with_header(plain(scene), line)))


@test("passed on untouched: the same broken values in a response")
def headers_of_others_back():
    with Stage() as scene:
        def check(line):
            scene.alice.drain()
            scene.bob.drain()
            request = scene.alice.send(plain(scene))
            seen = scene.bob.expect("MESSAGE")
            kept = [row for row in seen.lines if row.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")]
            answer = b"\r\n".join([b"SIP/2.0 200 OK", *kept, line, b"Content-Length: 2", b"", b"\xff\0"])
            scene.bob.send(answer, seen.source)
            got = scene.alice.answer_of(request, 200)
            untouched(Message.parse(answer), got)
            equal(got.body, b"\xff\0", "body")

        each([*NOT_OURS, b"Record-Route: <sip:", b"Record-Route: ,;", b"Max-Forwards: x"], check)


@test("passed on untouched: bodies that are not what their Content-Type says")
def broken_bodies():
    with Stage() as scene:
        def check(body):
            passed_on(scene, scene.alice.request(
                "MESSAGE", "sip:user@example.com", headers=[("Content-Type", "application/sdp")], body=body).encode())

        each(BODIES, check)


@test("passed on untouched: broken routes of hops that this one has nothing to do with")
def routes_of_others():
    with Stage() as scene:
        broken = [b"<sip:", b"<sip:;lr", b",;", b"\"", b"sip:a b", b"<http://x>"]
        each(broken, lambda value: passed_on(scene, with_header(plain(scene), b"Record-Route: " + value)))

        def later_route(value):
            scene.alice.drain()
            scene.bob.drain()
            next_hop = f"<sip:{scene.bob.host}:{scene.bob.port};lr>"
            request = plain(scene, routes=[f"<sip:{scene.home};lr>", next_hop])
            data = with_header(request, b"Route: " + value)
            scene.alice.send(data)
            seen = scene.bob.expect("MESSAGE")
            equal(seen.uri, request.uri, "Request-URI")
            routes = [line for line in seen.lines if line.startswith(b"Route")]
            equal(routes, [f"Route: {next_hop}".encode(), b"Route: " + value], "Route lines")
            scene.bob.answer(seen, 200)
            scene.alice.answer_of(request, 200)

        each(broken, later_route)


@test("400 with the header's name: a Route that must be followed and cannot be")
def broken_route():
    with Stage() as scene:
        values = [b"<sip:", b"<sip:;lr>", b"<sip:a@>", b"\"", b"<sip:a b;lr>", b"<>", b"<sip:[::;lr>", b"sip:x:99999"]
        each(values, lambda value: refused(scene, with_header(plain(scene), b"Route: " + value), "Route"))
        own = f"Route: <sip:{scene.home};lr>\r\nRoute: ".encode()
        each(values, lambda value: refused(scene, with_header(plain(scene), own + value), "Route"))


@test("400 with the header's name: a second CSeq, Call-ID, From, To, Max-Forwards, Content-Length")
def doubled():
    with Stage() as scene:
        each(list(SINGLE), lambda name: refused(
            scene, with_header(plain(scene), f"{name}: {SINGLE[name]}".encode()), name))


@test("400 with the header's name: Max-Breadth that is no number, or stands twice (RFC 5393 §5.3.3)")
def broken_breadth():
    with Stage() as scene:
        values = [b"x", b"-1", b"", b"1 2", b"1;a", b"0x10", b"3\r\nMax-Breadth: 4"]
        each(values, lambda value: refused(scene, with_header(plain(scene), b"Max-Breadth: " + value), "Max-Breadth"))


@test("a broken Via below the sender's is passed on as it is, or refused by name")
def broken_lower_via():
    with Stage() as scene:
        def check(value):
            request = plain(scene)
            scene.alice.send(with_header(request, b"Via: " + value))
            scene.settled()
            for seen in scene.bob.drain():
                equal([line for line in seen.lines if line.startswith(b"Via")][2:], [b"Via: " + value], "lowest Via")
                scene.bob.send(scene.bob.answer(seen, 200))
            answer = scene.alice.expect_final(request, passing=True)
            true(answer.kind == 200 or answer.kind == 400 and "Via" in answer.reason, f"answer: {answer.start}")
            scene.settled()
            scene.alice.drain()

        each([b";;;", b"SIP/2.0/UDP", b"x", b"SIP/2.0/UDP [::;branch=z9hG4bKa", b"SIP/2.0/UDP a:99999", b"\""], check)


@test("the ACK to a 400 ends here, although nothing is kept of what was refused")
def acknowledged():
    with Stage() as scene:
        for old, new in (
                (b"Content-Length: 0", b"Content-Length: 7"), (b"CSeq: 1 ", b"CSeq: 1 INVITE\r\nCSeq: 1 "),
                (b"Max-Forwards: 70", b"Max-Forwards: x"), (b"Max-Forwards: 70", b"Route: <sip:\r\nMax-Forwards: 70")):
            invite = scene.alice.request("INVITE", "sip:user@example.com")
            response = scene.refuses(raw(invite, old, new), (400,), [new.split(b":")[0].decode()])
            scene.alice.ack_failure(invite, response)
            scene.settled()
            equal([seen.start for seen in scene.bob.drain()], [], f"what bob got after {new}")


# One call and another

SYNTAX = {  # refused whatever the method
    "no From": lambda data: without(Message.parse(data), "From"),
    "no To": lambda data: without(Message.parse(data), "To"),
    "no CSeq": lambda data: without(Message.parse(data), "CSeq"),
    "CSeq of another method": lambda data: swap(data, b"CSeq: ", b" NOTHING\r\n", keep_number=True),
    "CSeq too large": lambda data: data.replace(b"CSeq: ", b"CSeq: 9999999999"),
    "two CSeq": lambda data: data.replace(b"CSeq: ", b"CSeq: 7 INVITE\r\nCSeq: "),
    "two Call-ID": lambda data: data.replace(b"Call-ID: ", b"Call-ID: x\r\nCall-ID: "),
    "From without end": lambda data: data.replace(b"From: <", b"From: \"a <"),
    "To without end": lambda data: swap(data, b"To: ", b"<sip:bob\r\n"),
    "negative length": lambda data: swap(data, b"Content-Length: ", b"-1\r\n"),
    "length too large": lambda data: swap(data, b"Content-Length: ", b"9999\r\n"),
    "two lengths": lambda data: data.replace(b"Content-Length: ", b"Content-Length: 1\r\nContent-Length: "),
    "version": lambda data: data.replace(b"SIP/2.0\r\n", b"SIP/7.0\r\n", 1),
    "spaces": lambda data: data.replace(b" SIP/2.0\r\n", b"  SIP/2.0\r\n", 1),
    "URI in <>": lambda data: data.replace(b" sip:", b" <sip:", 1).replace(b" SIP/2.0\r\n", b"> SIP/2.0\r\n", 1),
    "cut off": lambda data: data[:data.index(b"Call-ID") + 30],
    "nothing": lambda data: data.split(b"\r\n")[0] + b"\r\n\r\n"}
REFUSED = {  # well-formed, and refused nevertheless
    "scheme": lambda data: data.replace(b" sip:", b" gopher:", 1),
    "Max-Forwards 0": lambda data: data.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"),
    "Max-Forwards x": lambda data: data.replace(b"Max-Forwards: 70", b"Max-Forwards: x"),
    "Proxy-Require": lambda data: data.replace(b"Max-Forwards", b"Proxy-Require: wings\r\nMax-Forwards"),
    "Route": lambda data: data.replace(b"Max-Forwards", b"Route: <sip:\r\nMax-Forwards")}
RESPONSES = {  # dropped, although the branch is right
    "status": lambda data: data.replace(b"SIP/2.0 200", b"SIP/2.0 4294967496", 1),
    "status 699+": lambda data: data.replace(b"SIP/2.0 200", b"SIP/2.0 700", 1),
    "no Via": lambda data: without(Message.parse(data), "Via"),
    "CSeq of another method": SYNTAX["CSeq of another method"],
    "no CSeq": SYNTAX["no CSeq"],
    "CSeq too large": SYNTAX["CSeq too large"],
    "two CSeq": SYNTAX["two CSeq"],
    "length too large": SYNTAX["length too large"],
    "branch": lambda data: data.replace(b"branch=z9hG4bK", b"branch=z9hG4bKx", 1)}


def swap(data, name, value, keep_number=False):
    """The bytes with another value (and line end) behind the first `name`."""
    before, _, after = data.partition(b"\r\n" + name)
    line, _, rest = after.partition(b"\r\n")
    number = line.split(b" ")[0] if keep_number else b""
    return before + b"\r\n" + name + number + value + rest


def bad_requests(request):
    """Every fault, with the Call-ID and branch of this good request, and with either of them alone."""
    data = raw(request, b"Max-Forwards", b"X-Bad: yes\r\nMax-Forwards")
    other_branch = data.replace(request.branch.encode(), b"z9hG4bK" + token().encode())
    other_call = data.replace(request.get("Call-ID").encode(), token().encode())
    for start in (data, other_branch, other_call):
        for method in (request.kind, "ACK", "BYE", "CANCEL"):
            as_method = start.replace(request.kind.encode(), method.encode())
            for fault in SYNTAX.values():
                yield fault(as_method)
    for fault in REFUSED.values():
        yield fault(data.replace(request.branch.encode(), b"z9hG4bK" + token().encode()))


class Line:
    """One of many calls at once: what comes for it is found by its Call-ID among what comes for all."""

    def __init__(self, scene, inboxes):
        self.scene, self.inboxes = scene, inboxes
        self.invite = scene.alice.request("INVITE", "sip:user@example.com")
        self.call_id = self.invite.get("Call-ID")

    def attack(self, request):
        """All the bad requests that go with this good one; read in between, so that no socket's buffer overflows."""
        for number, data in enumerate(bad_requests(request)):
            self.scene.alice.send(data)
            if number % 40 == 39:
                self.collect()
        self.collect()

    def spoil(self, response):
        """All the bad responses that go with this good one of bob's."""
        data = response.encode().replace(b"Content-Length", b"X-Bad: yes\r\nContent-Length")
        for fault in RESPONSES.values():
            self.scene.bob.send(fault(data))
        self.collect()

    def collect(self):
        """Waits until all that was sent has had its effect, and puts that away."""
        self.scene.settled()
        for ua in (self.scene.alice, self.scene.bob):
            for message in ua.drain():
                self.put(ua, message)

    def put(self, ua, message):
        true(not message.get("X-Bad"), f"{ua.name} got {message.raw}")
        self.inboxes[ua.name].setdefault((message.kind, message.get("Call-ID"), message.get("CSeq")), message)

    def wait(self, ua, kind, cseq):
        """The message of this call, of this kind and CSeq; what belongs to others waits for them."""
        inbox = self.inboxes[ua.name]
        while (kind, self.call_id, cseq) not in inbox:
            message = ua.receive(5)
            true(message is not None, f"{ua.name} waits in vain for {kind} ({cseq}) of {self.call_id}")
            self.put(ua, message)
        return inbox[kind, self.call_id, cseq]


@test("50 calls at once, each with every fault on its Call-ID and its branch: all are answered and hung up", limit=240)
def fifty_calls():
    patient = {"timers": {"t1": 500, "t2": 4000}}  # all 50 ring while the faults come in
    with Stage(settings=patient) as scene:
        inboxes = {"alice": {}, "bob": {}}
        lines = [Line(scene, inboxes) for _ in range(50)]
        alice, bob = scene.alice, scene.bob
        for line in lines:
            alice.send(line.invite)
            line.attack(line.invite)
        for line in lines:
            line.seen = line.wait(bob, "INVITE", "1 INVITE")
            bob.answer(line.seen, 180, "Ringing", tag="bob" + line.call_id[:8])
            line.wait(alice, 180, "1 INVITE")
        for line in lines:
            line.attack(line.invite)
            line.spoil(bob.answer(line.seen, 200, "OK", tag="bob" + line.call_id[:8]))
        for line in lines:
            line.dialog = Dialog.of_caller(alice, line.invite, line.wait(alice, 200, "1 INVITE"))
            line.attack(line.invite)
            alice.send(line.dialog.request("ACK"))
            line.wait(bob, "ACK", "1 ACK")
        for line in lines:
            bye = alice.send(line.dialog.request("BYE"))
            line.attack(bye)
            line.spoil(bob.answer(line.wait(bob, "BYE", "2 BYE"), 200, "OK"))
            line.wait(alice, 200, "2 BYE")
        lines[0].collect()
