"""IPv6 beside IPv4, over UDP and TCP: listeners, calls between the families, and from which address we answer."""

import contextlib

from calls import run_calls
from hard import port_of
from harness import FAST_TIMERS, Sipfork, network
from message import parameter, uri_of
from namespace import loopback_with
from peers import accept_cancel, establish, hang_up
from scene import SLOW, listeners, options, passes, settled, transport_of, uri_transport
from tcpua import TCPUA, Connection
from testing import contains, equal, test, true
from ua import UA, Dialog, token

BOTH = ("udp", "tcp")
INSIDE = {"access": {"relay-from": ["192.0.2.0/24"]}}  # nobody of a test


class House:
    """A service at an IPv4 and an IPv6 address, one port, by UDP and TCP; `wildcard` listens on all addresses of the
    machine instead. `four` and `six` are where it is reached.
    """

    def __init__(self, settings=None, wildcard=False, transports=BOTH, families=(4, 6), **server):
        self.prefix = network()
        self.port = port_of(self.prefix)
        self.four, self.six = (self.prefix + "1", self.port), ("::1", self.port)
        places = {4: "0.0.0.0" if wildcard else self.four[0], 6: "[::]" if wildcard else "[::1]"}
        listen = listeners(transports, *(f"{places[family]}:{self.port}" for family in families))
        self.proxy = Sipfork({**(settings or SLOW), "server": {"listen": listen, **server}}, self.prefix)
        self.proxy.address = self.four
        self.stack, self.phones = contextlib.ExitStack(), []

    def __enter__(self):
        self.stack.enter_context(self.proxy)
        return self

    def __exit__(self, *error):
        return self.stack.__exit__(*error)

    def phone(self, name, kind=UA, six=True, register=True, address=None, proxy=None):
        address = address or ("::1" if six else f"{self.prefix}{2 + len(self.phones)}")
        phone = self.stack.enter_context(kind(name, address, proxy or (self.six if six else self.four)))
        self.phones.append(phone)
        if register:
            phone.register()
        return phone

    def known(self, phone):
        """How the service is called on this phone's side."""
        return f"[::1]:{self.port}" if ":" in phone.address else f"{self.four[0]}:{self.port}"


def side(phone):
    return ("IPv6" if ":" in phone.address else "IPv4") + "/" + phone.transport


def record_routes(house, seen, caller, callee):
    """One entry for each side where family or transport differ, the callee's on top (RFC 5658); else one."""
    routes = seen.values("Record-Route")
    wanted = [callee] if side(caller) == side(callee) else [callee, caller]
    equal(len(routes), len(wanted), f"entries from {side(caller)} to {side(callee)}: {routes}")
    for route, phone in zip(routes, wanted):
        contains(route, f"<sip:{house.known(phone)};", f"our address for {side(phone)}")
        wanted_transport = ("tcp",) if phone.transport == "TCP" else (None, "udp")
        true(uri_transport(route) in wanted_transport, f"transport for {side(phone)}: {route}")


SIDES = [(UA, True), (UA, False), (TCPUA, True), (TCPUA, False)]


@test("calls between IPv6 and IPv4, UDP and TCP, each with each: Via, Record-Route, and requests of both sides")
def each_with_each():
    with House({**SLOW, **INSIDE}) as house:
        phones = [house.phone(f"phone{number}", *kind) for number, kind in enumerate(SIDES)]
        callers = [house.phone("alice", *kind, register=False) for kind in SIDES]
        for alice in callers:
            for bob in phones:
                invite = alice.invite(bob.name)
                seen = bob.expect("INVITE")
                our, theirs = seen.values("Via")
                contains(our, f"SIP/2.0/{bob.transport} {house.known(bob)};", f"our Via to {side(bob)}")
                equal(parameter(theirs, "received"), alice.address, "received, an IPv6 one without brackets")
                equal(seen.uri, bob.uri, "Request-URI")
                equal(seen.contact(), alice.uri, "Contact")
                record_routes(house, seen, alice, bob)
                bob.answer(seen, 180)
                alice.answer_of(invite, 180)
                ok = bob.answer(seen, 200)
                response = alice.answer_of(invite, 200)
                sides = Dialog.of_caller(alice, invite, response), Dialog.of_callee(bob, seen, ok)
                alice.send(sides[0].request("ACK"))
                equal(bob.expect("ACK").values("Route"), [], "Route of the ACK")
                for first, second in (sides, sides[::-1]):
                    request = first.ua.send(first.request("INFO"))
                    at_other = second.ua.expect("INFO")
                    equal(at_other.values("Route"), [], f"Route of the INFO from {side(first.ua)}")
                    contains(at_other.values("Via")[0], house.known(second.ua), "our Via")
                    second.ua.answer(at_other, 200)
                    first.ua.answer_of(request, 200)
                hang_up(*sides[::-1])


