"""Headers and bodies that are no business of a proxy's: they pass, and not one byte of them changes."""

from message import Message
from methods import asked, to_bob
from testing import equal, test, true
from topology import ATLANTA, BILOXI, Chain
from ua import Dialog, token

EVERY_BYTE = bytes(range(256)) + (
    b"\r\n\r\nINVITE sip:not@start.line SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n\r\n" + b"\0" * 9)

# The lines of a message of which a proxy must not change a byte: names that it knows and names that it does not, in
# long and compact form, folded, empty, in any case, with any spacing, in UTF-8.
ODD_LINES = (
    b"Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n"
    b"Privacy: id;critical\r\n"
    b'P-Asserted-Identity: "Cullen Jennings" <sip:fluffy@cisco.com>, <tel:+14085264000>\r\n'
    b"P-Preferred-Identity: <sip:+14085264000@example.com;user=phone>\r\n"
    b"P-Charging-Vector:icid-value=\"AyretyU0dm+6O2IrT5tAFrbHLso=\";orig-ioi=home1.net\r\n"
    b"P-Access-Network-Info: 3GPP-UTRAN-TDD; utran-cell-id-3gpp=234151D0FCE11\r\n"
    b"Diversion: <sip:a@example.com>;reason=unconditional,<sip:b@example.com>;reason=user-busy\r\n"
    b"History-Info: <sip:bob@biloxi.example.com?Reason=SIP%3Bcause%3D302>;index=1.1\r\n"
    b"Identity: \"ZYNBbHC00VMZr2kZt6VmCvPonWJMGvQTBDqghoWeLxJfzB2a1pxAr3VgrB0S\"\r\n"
    b"Identity-Info: <https://example.com/example.cer>;alg=rsa-sha1\r\n"
    b"Subject: first line,\r\n and a second\r\n\t\tand a third\r\n"
    b"s: compact\r\n"
    b"Supported: 100rel, path,outbound , timer\r\n"
    b"k: gruu\r\n"
    b"sUPPORTED:\r\n"
    b"o: presence\r\n"
    b"r: <sip:a@b>\r\n"
    b"b: <sip:c@d>\r\n"
    b"u: presence, message-summary\r\n"
    b"a: *;audio\r\n"
    b"j: *;video\r\n"
    b"d: no-fork\r\n"
    b"y: oYNuK5YrL4s\r\n"
    b"n: <https://example.com/cert>\r\n"
    b"In-Reply-To: 70710@saturn.bell-tel.com, 17320@saturn.bell-tel.com\r\n"
    b"Reply-To: Bob <sip:bob@biloxi.com>\r\n"
    b"Organization  : \xe6\x9d\xb1\xe4\xba\xac  Boxes by Bob \r\n"
    b"User-Agent:\tSoftphone Beta1.5 (\"quoted; (nested)\")\r\n"
    b"Server: HomeServer v2\r\n"
    b"Priority: emergency\r\n"
    b"Accept: application/sdp;level=1, application/x-private, text/html\r\n"
    b"Accept-Language: da, en-gb;q=0.8, en;q=0.7\r\n"
    b"Accept-Contact: *;mobility=\"mobile\";explicit;require\r\n"
    b"Alert-Info: <http://www.example.com/sounds/moo.wav>\r\n"
    b"Call-Info: <http://w.com/alice/photo.jpg> ;purpose=icon, <http://www.example.com/alice/> ;purpose=info\r\n"
    b"Authorization: Digest username=\"Alice\", realm=\"atlanta.com\",\r\n nonce=\"84a4cc6f3082121f32b42a218783\"\r\n"
    b"Geolocation: <cid:target123@atlanta.example.com>\r\n"
    b"Timestamp: 54.2\r\n"
    b"Expires: 300\r\n"
    b"Replaces: 425928@bobster.example.org;to-tag=7743;from-tag=6472\r\n"
    b"Resource-Priority: dsn.flash\r\n"
    b"X-Unknown :   spaces  before and  inside\t tab  \r\n"
    b"x-empty:\r\n"
    b"X-Bytes: \xff\xfe\x80\x01\x7f\r\n"
    b"!%*_+`'~.-: a name of all that a token may have\r\n"
    b"X-Long-" + b"n" * 120 + b": " + b"v" * 900 + b"\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Disposition: session;handling=optional\r\n"
    b"e: identity\r\n"
    b"Content-Language: fr, en\r\n"
    b"c: application/octet-stream;x=\"a;b,c\"\r\n")


