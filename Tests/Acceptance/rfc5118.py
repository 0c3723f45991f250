"""RFC 5118: the torture messages for IPv6 go through a service on ::1, to and from user agents on ::1.

The messages are those of the RFC, but for Content-Length of 4.6, 4.8 and 4.9, which the printed text has wrong. The
addresses of its documentation network are reached by what the service is known as to others (server.advertise). After
them, what the RFC is about in general: one address has many texts, and they are all the same (RFC 5954 §4).
"""

from hard import Stage, fetch, register
from message import Message, parameter, uri_of
from peers import establish, hang_up
from testing import equal, test, true
from ua import UA

HERE = "[2001:db8::10]:5060"
USER = "sip:user@[2001:db8::10]"
CALL_ID = "SSG9559905523997077@hlau_4100"
MEDIA = [
    "m=audio 6000 RTP/AVP 2", "a=rtpmap:2 G726-32/8000", "m=video 6024 RTP/AVP 107", "a=rtpmap:107 H263-1998/90000"]


def lines(*rows, body=()):
    """A message from its lines; its Content-Length is that of the body."""
    content = "".join(row + "\r\n" for row in body).encode()
    return "".join(row + "\r\n" for row in (*rows, f"Content-Length: {len(content)}", "")).encode() + content


def registration(uri):
    """The REGISTER of sections 4.1 to 4.4, which differ in the Request-URI."""
    return lines(
        f"REGISTER {uri} SIP/2.0", "To: sip:user@example.com", "From: sip:user@example.com;tag=81x2",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111", f"Call-ID: {CALL_ID}", "Max-Forwards: 70",
        'Contact: "Caller" <sip:caller@[2001:db8::1]>', "CSeq: 98176 REGISTER")


def registers(uri, known_as):
    """The REGISTER is accepted where this is our address; the answer comes to where it was sent from (§18.2.2)."""
    with Stage(six=True, known_as=known_as, users=[]) as scene:
        scene.alice.send(registration(uri))
        response = scene.alice.expect(200)
        equal([uri_of(value) for value in response.values("Contact")], ["sip:caller@[2001:db8::1]"], "Contact")
        received_once(response, "SIP/2.0/UDP [2001:db8::9:1]", "z9hG4bKas3-111")


def received_once(response, sent_by, branch):
    """The top Via of the answer: sent-by as it was, and `received`, once, with what the source is, not in brackets."""
    via = response.values("Via")[0]
    equal(via.split(";")[0], sent_by, "sent-by")
    equal(parameter(via, "branch"), branch, "branch")
    equal([part.strip() for part in via.split(";") if "received" in part], ["received=::1"], f"received in {via}")


def passes(data, users, status=200, reason="OK", six=True, **stage):
    """Forwarded as it is to bob, answered by him, and the answer arrives."""
    with Stage(users=users, six=six, **stage) as scene:
        sent, seen = scene.passes(data)
        scene.answered(sent, seen, status, reason)


@test("RFC 5118 4.1: IPv6 references in Request-URI, Via and Contact")
def reference():
    registers("sip:[2001:db8::10]", HERE)


@test("RFC 5118 4.2: an IPv6 address without brackets in the Request-URI: 400")
def no_reference():
    with Stage(six=True, known_as=HERE, users=[]) as scene:
        scene.refuses(registration("sip:2001:db8::10"), (400,), ("Request-URI",))
        equal(fetch(scene.bob, "sip:user@example.com"), [], "contacts")


@test("RFC 5118 4.3: what looks like a port inside the brackets belongs to the address")
def port_inside():
    registers("sip:[2001:db8::10:5070]", "[2001:db8::10:5070]:5060")
    closed = {"access": {"relay-from": ["192.0.2.0/24"]}}
    with Stage(six=True, known_as="[2001:db8::10]:5070", users=[], settings=closed) as scene:
        scene.refuses(registration("sip:[2001:db8::10:5070]"), (403, 404))
        equal(fetch(scene.bob, "sip:user@example.com"), [], "contacts")


@test("RFC 5118 4.4: a port behind the brackets is one")
def port_outside():
    registers("sip:[2001:db8::10]:5070", "[2001:db8::10]:5070")