@test("CANCEL and a failure between the families")
def cancelled():
    with House() as house:
        pairs = [((UA, True), (TCPUA, False)), ((TCPUA, False), (UA, True)), ((TCPUA, True), (UA, False))]
        for caller, callee in pairs:
            alice, bob = house.phone("alice", *caller, register=False), house.phone("bob", *callee)
            invite = alice.invite("bob")
            seen = bob.expect("INVITE")
            bob.answer(seen, 180)
            alice.answer_of(invite, 180)
            alice.answer_of(alice.cancel(invite), 200)
            accept_cancel(bob, seen)
            alice.ack_failure(invite, alice.answer_of(invite, 487))
            bob.register(expires=0, cseq=2)


@test("received and rport for a Via with a name, another address or another port, by UDP and TCP")
def received():
    with House() as house:
        bob = house.phone("bob")
        for kind in (UA, TCPUA):
            alice = house.phone("alice", kind, register=False)
            for sent_by in ("host.invalid", "[2001:db8::9]:5999", "192.0.2.1:5060", "[::1]:1"):
                via = f"SIP/2.0/{alice.transport} {sent_by};rport;branch=z9hG4bK{token()}"
                request = alice.send(alice.request("MESSAGE", bob.aor, via=via))
                seen = bob.expect("MESSAGE")
                below = seen.values("Via")[1]
                equal(parameter(below, "received"), "::1", f"received in {below}")  # RFC 3581 §4: with rport, always
                port = alice.port if kind is UA else alice.opened[0].own[1]
                equal(parameter(below, "rport"), str(port), f"rport in {below}")
                true(below.startswith(f"SIP/2.0/{alice.transport} {sent_by};"), f"sent-by in {below}")
                bob.answer(seen, 200)
                alice.answer_of(request, 200)


@test("by TCP and IPv6 an answer whose connection has ended goes to the bracketed sent-by, by a new one")
def new_connection():
    with House() as house:
        alice, bob = house.phone("alice", TCPUA, register=False), house.phone("bob", TCPUA)
        for host in ("[::1]", "[0:0:0:0:0:0:0:1]", "host.invalid", "[2001:db8::1]"):
            via = f"SIP/2.0/TCP {host}:{alice.port};branch=z9hG4bK{token()}"
            connection = alice.connect()
            request = alice.send(alice.request("MESSAGE", bob.aor, via=via), connection)
            seen = bob.expect("MESSAGE")
            connection.reset()
            settled(house.proxy, house.phones)
            bob.answer(seen, 200)
            true(alice.answer_of(request, 200).source in alice.accepted, "the answer came on a new connection")


# Listeners

@test("one port for IPv4 and IPv6 by UDP and TCP, on all addresses: each peer is seen in its own family")
def dual():
    with House(wildcard=True) as house:
        for kind, six in SIDES:
            alice = house.phone("alice", kind, six, register=False)
            bob = house.phone("bob", kind, six)
            seen = passes(alice, bob)
            equal(parameter(seen.values("Via")[1], "received"), alice.address, f"received of {side(alice)}")
            true("ffff" not in seen.raw.decode().lower().partition("\r\nfrom:")[0], f"no mapped address: {seen.start}")
            alice.answer_of(alice.send(alice.request("OPTIONS", f"sip:{alice.domain}")), 200)


