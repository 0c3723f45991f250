"""A proxy that listens on UDP and TCP, and phones that speak one or the other."""

import contextlib

from harness import FAST_TIMERS, Sipfork, network
from message import parameter, uri_of
from tcpua import TCPUA, Connection
from testing import equal
from ua import UA
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
SLOW = {"timers": {"t1": 2000}}  # 64·T1 is two minutes: what is answered at all was not answered by a timer
SILENCE = 64 * FAST_TIMERS["t1"] / 1000


def listeners(transports, *places):
    """server.listen for these transports at each of these places."""
    return [f"{transport}:{place}" for place in places for transport in transports]


class Scene:
    """A service on UDP and TCP at one address, and alice, who calls. `phone` adds others, each at its own address.

    `alice` is the class of the caller. Settings are merged into those of the harness, with FAST timers where none are
    given; `transports` are those that the service listens on.
    """

    def __init__(self, settings=None, alice=TCPUA, transports=("udp", "tcp")):
        self.prefix = network()
        merged = {"timers": FAST_TIMERS, **(settings or {})}
        merged["server"] = {"listen": listeners(transports, f"{self.prefix}1:5060"), **merged.get("server", {})}
        self.stack = contextlib.ExitStack()
        self.proxy = Sipfork(merged, self.prefix)
        self.caller, self.phones = alice, []

    def __enter__(self):
        try:
            self.stack.enter_context(self.proxy)
            self.alice = self.phone("alice", self.caller, register=False)
        except BaseException as error:
            self.stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def phone(self, name, kind=TCPUA, register=True, contact=None, user=None, port=0, proxy=None):
        """A phone at the next address of the block, registered for its own name or `user`."""
        phone = kind(name, f"{self.prefix}{2 + len(self.phones)}", proxy or self.proxy.address, port=port)
        self.stack.enter_context(phone)
        self.phones.append(phone)
        if register:
            phone.register(contact=contact, user=user)
        return phone

    def settled(self):
        settled(self.proxy, self.phones)

    def counters(self):
        return self.proxy.status()["counters"]

    def more(self, name, before, count=1, timeout=5):
        """Waits until a counter has grown by this much, and not more."""
        eventually(lambda: self.counters()[name] - before[name] >= count, f"{count} more {name}", timeout)
        equal(self.counters()[name] - before[name], count, name)


class Streams(Scene):
    """A scene with alice and bob by TCP and two bystanders by UDP. At its end the bystanders must still be served, by
    the same processes as at its begin.
    """

    def __init__(self, settings=None):
        super().__init__(settings or SLOW)

    def __enter__(self):
        super().__enter__()
        try:
            self.bob = self.phone("bob")
            self.bystanders = self.phone("erin", UA), self.phone("frank", UA)
            self.pids = sorted(self.proxy.descendants())
        except BaseException as error:
            self.stack.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.still_well()
        except BaseException as unwell:
            self.stack.__exit__(type(unwell), unwell, unwell.__traceback__)
            raise
        return self.stack.__exit__(kind, error, trace)

    def still_well(self):
        passes(*self.bystanders)
        equal(sorted(self.proxy.descendants()), self.pids, "pids of the children")

    def connect(self, **more):
        """A connection to the service by itself."""
        return self.stack.enter_context(Connection.to(self.proxy.address, self.alice.address, **more))

    def message(self, body=b"", **more):
        return self.alice.request("MESSAGE", self.bob.aor, body=body, **more)

    def arrives(self, connection, request, body):
        """The MESSAGE that was sent on this connection is at bob's, with this body, and the answer comes back."""
        seen = self.bob.expect("MESSAGE")
        equal(seen.get("Call-ID"), request.get("Call-ID"), "Call-ID")
        equal(seen.body, body, "body")
        self.bob.answer(seen, 200)
        equal(connection.expect(200).get("Call-ID"), request.get("Call-ID"), "Call-ID of the answer")


def settled(proxy, phones):
    """Waits until the proxy has just the connections that these phones have: it has seen the end of all others."""
    ours = sum(each.is_open for phone in phones for each in getattr(phone, "connections", ()))
    eventually(lambda: proxy.status()["connections"] == ours, f"{ours} connections in status")


def transport_of(message):
    """What the topmost Via says that the message came by."""
    return message.values("Via")[0].split()[0].split("/")[2]


def sent_by(proxy, transport):
    """How the proxy's Via begins."""
    return f"SIP/2.0/{transport} {proxy.address[0]}:{proxy.address[1]};"


def uri_transport(value):
    """The transport parameter of the URI in a header value, in small letters; None where there is none."""
    found = parameter(uri_of(value), "transport")
    return found.lower() if found else None


def passes(sender, receiver, uri=None, status=200, **more):
    """A MESSAGE to the receiver's address of record (or `uri`) and its answer; gives it as it arrived."""
    request = sender.send(sender.request("MESSAGE", uri or receiver.aor, **more))
    seen = receiver.expect("MESSAGE")
    receiver.answer(seen, status)
    sender.answer_of(request, status)
    return seen


def serves(connection, ua, **more):
    """An OPTIONS for the proxy itself is answered on this very connection."""
    request = options(ua, **more)
    connection.send(request)
    response = connection.expect(200)
    equal(response.branch, request.branch, "branch of the answer")
    return response


def options(ua, **more):
    """An OPTIONS for the proxy itself."""
    host, port = ua.proxy[:2]
    return ua.request("OPTIONS", f"sip:{f'[{host}]' if ':' in host else host}:{port}", contact=False, **more)


def with_length(request, *lines):
    """The bytes of a request with these lines instead of its Content-Length."""
    head, gap, body = request.encode().partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length:")]
    return b"\r\n".join([*kept, *lines]) + gap + body