@test("RFC 5118 4.5: received in the sender's Via, in brackets: accepted, and replaced by where it came from")
def received_in_brackets():
    with Stage(six=True, known_as=HERE) as scene:
        scene.alice.send(lines(
            "BYE sip:[2001:db8::10] SIP/2.0", "To: sip:user@example.com;tag=bd76ya",
            "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111",
            f"Call-ID: {CALL_ID}", "Max-Forwards: 70", "CSeq: 321 BYE"))
        response = scene.alice.receive(3)
        true(response is not None and response.is_response, f"an answer, not {response and response.start}")
        # There is no dialog here: any refusal but that of a syntax error is right.
        true(response.kind in (404, 405, 480, 481, 501), f"status: {response.start}")
        received_once(response, "SIP/2.0/UDP [2001:db8::9:1]", "z9hG4bKas3-111")


@test("RFC 5118 4.5: received in the sender's Via, without brackets")
def received_bare():
    with Stage(six=True, known_as=HERE) as scene:
        scene.alice.send(lines(
            "OPTIONS sip:[2001:db8::10] SIP/2.0", "To: sip:user@example.com", "From: sip:user@example.com;tag=81x2",
            "Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
            "Call-ID: SSG95523997077@hlau_4100", "Max-Forwards: 70",
            'Contact: "Caller" <sip:caller@[2001:db8::9:1]>', "CSeq: 921 OPTIONS"))
        received_once(scene.alice.expect(200), "SIP/2.0/UDP [2001:db8::9:1]", "z9hG4bKas3")


@test("RFC 5118 4.6: IPv6 addresses in SDP")
def session():
    passes(lines(
        f"INVITE {USER} SIP/2.0", f"To: {USER}", "From: sip:user@example.com;tag=81x2",
        "Via: SIP/2.0/UDP [2001:db8::20];branch=z9hG4bKas3-111", f"Call-ID: {CALL_ID}",
        'Contact: "Caller" <sip:caller@[2001:db8::20]>', "CSeq: 8612 INVITE", "Max-Forwards: 70",
        "Content-Type: application/sdp", body=[
            "v=0", "o=assistant 971731711378798081 0 IN IP6 2001:db8::20", "s=Live video feed for today's meeting",
            "c=IN IP6 2001:db8::20", "t=3338481189 3370017201", *MEDIA]),
        [USER], 486, "Busy Here", known_as=HERE)


@test("RFC 5118 4.7: IPv4 and IPv6 in one list of Vias")
def mixed_vias():
    passes(lines(
        "BYE sip:user@host.example.net SIP/2.0", "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144",
        "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200", "Call-ID: 997077@lau_4100",
        "Max-Forwards: 70", "CSeq: 89187 BYE", "To: sip:user@example.net;tag=9817--94",
        "From: sip:user@example.com;tag=81x2"),
        ["sip:user@host.example.net"], domains=["host.example.net"], port=6050)


@test("RFC 5118 4.8: IPv4 and IPv6 in one SDP")
def mixed_session():
    passes(lines(
        f"INVITE {USER} SIP/2.0", f"To: {USER}", "From: sip:user@example.com;tag=81x2",
        "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111", f"Call-ID: {CALL_ID}",
        'Contact: "Caller" <sip:caller@[2001:db8::9:1]>', "Max-Forwards: 70", "CSeq: 8912 INVITE",
        "Content-Type: application/sdp", body=[
            "v=0", "o=bob 280744730 28977631 IN IP4 host.example.com", "s=", "t=0 0", "m=audio 22334 RTP/AVP 0",
            "c=IN IP4 192.0.2.1", "m=video 6024 RTP/AVP 107", "c=IN IP6 2001:db8::1", MEDIA[3]]),
        [USER], 486, "Busy Here", known_as=HERE)


def mapped(six):
    passes(lines(
        "INVITE sip:user@example.com SIP/2.0", "To: sip:user@example.com", "From: sip:user@east.example.com;tag=81x2",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
        "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111", f"Call-ID: {CALL_ID}",
        'Contact: "T. desk phone" <sip:ted@[::ffff:192.0.2.2]>', "CSeq: 612 INVITE", "Max-Forwards: 70",
        "Content-Type: application/sdp", body=[
            "v=0", "o=assistant 971731711378798081 0 IN IP6 ::ffff:192.0.2.2", "s=Call me soon, please!",
            "c=IN IP6 ::ffff:192.0.2.2", "t=3338481189 3370017201", *MEDIA]),
        ["sip:user@example.com"], 486, "Busy Here", six=six, port=19823)