@test("on a wildcard every address of the machine is ours: OPTIONS and REGISTER by the address that was asked")
def wildcard_is_ours():
    with House(wildcard=True) as house:
        for kind, six in SIDES:
            for asked in ((house.six,) if six else (house.four, (house.prefix + "9", house.port))):
                alice = house.phone("alice", kind, six, register=False, proxy=asked)
                alice.answer_of(alice.send(options(alice)), 200)
                alice.domain = f"{'[::1]' if six else asked[0]}:{house.port}"
                alice.register()
                passes(alice, alice, f"sip:alice@{alice.domain}")


@test("listening on [::] alone serves no IPv4 (IPV6_V6ONLY); contacts of IPv4 are not reached then: 500, or the next")
def six_only():
    with House({**SLOW, "forking": {"order": "q-value"}}, wildcard=True, families=(6,)) as house:
        alice, bob = house.phone("alice"), house.phone("bob")
        four = house.phone("four", UA, six=False, register=False)
        four.send(options(four))
        four.silent(0.2)
        try:
            Connection.to(house.four, timeout=2).close()
            true(False, "TCP by IPv4 is refused")
        except ConnectionRefusedError:
            pass
        for transport in ("", ";transport=tcp"):
            contact = f"<sip:x@{four.host}:{four.port}{transport}>"
            alice.register(user="x", contact=contact)
            request = alice.send(alice.request("MESSAGE", "sip:x@example.org"))
            alice.answer_of(request, 500)
            alice.register(user="bob", contact=contact + ";q=1.0")
            bob.register(contact=f"<{bob.uri}>;q=0.1")
            passes(alice, bob)
        four.silent(0.1)


@test("on a wildcard the answer leaves from the address that was asked, for UDP as for TCP")
def asked_address():
    with House(wildcard=True) as house:
        bob = house.phone("bob", UA, six=False)
        for last in ("1", "7", "9", "200"):
            asked = (house.prefix + last, house.port)
            alice = house.phone("alice", UA, six=False, register=False, proxy=asked)
            speaks_from(asked, alice, bob)
            by_stream = house.phone("alice", TCPUA, six=False, register=False, proxy=asked)
            passes(by_stream, bob)


def speaks_from(asked, alice, bob):
    """All that the proxy says to alice comes from the address that she has asked: its own answers, bob's, and what
    comes later.
    """
    def same(response):
        equal(response.source[:2], asked, f"where the {response.kind} came from")
        return response

    same(alice.answer_of(alice.send(alice.request("OPTIONS", f"sip:{alice.domain}")), 200))
    same(alice.answer_of(alice.send(alice.request("MESSAGE", "sip:nobody@example.org")), 480))
    invite = alice.invite(bob.name)
    seen = bob.expect("INVITE")
    same(alice.expect(100))  # 200 ms later, by a timer
    bob.answer(seen, 180)
    same(alice.answer_of(invite, 180))
    same(alice.answer_of(alice.cancel(invite), 200))
    accept_cancel(bob, seen)
    response = same(alice.answer_of(invite, 487))
    alice.ack_failure(invite, response)
    alice.register(user="other")
    same(alice.answer_of(alice.send(alice.request("MESSAGE", "sip:nobody@example.org")), 480))


@test("the same for IPv6, with three addresses on the loopback")
def asked_six():
    with loopback_with("2001:db8::1", "2001:db8::2", "2001:db8::3") as there:
        if not there:
            return print("          skipped: no network namespace here")
        with House(wildcard=True) as house:
            bob = house.phone("bob", address="2001:db8::3")
            for address in ("2001:db8::1", "2001:db8::2", "::1", "2001:db8::3"):
                asked = (address, house.port)
                alice = house.phone("alice", address="2001:db8::2", register=False, proxy=asked)
                speaks_from(asked, alice, bob)
                by_stream = house.phone("alice", TCPUA, address="2001:db8::1", register=False, proxy=asked)
                passes(by_stream, bob)


