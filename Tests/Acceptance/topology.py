"""The cast of RFC 3665: Alice and Bob, the proxies of atlanta, biloxi and chicago, and the wire between two of them.

The wire is a pair of addresses that the two proxies advertise as theirs: what one sends to the other arrives here, is
looked at, and goes on with the address of the first as its source. So a test sees every hop of a flow, message by
message, and nothing passes before the test has asked for it. A repeated datagram is lost here.

What a proxy must have done to a message at a hop is said by `proxied` (request), `returned` (response), `trying`
(its own 100) and `peers.is_hop_by_hop` (its own ACK and CANCEL).
"""

import contextlib
from itertools import pairwise

from harness import Sipfork
from message import Message, parameter, uri_of
from peers import is_hop_by_hop
from testing import contains, equal, true
from ua import UA, Dialog

ATLANTA, BILOXI, CHICAGO = "atlanta.example.com", "biloxi.example.com", "chicago.example.com"
OURS = (b"via", b"v", b"max-forwards", b"record-route", b"route", b"max-breadth")  # the lines that a proxy may write
SLOW = {"timers": {"t1": 2000}}  # no retransmission comes between the steps of a flow

ALICE = f"Alice <sip:alice@{ATLANTA}>;tag=9fxced76sl"
BOB = f"Bob <sip:bob@{BILOXI}>"
BOB_TAG = "314159"
SDP = [("Content-Type", "application/sdp")]


