"""The hard messages of RFC 4475 and RFC 5118: who sends one, who waits for it, and what must have become of it."""

import contextlib
import re

from harness import FAST_TIMERS, Sipfork, network
from malformed import rejected
from message import Message, parameter, split_list
from testing import contains, equal, true
from ua import UA, token
from waiting import eventually

T1 = FAST_TIMERS["t1"] / 1000
# What a proxy writes itself (RFC 3261 §16.6, RFC 5393 §5.3.3); Via is compared apart.
OURS = {"via", "v", "max-forwards", "max-breadth", "record-route"}


def line_name(line):
    """The name of a raw header line, in small letters."""
    return line.partition(b":")[0].strip().lower().decode("latin-1")


def raw_values(lines, *names):
    """The raw lines of these headers, folding and all."""
    return [line for line in lines if line_name(line) in names]


def joined(lines, name):
    """All values of a header that may be split over lines, or stand folded, as one list."""
    short = {"via": "v"}.get(name, name)
    found = []
    for line in raw_values(lines, name, short):
        value = re.sub(rb"\r\n[ \t]+", b" ", line.partition(b":")[2]).decode("latin-1").strip()
        found += split_list(value)
    return found


def bound(name, address, proxy, port, domain="example.org"):
    """A UA on an address that another run on this machine may use at the moment: None until it is free."""
    try:
        return UA(name, address, proxy, port=port, domain=domain)
    except OSError:
        return None


def port_of(prefix):
    """A port of ::1 for the service of this address block, below those that the system gives out."""
    _, block, number, _ = prefix.split(".")
    return 6100 + (int(block) - 16) * 100 + int(number) % 100


class Stage:
    """A service, alice at the address and port that a message's Via speaks of, and bob, registered for whom it asks.

    `domains` are made ours, for there is no DNS yet; `users` are addresses of record, registered with bob's contact.
    With `six` all of them speak IPv6 on ::1, and `known_as` is the address that the service has to others.
    """

    def __init__(
            self, domains=("example.com",), users=("sip:user@example.com",), port=5060, settings=None, six=False,
            known_as=None):
        merged = {"timers": dict(FAST_TIMERS), "server": {"domains": list(domains)}}
        for section, keys in (settings or {}).items():
            merged.setdefault(section, {}).update(keys)
        prefix = network()
        self.address = (prefix + "1", 5060)
        self.places = prefix + "2", prefix + "3", prefix + "10"
        if six:
            self.address = ("::1", port_of(prefix))
            self.places = "::1", "::1", "::1"
            merged["server"]["listen"] = [f"udp:{prefix}1:5060", f"udp:[::1]:{self.address[1]}"]
            if known_as:
                merged["server"]["advertise"] = [f"udp:{known_as}"]
        host = f"[{self.address[0]}]" if six else self.address[0]
        self.home = known_as or f"{host}:{self.address[1]}"  # as our Via and Record-Route say it
        self.stack = contextlib.ExitStack()
        self.proxy = Sipfork(merged, prefix=prefix)
        self.domain, self.users, self.port = domains[0], users, port

    def __enter__(self):
        try:
            self.stack.enter_context(self.proxy)
            # Others on this machine may have that very port of ::1 or 127.0.0.1 for a while.
            place = self.places[0], self.address, self.port, self.domain
            self.alice = eventually(lambda: bound("alice", *place), f"{place[0]}:{self.port} to be free", 40, 0.2)
            self.stack.enter_context(self.alice)
            self.witness = self.stack.enter_context(UA("witness", self.places[1], self.address))
            self.bob = self.stack.enter_context(UA("bob", self.places[2], self.address, domain=self.domain))
            self.well = f"sip:still.well@{self.domain}"
            for user in (self.well, *self.users):
                register(self.bob, user)
            self.pids = sorted(self.proxy.descendants())
            self.rejected = rejected(self.proxy)
            return self
        except BaseException as error:
            self.stack.__exit__(type(error), error, error.__traceback__)
            raise

    def __exit__(self, kind, error, trace):
        try:
            if error is None:
                self.still_well()
        except BaseException as unwell:
            self.stack.__exit__(type(unwell), unwell, unwell.__traceback__)
            raise
        return self.stack.__exit__(kind, error, trace)

    def still_well(self):
        """No process has been replaced, and a good request is answered by its callee."""
        self.alice.drain()
        self.bob.drain()
        equal(sorted(self.proxy.descendants()), self.pids, "pids of the children")
        request = self.alice.send(self.alice.request("MESSAGE", self.well))
        self.bob.answer(self.bob.expect("MESSAGE", 5), 200)
        self.alice.answer_of(request, 200, 5)

    def refused_more(self, count=1):
        """Waits until the counters of refused input have grown."""
        eventually(lambda: rejected(self.proxy) - self.rejected >= count, f"{count} more in the counters", 3)

    def settled(self):
        """Returns when every worker has surely handled what was sent before, and what that made others do."""
        uri = f"sip:{self.home}"
        for _ in range(2):
            for _ in range(8):  # their Call-IDs choose the worker
                self.witness.send(self.witness.request("OPTIONS", uri))
            for _ in range(8):
                self.witness.expect(200, 5)

    # What may become of a request

    def passes(self, data, routed=False):
        """Sends a request that must be forwarded to bob, in all but what a proxy writes as it was; gives both."""
        sent = Message.parse(data)
        self.alice.send(data)
        seen = self.bob.expect(sent.kind)
        equal(seen.start, f"{sent.kind} {self.bob.uri} SIP/2.0", "start line")
        untouched(sent, seen, but=("route",) if routed else ())
        true(not routed or not seen.values("Route"), f"Route is consumed, not {seen.values('Route')}")
        length = sent.get("Content-Length")
        equal(seen.body, sent.body if length is None else sent.body[:int(length)], "body")
        vias(sent, seen, self.home, self.alice.address)
        hops = sent.get("Max-Forwards")
        wanted = 70 if hops is None else int(hops) - 1  # §16.6 step 3
        equal([int(value) for value in seen.values("Max-Forwards")], [wanted], "Max-Forwards")
        routes = seen.values("Record-Route")
        ours = [value for value in routes if f"sip:{self.home.removesuffix(':5060')}" in value]
        equal(routes[:len(ours)], ours, "our Record-Route, before all others")
        true(len(ours) == 1 or sent.kind != "INVITE", f"our Record-Route, once: {routes}")
        lines = raw_values(seen.lines, "record-route")
        equal(lines[len(ours):], raw_values(sent.lines, "record-route"), "Record-Route of the hops before")
        return sent, seen

    def answered(self, sent, seen, status, reason, headers=(), body=b""):
        """Bob answers; alice must get just that, and after a failure of INVITE her ACK must find the transaction."""
        response = self.bob.answer(seen, status, reason, headers=headers, body=body)
        if sent.kind == "INVITE" and status >= 300:
            ack = self.bob.expect("ACK")
            equal(ack.values("Via"), seen.values("Via")[:1], "Via of the ACK")
        got = self.alice.expect(status, ignore=(100,))
        equal(got.start, f"SIP/2.0 {status} {reason}", "status line")
        equal(got.values("Via"), seen.values("Via")[1:], "Via of the response")
        for name in ("From", "To", "Call-ID", "CSeq", *(name for name, _ in headers)):
            equal(got.get(name), response.get(name), f"{name} of the response")
        equal(got.body, body, "body of the response")
        if sent.kind == "INVITE" and status >= 300:
            self.acknowledge(sent, got)
        return got

    def acknowledge(self, sent, response):
        """ACK as RFC 3261 §17.1.1.3 builds it, from odd values as well; then at most one late 4xx may still come."""
        fields = [("Via", sent.values("Via")[0])]
        fields += [(name, sent.get(name)) for name in ("From", "Call-ID", "Route") if sent.get(name) is not None]
        fields += [("To", response.get("To")), ("CSeq", sent.get("CSeq").split()[0] + " ACK")]
        self.alice.drain()
        self.alice.send(Message(f"ACK {sent.uri} SIP/2.0", [*fields, ("Max-Forwards", "70")], b""))
        late = 0  # without an ACK, Timer G would make it four or more within 18 T1
        while late < 2 and self.alice.receive(18 * T1) is not None:
            late += 1
        true(late < 2, "no more retransmissions after the ACK")

    def refuses(self, data, statuses, words=()):
        """Sends a request that must be refused, and not forwarded: the reason of a 400 must have one of `words`."""
        self.alice.send(data)
        while (response := self.alice.receive(3)) is not None and response.kind == 100:
            pass
        true(response is not None, f"an answer, one of {statuses}")
        true(response.is_response, f"wanted one of {statuses}, received: {response.start}")
        true(response.kind in statuses, f"wanted one of {statuses}, received: {response.start}")
        if response.kind == 400:
            true(any(word.lower() in response.reason.lower() for word in words), f"{words} in {response.reason!r}")
        self.settled()
        equal([message.start for message in self.bob.drain()], [], "what bob received")
        return response