def odd_request(chain, method, line=b"%b sip:bob@biloxi.example.com SIP/2.0\r\n"):
    """A request of Alice's in compact forms with all the odd lines and a body of every byte; gives it as parsed."""
    ua = chain.alice
    data = line % method.encode() + (
        f"v:  SIP/2.0/UDP {ua.host}:{ua.port} ;branch=z9hG4bK{token()};rport;odd=\"a,b;c\"\r\n"
        f"Max-Forwards:  70\r\n" + "".join(f"Route: {route}\r\n" for route in chain.routes) +
        f"f: \"A. \\\"Quoted\\\", <Name>\" <{ua.aor}>;unknown=1;tag=x{token()}\r\n"
        f"t:Bob\r\n <sip:bob@{BILOXI};user=phone?x=y>\r\n"
        f"I :{token()}\r\n"
        f"CSEQ:    0007\t{method}\r\n"
        f"m: <{ua.uri}>;q=0.5;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-AABBCCDDEEFF>\"\r\n").encode()
    data += ODD_LINES + b"l :  %d\r\n\r\n" % len(EVERY_BYTE) + EVERY_BYTE
    return Message.parse(ua.send(data))


def odd_answer(ua, request, status):
    """An answer with all the odd lines; what it takes from the request stands in it as it came."""
    names = (b"via", b"v", b"f", b"i", b"cseq", b"record-route")
    taken = [line for line in request.lines if line.split(b":")[0].strip().lower() in names]
    to = next(line for line in request.lines if line.startswith(b"t:")) + b";unknown; tag = b1"
    data = b"SIP/2.0 %d r\xc3\xa9ason  of  \tmine: \r\n" % status + b"\r\n".join([*taken, to]) + b"\r\n"
    data += b"m: <%b>\r\n" % ua.uri.encode() + ODD_LINES + b"l: %d\r\n\r\n" % len(EVERY_BYTE) + EVERY_BYTE
    ua.send(data, request.source)
    return Message.parse(data)


def echo(ua, bye):
    """A 200 with all that was in the request."""
    data = b"SIP/2.0 200 OK\r\n" + b"\r\n".join(bye.lines) + b"\r\n\r\n" + bye.body
    ua.send(data, bye.source)
    return Message.parse(data)


@test("what a proxy does not know passes byte for byte: odd lines, compact, folded, UTF-8, and every byte in the body")
def odd_lines():
    with Chain(ATLANTA, BILOXI) as chain:
        for method, status in (("MESSAGE", 299), ("FROBNICATE", 499), ("SUBSCRIBE", 202), ("PUBLISH", 200)):
            seen = chain.carry(odd_request(chain, method), uri=chain.bob.uri)[-1]
            equal(seen.body, EVERY_BYTE, "body")
            arrived = chain.carry(odd_answer(chain.bob, seen, status), west=True)[-1]
            equal(arrived.body, EVERY_BYTE, "body of the answer")
        chain.over()


@test("the same in INVITE, 183, 200, ACK and BYE")
def odd_call():
    with Chain(ATLANTA, BILOXI) as chain:
        sent = odd_request(chain, "INVITE")
        seen = chain.carry(sent, uri=chain.bob.uri)[-1]
        equal(chain.alice.expect(100).get("CSeq").split(), ["0007", "INVITE"], "CSeq of the 100")
        chain.wires[0].west(100)
        chain.carry(odd_answer(chain.bob, seen, 183), west=True)
        arrived = chain.carry(odd_answer(chain.bob, seen, 200), west=True)[-1]
        outgoing = Dialog.of_caller(chain.alice, sent, arrived)
        for method in ("ACK", "BYE"):
            request = outgoing.request(method, body=EVERY_BYTE)
            data = request.encode().replace(b"Content-Length", ODD_LINES + b"Content-Length", 1)
            seen = chain.carry(Message.parse(chain.alice.send(data)))[-1]
            equal(seen.body, EVERY_BYTE, f"body of the {method}")
        chain.carry(echo(chain.bob, seen), west=True)
        chain.over()


@test("a request without Content-Length (UDP: the body is the rest of the datagram) arrives with its body")
def no_length():
    with Chain(ATLANTA, BILOXI) as chain:
        request = to_bob(chain, "MESSAGE", body=EVERY_BYTE, drop=("Content-Length",))
        equal(request.get("Content-Length"), None, "Content-Length as sent")
        asked(chain, request, uri=chain.bob.uri)


@test("a body of 30,000 bytes in request and answer")
def large_body():
    with Chain(ATLANTA, BILOXI) as chain:
        body = EVERY_BYTE * 90
        true(29000 < len(body) < 32000, f"length of the body: {len(body)}")
        request = to_bob(chain, "MESSAGE", body=body)
        seen = asked(chain, request, uri=chain.bob.uri, body=body)
        true(seen.body == body, "the body at Bob's is Alice's")