def sdp(user, version, host, address, port):
    """A body as the RFC's phones send it."""
    return (
        f"v=0\r\no={user} {version} {version} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
        f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n").encode()


ALICE_SDP = sdp("alice", 2890844526, f"client.{ATLANTA}", "192.0.2.101", 49172)
BOB_SDP = sdp("bob", 2890844527, f"client.{BILOXI}", "192.0.2.201", 3456)


def number(domain):
    return {ATLANTA: 1, BILOXI: 2, CHICAGO: 3}[domain]


def service(domain, settings=None, advertise=True):
    """A proxy for one of the RFC's domains that also answers to its own name there; advertised behind a wire."""
    proxy = Sipfork(settings or SLOW)
    proxy.settings["server"]["domains"] = [domain, f"ss{number(domain)}.{domain}"]
    proxy.face = (proxy.prefix + "5", 5060) if advertise else proxy.address
    if advertise:
        proxy.settings["server"]["advertise"] = [f"udp:{proxy.face[0]}:5060"]
    return proxy


def preloaded(near, far):
    """How `near` finds the proxy `far`: the request brings a Route to it."""
    del near
    return [f"<sip:{host_of(far)};lr>"]


def by_table(near, far):
    """How `near`, not yet started, finds the proxy `far`: by a route for its domain. The request brings nothing."""
    near.settings["route"] = [{"domain": far.settings["server"]["domains"][0], "to": [f"sip:{host_of(far)}"]}]
    return []


way_to = preloaded  # the RFC has names for this, which cannot be resolved yet


class Wire:
    """Between two proxies: `east` takes what the first sends to the second, `west` what comes back."""

    def __init__(self, first, second):
        self.first, self.second = first, second
        self.eastward = UA("wire to the east", second.face[0], second.address, port=5060)
        self.westward = UA("wire to the west", first.face[0], first.address, port=5060)
        self.patience = 3.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.eastward.socket.close()
        self.westward.socket.close()

    def east(self, wanted):
        return self.carry(self.eastward, self.westward, self.first, self.second, wanted)

    def west(self, wanted):
        return self.carry(self.westward, self.eastward, self.second, self.first, wanted)

    def carry(self, ear, mouth, sender, receiver, wanted):
        message = ear.expect(wanted, self.patience)
        equal(message.source, sender.address, f"where the {wanted} on the wire comes from")
        mouth.send(message.raw, receiver.address)
        return message


class Chain:
    """Alice – one proxy, or two with a wire between them – Bob, who has registered at the last. `settings` has those of
    a domain's proxy where they are not SLOW; `way` is how the first proxy finds the second.
    """

    def __init__(self, *domains, settings=None, way=None):
        self.stack = contextlib.ExitStack()
        self.domains, self.settings, self.way = domains, settings or {}, way or way_to

    def __enter__(self):
        try:
            enter = self.stack.enter_context
            alone = len(self.domains) == 1
            self.proxies = [service(domain, self.settings.get(domain), not alone) for domain in self.domains]
            self.routes = [f"<sip:ss{number(self.domains[0])}.{self.domains[0]};lr>"]
            for near, far in pairwise(self.proxies):
                self.routes += self.way(near, far)
            for proxy in self.proxies:
                enter(proxy)
            self.wires = [enter(Wire(near, far)) for near, far in pairwise(self.proxies)]
            first, last = self.proxies[0], self.proxies[-1]
            self.alice = enter(UA("alice", first.prefix + "101", first.address, 5060, ATLANTA))
            self.bob = enter(UA("bob", last.prefix + "201", last.address, 5060, self.domains[-1]))
            self.bob.register()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def carry(self, message, west=False, uri=None):
        """Follows a message of ours to the other end, checked at each hop; gives it as it was seen at each. `uri` is
        the Request-URI that the last proxy puts in.
        """
        sides = [(wire.west if west else wire.east) for wire in (reversed(self.wires) if west else self.wires)]
        end = self.alice if west else self.bob
        seen = [message] + [hop(message.kind) for hop in sides] + [end.expect(message.kind)]
        proxies = reversed(self.proxies) if west else self.proxies
        for before, after, proxy in zip(seen, seen[1:], proxies):
            if message.is_response:
                returned(before, after)
            else:
                proxied(before, after, proxy, uri if after is seen[-1] else None)
        return seen

    def call(self, **more):
        """Alice's INVITE all the way, and the 100 of each proxy: gives it as it was seen at each hop."""
        seen = self.carry(self.alice.send(call(self.alice, routes=self.routes, **more)), uri=self.bob.uri)
        for ear, request in zip([self.alice.expect, *(wire.west for wire in self.wires)], seen):
            trying(ear(100), request)
        for before, after, proxy in zip(seen, seen[1:], self.proxies):
            record_routed(before, after, proxy)
        equal(len(seen[-1].values("Via")), 1 + len(self.proxies), "Vias at Bob's")
        equal(seen[-1].get("Max-Forwards"), str(70 - len(self.proxies)), "Max-Forwards at Bob's")
        return seen

    def rings(self, received):
        """Bob's phone rings, and Alice hears it."""
        ringing = self.carry(self.bob.answer(received, 180, "Ringing", tag=BOB_TAG), west=True)[-1]
        equal(ringing.tag(), BOB_TAG, "To tag of the 180")
        equal(ringing.contact(), self.bob.uri, "Contact of the 180")
        equal(ringing.values("Record-Route"), received.values("Record-Route"), "Record-Route of the 180")

    def answers(self, sent, received, body=None, ack_body=b""):
        """Bob takes the call: 200 and ACK from end to end; gives the dialogs of both."""
        ok = self.bob.answer(received, 200, "OK", tag=BOB_TAG, headers=SDP, body=body or BOB_SDP)
        arrived = self.carry(ok, west=True)[-1]
        equal(arrived.values("Record-Route"), received.values("Record-Route"), "Record-Route of the 200")
        outgoing = Dialog.of_caller(self.alice, sent, arrived)
        ack = self.alice.send(outgoing.request("ACK", headers=SDP if ack_body else (), body=ack_body))
        seen = self.carry(ack)[-1]
        equal(seen.uri, self.bob.uri, "Request-URI of the ACK: Bob's Contact")
        equal(seen.values("Route"), [], "Route of the ACK at Bob's")
        equal(seen.cseq, sent.cseq, "CSeq of the ACK")
        return outgoing, Dialog.of_callee(self.bob, received, ok)

    def hangs_up(self, dialog):
        """Bob's BYE along the route back, and Alice's 200 to it."""
        bye = self.bob.send(dialog.request("BYE"))
        equal(bye.cseq, 1, "CSeq: Bob counts his requests by himself")
        seen = self.carry(bye, west=True)[-1]
        equal(seen.uri, self.alice.uri, "Request-URI of the BYE: Alice's Contact")
        equal(seen.values("Route"), [], "Route of the BYE at Alice's")
        self.carry(self.alice.answer(seen, 200, "OK"))
        self.over()

    def refuses(self, seen, status, reason, **more):
        """Bob refuses: back it goes hop by hop, each hop acknowledges it to the one behind, and Alice to the first."""
        answer = self.bob.answer(seen[-1], status, reason, tag=BOB_TAG, **more)
        acknowledged(self.bob.expect("ACK"), seen[-1], answer)
        return self.goes_back(seen, status, answer)

    def goes_back(self, seen, status, answer=None):
        """A failure on its way from the last proxy to Alice: Bob's `answer`, or one that this proxy made."""
        for wire, request in reversed(list(zip(self.wires, seen[1:]))):
            on_wire = wire.west(status)
            if answer:
                returned(answer, on_wire)
            acknowledged(wire.east("ACK"), request, on_wire)
            answer = on_wire
        final = self.alice.expect(status)
        returned(answer, final)
        self.alice.ack_failure(seen[0], final)
        self.over()
        return final

    def over(self, seconds=0.3):
        """Nothing more comes to anybody."""
        self.alice.silent(seconds)
        for ua in (self.bob, *(wire.eastward for wire in self.wires), *(wire.westward for wire in self.wires)):
            ua.silent(0)


def call(ua, branch="z9hG4bK74bf9", uri=None, **more):
    """The INVITE from Alice to Bob with the RFC's headers; her Via has a name, so the way back is in `received`."""
    fields = {
        "to": BOB, "from_": ALICE, "call_id": f"3848276298220188511@{ATLANTA}", "body": ALICE_SDP, "headers": SDP,
        "via": f"SIP/2.0/UDP client.{ATLANTA}:5060;branch={branch}", **more}
    if not fields["body"]:
        fields["headers"] = [pair for pair in fields["headers"] if pair not in SDP]
    return ua.request("INVITE", uri or f"sip:bob@{BILOXI}", **fields)


def parsed(message):
    """A message of ours as its receiver sees it."""
    return message if message.lines is not None else Message.parse(message.encode(), message.source)


def bare(via):
    """A Via value without what its receiver adds (RFC 3261 §18.2.1, RFC 3581)."""
    name, *parameters = via.split(";")
    kept = [part for part in parameters if part.strip().split("=")[0] not in ("received", "rport")]
    return ";".join([name, *kept])


def untouched(message):
    """The lines that a proxy has no business with, in their order, byte by byte."""
    return [line for line in parsed(message).lines if line.split(b":")[0].strip().lower() not in OURS]


def host_of(proxy):
    return f"{proxy.face[0]}:{proxy.face[1]}"


def proxied(before, after, proxy, uri=None):
    """What one hop may do to a request (RFC 3261 §16.6), and nothing else."""
    what = f"{after.kind} behind {proxy.settings['server']['domains'][0]}"
    equal(after.uri, uri or before.uri, f"Request-URI of the {what}")
    top, *below = after.values("Via")
    true(top.startswith(f"SIP/2.0/UDP {host_of(proxy)}"), f"topmost Via of the {what} is the proxy's: {top}")
    true(parameter(top, "branch").startswith("z9hG4bK"), f"branch of the proxy's Via: {top}")
    equal([bare(via) for via in below], [bare(via) for via in before.values("Via")], f"Vias below, {what}")
    if not below[0].split(" ")[1].startswith("127."):
        true(parameter(below[0], "received"), f"received where the Via has a name, {what}: {below[0]}")
    equal(after.values("Max-Forwards"), [str(int(before.get("Max-Forwards")) - 1)], f"Max-Forwards, {what}")
    routes = before.values("Route")
    while routes and ours(routes[0], proxy):
        routes.pop(0)
    equal(after.values("Route"), routes, f"Route of the {what}: what is left when the proxy has taken off its own")
    if after.kind in ("ACK", "BYE"):  # they create no dialog (§16.6 step 4)
        equal(after.values("Record-Route"), before.values("Record-Route"), f"Record-Route of the {what}")
    equal(untouched(after), untouched(before), f"all other lines of the {what}")
    equal(after.body, before.body, f"body of the {what}")


def ours(route, proxy):
    """Whether a Route value names this proxy: by its address or by one of its names."""
    host = uri_of(route).removeprefix("sip:").split(";")[0].split("@")[-1]
    return host in (host_of(proxy), *proxy.settings["server"]["domains"])


def record_routed(before, after, proxy):
    """The proxy's loose-routing Record-Route on top of those that were there, unless it is told to write none."""
    if not proxy.settings["server"].get("record-route", True):
        equal(after.values("Record-Route"), before.values("Record-Route"), "Record-Route")
        return
    top, *below = after.values("Record-Route")
    equal(below, before.values("Record-Route"), "Record-Route values below the proxy's")
    contains(uri_of(top), host_of(proxy), "Record-Route")
    true(";lr" in uri_of(top), f"lr in {top}")


def returned(before, after):
    """A response one hop further up: its topmost Via is gone, and not one byte else has changed (RFC 3261 §16.7)."""
    before = parsed(before)
    equal(after.start, before.start, "status line")
    equal(after.values("Via"), before.values("Via")[1:], f"Via of the {after.kind}")
    lines = [[line for line in message.lines if not line.lower().startswith((b"via:", b"v:"))]
             for message in (after, before)]
    equal(*lines, f"all other lines of the {after.kind}")
    equal(after.body, before.body, f"body of the {after.kind}")


def trying(response, request):
    """A 100 that the next hop sent by itself (RFC 3261 §8.2.6.1)."""
    equal(response.kind, 100, "status")
    equal([bare(via) for via in response.values("Via")], [bare(via) for via in request.values("Via")], "Via of the 100")
    for name in ("From", "To", "Call-ID", "CSeq"):
        equal(response.get(name), request.get(name), f"{name} of the 100")
    equal(response.body, b"", "body of the 100")


def acknowledged(ack, request, response):
    """The ACK to a failure, which the last hop made itself (RFC 3261 §17.1.1.3)."""
    is_hop_by_hop(ack, request)
    equal(ack.get("To"), parsed(response).get("To"), "To of the ACK: that of the response")
    equal(ack.values("Route"), request.values("Route"), "Route of the ACK: that of the INVITE")
    true(int(ack.get("Max-Forwards")) > 0, "Max-Forwards of the ACK")


def cancelled(cancel, request):
    """A CANCEL, which the last hop made itself (RFC 3261 §9.1)."""
    is_hop_by_hop(cancel, request)
    equal(cancel.get("To"), request.get("To"), "To of the CANCEL: that of the INVITE")
    equal(cancel.values("Route"), request.values("Route"), "Route of the CANCEL: that of the INVITE")
    true(int(cancel.get("Max-Forwards")) > 0, "Max-Forwards of the CANCEL")