def register(ua, aor, contact=None, headers=()):
    """Registers a contact for any address of record."""
    domain = re.sub(r"[;?].*", "", aor.rpartition("@")[2])
    request = ua.request(
        "REGISTER", f"sip:{domain}", to=f"<{aor}>", from_=f"<{aor}>;tag={token()}", contact=False,
        headers=[("Contact", f"<{contact or ua.uri}>"), *headers])
    return ua.answer_of(ua.send(request), 200)


def fetch(ua, aor):
    """The Contact values that a registrar has for an address of record."""
    domain = re.sub(r"[;?].*", "", aor.rpartition("@")[2])
    request = ua.request(
        "REGISTER", f"sip:{domain}", to=f"<{aor}>", from_=f"<{aor}>;tag={token()}", contact=False)
    return ua.answer_of(ua.send(request), 200).values("Contact")


def untouched(sent, seen, but=()):
    """Every header line that is not the proxy's business arrives byte for byte, in its order."""
    wanted = [line for line in sent.lines if line_name(line) not in OURS | set(but)]
    equal([line for line in seen.lines if line_name(line) not in OURS], wanted, "header lines")


def vias(sent, seen, home, source):
    """Our Via in front; `received` at the sender's (RFC 3261 §18.2.1), all else of it and below as it came."""
    first, second = raw_values(seen.lines, "via", "v")[:2]
    contains(first, home.encode(), "our Via")
    true((seen.branch or "").startswith("z9hG4bK"), f"our branch: {seen.branch}")
    values = joined(seen.lines, "via")
    equal(parameter(values[1], "received"), source, "received at the sender's Via")
    marks = rf"\s*;\s*received\s*=\s*{re.escape(source)}|(;\s*rport)\s*=\s*\d+"
    clean = re.sub(marks.encode(), lambda found: found.group(1) or b"", second)
    others = raw_values(sent.lines, "via", "v")
    equal(clean, others[0], "the sender's Via, but for received and rport")
    equal(raw_values(seen.lines, "via", "v")[2:], others[1:], "Via of the hops before")