@test("on a wildcard without advertise a call has Vias and Routes that lead back to us")
def wildcard_routes():
    with loopback_with("2001:db8::1", "2001:db8::2") as there:
        if not there:
            return print("          skipped: no network namespace here")
        with House({**SLOW, **INSIDE}, wildcard=True) as house:
            asked = ("2001:db8::1", house.port)
            alice = house.phone("alice", address="2001:db8::2", register=False, proxy=asked)
            for bob in (house.phone("bob", address="2001:db8::2"), house.phone("carol", TCPUA, six=False)):
                sides = establish(alice, bob, bob.name)
                for first, second in (sides, sides[::-1]):
                    request = first.request("INFO")
                    host, _, port = uri_of(first.routes[0]).partition(";")[0].removeprefix("sip:").rpartition(":")
                    first.ua.send(request, (host.strip("[]"), int(port)))
                    second.ua.answer(second.ua.expect("INFO"), 200)
                    first.ua.answer_of(request, 200)
                hang_up(*sides)


# What others are told

@test("advertise: Via and Record-Route of either family say it, by UDP and TCP, and Routes with it are ours")
def advertised():
    told = {True: "[2001:db8::10]", False: "203.0.113.5"}
    with House({**SLOW, **INSIDE}, advertise=listeners(BOTH, "203.0.113.5:5070", "[2001:db8::10]:5070")) as house:
        phones = [house.phone(f"phone{number}", *kind) for number, kind in enumerate(SIDES)]
        callers = [house.phone("alice", *kind, register=False) for kind in SIDES]
        for alice in callers:
            for (_, six), bob in zip(SIDES, phones):
                invite = alice.invite(bob.name)
                seen = bob.expect("INVITE")
                contains(seen.values("Via")[0], f"SIP/2.0/{bob.transport} {told[six]}:5070;", "our Via")
                routes = seen.values("Record-Route")
                contains(routes[0], f"<sip:{told[six]}:5070;", "our Record-Route for the callee")
                contains(routes[-1], f"<sip:{told[':' in alice.address]}:5070;", "our Record-Route for the caller")
                sides = establish_from(alice, bob, invite, seen)
                hang_up(*sides)
                hang_up(*establish(alice, bob, bob.name)[::-1])


def establish_from(alice, bob, invite, seen):
    ok = bob.answer(seen, 200)
    response = alice.answer_of(invite, 200)
    outgoing = Dialog.of_caller(alice, invite, response)
    alice.send(outgoing.request("ACK"))
    bob.expect("ACK")
    return outgoing, Dialog.of_callee(bob, seen, ok)


@test("a large request by IPv6 takes TCP, and falls back to UDP where nobody listens")
def by_size():
    with House() as house:
        alice, udp = house.phone("alice", register=False), house.phone("bob")
        with TCPUA("bob", "::1", house.six, port=udp.port) as tcp:
            equal(transport_of(passes(alice, tcp, body=b"x" * 3000)), "TCP", "transport")
            equal(transport_of(passes(alice, udp, body=b"x" * 100)), "UDP", "transport of a small one")
        for _ in range(2):
            equal(transport_of(passes(alice, udp, body=b"x" * 3000)), "UDP", "transport, with UDP alone")


@test("sipp over IPv6: 200 calls by UDP, 200 by TCP, 100 from IPv6 to IPv4 and 100 back", limit=120)
def sipp():
    with loopback_with() as there:
        if not there:
            return print("          skipped: no network namespace here")
        with House({"timers": FAST_TIMERS}) as house:
            four = house.prefix + "50", house.prefix + "51"
            for count, caller, callee, hosts, remote in (
                    (200, "u1", "u1", ("::1", "::1"), house.six), (200, "t1", "t1", ("::1", "::1"), house.six),
                    (100, "u1", "t1", ("::1", four[1]), house.six), (100, "t1", "u1", (four[0], "::1"), house.four)):
                run_calls(house.proxy, count, 100, 30, caller, callee, hosts, remote)