@test("RFC 5118 4.9: IPv4 addresses in the form of IPv6, by IPv6 and by IPv4")
def mapped_addresses():
    mapped(six=True)
    mapped(six=False)


def options(host):
    return lines(
        f"OPTIONS sip:user@{host} SIP/2.0", f"To: sip:user@{host}", "From: sip:user@example.com;tag=810x2",
        "Via: SIP/2.0/UDP lab1.east.example.com;branch=z9hG4bKas3-111", "Call-ID: G9559905523997077@hlau_4100",
        "CSeq: 689 OPTIONS", "Max-Forwards: 70")


@test("RFC 5118 4.10: the third colon that RFC 3261's grammar allows before an IPv4 part is tolerated")
def three_colons():
    passes(options("[2001:db8:::192.0.2.1]"), ["sip:user@[2001:db8::c000:201]"], known_as="[2001:db8::c000:201]:5060")


@test("RFC 5118 4.10: two colons before an IPv4 part, the right form")
def two_colons():
    passes(options("[2001:db8::192.0.2.1]"), ["sip:user@[2001:db8::c000:201]"], known_as="[2001:db8::c000:201]:5060")


@test("RFC 5954: all texts of an IPv6 address are the same domain, and the same contact")
def one_address():
    texts = ["2001:db8::10", "2001:DB8::10", "2001:0db8:0:0:0:0:0:0010", "2001:db8:0::0.0.0.16"]
    with Stage(six=True, known_as=HERE, users=["sip:user@[2001:DB8:0::10]"]) as scene:
        for text in texts:
            request = scene.alice.send(scene.alice.request("OPTIONS", f"sip:user@[{text}]"))
            seen = scene.bob.expect("OPTIONS")
            equal(seen.uri, scene.bob.uri, f"Request-URI for [{text}]")
            scene.bob.answer(seen, 200)
            scene.alice.answer_of(request, 200)
        for host in ("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0.0.0.1]"):
            register(scene.bob, "sip:carol@example.com", f"sip:carol@{host}:{scene.bob.port}")
        equal(len(fetch(scene.bob, "sip:carol@example.com")), 1, "contacts of carol")


@test("a call by IPv6: set up, acknowledged and hung up along Record-Route")
def whole_call():
    with Stage(six=True, users=["sip:bob@example.com"]) as scene:
        hang_up(*establish(scene.alice, scene.bob))
        first, second = establish(scene.alice, scene.bob)
        hang_up(second, first)


@test("a call from IPv4 to IPv6, and one back: each side sees a Via and a route of its family")
def between_families():
    with Stage(six=True, users=["sip:bob@example.com"]) as scene:
        proxy = (scene.proxy.prefix + "1", 5060)
        with UA("dave", scene.proxy.prefix + "20", proxy, domain="example.com") as dave:
            dave.register()
            invite = dave.invite("bob")
            seen = scene.bob.expect("INVITE")
            true(f"UDP {scene.home}" in seen.values("Via")[0], f"our Via is one of IPv6: {seen.values('Via')}")
            equal(parameter(seen.values("Via")[1], "received"), dave.address, "received")
            scene.bob.answer(seen, 486)
            scene.bob.expect("ACK")
            dave.ack_failure(invite, dave.answer_of(invite, 486))
            hang_up(*establish(dave, scene.bob))
            first, second = establish(scene.bob, dave, "dave")
            hang_up(second, first)


@test("a contact in the form of an IPv4 address in IPv6 is reached by IPv4, or refused, and harms nobody")
def mapped_contact():
    with Stage(six=True, users=[]) as scene:
        with UA("dave", scene.proxy.prefix + "20", (scene.proxy.prefix + "1", 5060), domain="example.com") as dave:
            register(scene.bob, "sip:dave@example.com", f"sip:dave@[::ffff:{dave.host}]:{dave.port}")
            invite = scene.alice.invite("dave")
            seen = dave.receive(1)
            if seen is not None:
                dave.answer(seen, 486)
                equal(dave.expect("ACK").get("Call-ID"), invite.get("Call-ID"), "Call-ID of the ACK")
            response = scene.alice.expect_final(invite, 8, passing=True)
            true(response.kind == 486 if seen else 400 <= response.kind < 600, f"answer: {response.start}")
            scene.alice.ack_failure(invite, response)
