"""[[route]]: requests that leave for next hops of the operator's choice: which, who may, and what if a hop fails."""

import contextlib
import os
import select
import signal
import time

from harness import DOMAIN, FAST_TIMERS, Sipfork, network
from message import uri_of
from peers import accept_cancel, establish, hang_up, refuse
from testing import equal, test, true
from ua import UA, Dialog

SILENCE = 64 * FAST_TIMERS["t1"] / 1000  # until a hop that says nothing is given up
LONG = 3600  # a dead time that ends in no test


class Stage:
    """A proxy with routes, the hops that they lead to, and alice. In the routes given, `to` holds numbers of hops
    (or URIs, as they are); hop n has an address of its own, port 5060 but for hop 1, which listens on 5080.
    """

    def __init__(self, *routes, hops=2, **sections):
        self.prefix = network()
        self.hosts = [f"{self.prefix}{30 + n}" for n in range(hops)]
        self.ports = [5080 if n == 1 else 5060 for n in range(hops)]
        uris = [f"sip:{host}" + (f":{port}" if port != 5060 else "") for host, port in zip(self.hosts, self.ports)]
        tables = [{**route, "to": [uris[to] if isinstance(to, int) else to for to in route["to"]]} for route in routes]
        self.settings = {"timers": FAST_TIMERS, **sections, "route": tables}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.proxy = self.stack.enter_context(Sipfork(self.settings, self.prefix))
            self.alice = self.phone("alice", 2)
            self.hops = [
                self.stack.enter_context(UA(f"gw{n}", host, self.proxy.address, port))
                for n, (host, port) in enumerate(zip(self.hosts, self.ports))]
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *error):
        # The proxy is the last to leave, and checks its clean stop only where the test has passed.
        return self.stack.__exit__(*error)

    def phone(self, name, number):
        return self.stack.enter_context(UA(name, f"{self.prefix}{number}", self.proxy.address))

    def taken(self, request, timeout=3.0):
        """The number of the hop that gets this request first, and what it got."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for ready in select.select([hop.socket for hop in self.hops], [], [], left)[0]:
                number = [hop.socket for hop in self.hops].index(ready)
                message = self.hops[number].receive(0, again=False)
                if message is not None and message.get("Call-ID") == request.get("Call-ID"):
                    equal(message.kind, request.kind, f"what hop {number} got")
                    return number, message
        raise AssertionError(f"waited {timeout:g} s in vain for a hop to get {request.start}")

    def passes(self, uri, hop=0, method="MESSAGE", ua=None, **more):
        """A request goes to that hop, untouched where it must be, and its answer comes back."""
        ua = ua or self.alice
        request = ua.send(ua.request(method, uri, **more))
        number, seen = self.taken(request)
        equal(number, hop, f"the hop that got {request.start}")
        equal(seen.uri, uri, "Request-URI at the hop")
        equal(seen.values("Route"), [], "Route at the hop")
        self.hops[hop].answer(seen, 200)
        ua.answer_of(request, 200)
        return seen

    def stays(self, uri, status=480, method="MESSAGE", ua=None, **more):
        """A request is answered by the proxy itself, and no hop hears of it."""
        ua = ua or self.alice
        request = ua.send(ua.request(method, uri, **more))
        response = ua.answer_of(request, status)
        if method == "INVITE":
            ua.ack_failure(request, response)
        self.quiet()

    def quiet(self, seconds=0.05, *numbers):
        """Nothing new comes to these hops, or to any."""
        for number in numbers or range(len(self.hops)):
            self.hops[number].silent(seconds)

    def fails(self, uri=f"sip:+1@{DOMAIN}", *numbers):
        """A request for which hops, in this order, answer 503; gives it."""
        request = self.alice.send(self.alice.request("MESSAGE", uri))
        for number in numbers:
            found, seen = self.taken(request)
            equal(found, number, "the hop that is asked")
            self.hops[number].answer(seen, 503)
        return request


def number(user="+4930123456", domain=DOMAIN):
    return f"sip:{user}@{domain}"


# Which requests


@test("user: a pattern takes numbers with a plus sign, registered users are reached as ever; the call is a whole one")
def user():
    with Stage({"user": "+*", "to": [0]}, hops=1) as stage:
        alice, bob, gateway = stage.alice, stage.phone("bob", 10), stage.hops[0]
        bob.register()
        invite = alice.invite("+4930123456")
        seen = gateway.expect("INVITE")
        equal(seen.uri, number(), "Request-URI at the hop")
        equal(seen.values("Route"), [], "Route at the hop")
        equal(len(seen.values("Record-Route")), 1, "Record-Route values at the hop")
        equal(seen.get("Max-Forwards"), "69", "Max-Forwards at the hop")
        equal(len(seen.values("Via")), 2, "Vias at the hop")
        gateway.answer(seen, 183, "Session Progress")
        alice.answer_of(invite, 183)
        gateway.answer(seen, 486, "Busy Here")
        gateway.expect("ACK")
        alice.ack_failure(invite, alice.answer_of(invite, 486))
        for first in (0, 1):
            sides = establish(alice, gateway, "+4930123456")
            hang_up(sides[first], sides[1 - first])
        hang_up(*establish(alice, bob))
        stage.quiet()
        stage.stays(number("4930123456"))


@test("user: ? is one character, * none or more; case counts; escapes of unreserved characters are resolved")
def user_pattern():
    with Stage({"user": "a?c*e", "to": [0]}, {"user": "%2A21*", "to": [1]}, {"user": "+*", "to": [2]}, hops=3) as stage:
        for text in ("abce", "a.cxxe", "a%20cee", "a%62c%65", "a%2Bce", "%61bce", "abcdee"):
            stage.passes(number(text))
        for text in ("ace", "abbce", "abce1", "Abce", "abcE", "abc", "xabce", "21"):
            stage.stays(number(text))
        for text in ("*21", "%2A21", "*21*30"):
            stage.passes(number(text), 1)
        stage.passes(number("+1"), 2)
        stage.stays(number("%2B1"))  # reserved: not the same user (RFC 3261 §19.1.4)


@test("domain: a pattern of the host, whatever its case and the port; it decides before anything is resolved")
def domain():
    with Stage({"domain": "*.pstn.example", "to": [0]}, {"domain": "127.*.99", "to": [1]}) as stage:
        for host in ("a.pstn.example", "A.B.PSTN.Example", "x.pstn.example:5099", "x.pstn.example;user=phone"):
            stage.passes(number("x", host))
        stage.passes(number("x", f"{stage.prefix}99"), 1)
        stage.passes(f"sip:{stage.prefix}99:5070", 1)
        stage.stays(number("x"))
        elsewhere = stage.phone("elsewhere", 60)
        request = stage.alice.send(stage.alice.request("MESSAGE", elsewhere.uri))
        elsewhere.answer(elsewhere.expect("MESSAGE"), 200)
        stage.alice.answer_of(request, 200)
        stage.quiet()


@test("method: one, or several with an unknown one; the others are looked up")
def method():
    with Stage({"method": "INVITE", "to": [0]}, {"method": ["INFO", "X-PAGE"], "user": "p*", "to": [1]}) as stage:
        seen = stage.alice.invite("p1")
        found, got = stage.taken(seen)
        equal(found, 0, "the hop that got the INVITE")
        refuse(stage.hops[0], got, 404)
        stage.alice.ack_failure(seen, stage.alice.answer_of(seen, 404))
        stage.passes(number("p1"), 1, "INFO")
        stage.passes(number("p1"), 1, "X-PAGE")
        for other in ("MESSAGE", "OPTIONS", "X-PAGER", "x-page"):
            stage.stays(number("p1"), method=other)
        stage.stays(number("q1"), method="INFO")


@test("source: only requests from these networks; the others go on")
def source():
    routes = [
        {"user": "+*", "source": "192.0.2.0/24", "to": [0]},
        {"user": "+1*", "source": ["127.0.0.0/8", "::1"], "to": [1]}]
    with Stage(*routes) as stage:
        stage.passes(number("+1"), 1)
        stage.stays(number("+2"))


@test("the route is for one address: another host of the same network is not taken")
def one_source():
    stage = Stage({"user": "+*", "to": [0]}, hops=1)
    stage.settings["route"][0]["source"] = f"{stage.prefix}3/32"
    with stage:
        carol = stage.phone("carol", 3)
        stage.passes(number(), ua=carol)
        stage.stays(number())


@test("all keys of a route must match, and the first route that does is taken")
def first_match():
    routes = [
        {"user": "+49*", "method": "INFO", "to": [0]}, {"user": "+49*", "domain": "other.example", "to": [0]},
        {"user": "+49*", "to": [1]}, {"user": "+*", "to": [2]}, {"user": "+4930*", "to": [0]}]
    with Stage(*routes, hops=3) as stage:
        stage.passes(number("+4930"), 1)
        stage.passes(number("+4930"), 0, "INFO")
        stage.passes(number("+4930", "other.example"), 0)
        stage.passes(number("+43"), 2)
        stage.stays(number("43"))


@test("a route goes before the registrations: a registered user that it names is not asked")
def before_registrations():
    with Stage({"user": "bob", "to": [0]}, hops=1) as stage:
        bob = stage.phone("bob", 10)
        bob.register()
        stage.passes(number("bob"))
        bob.silent(0.1)


@test("a tel: URI: the pattern sees the number without its separators, the hop the URI as it was")
def tel():
    with Stage({"user": "+12015550*", "to": [0]}, hops=1) as stage:
        stage.passes("tel:+1-201-555-0123")
        stage.stays("tel:+1-201-555-9123")


@test("what is in a dialog is not captured: ACK, INFO, re-INVITE, BYE, whatever the Request-URI says")
def in_dialog():
    stage = Stage({"user": "*", "to": [0]}, hops=1)
    stage.settings["route"][0]["domain"] = f"{stage.prefix}10"
    with stage:
        bob = stage.phone("bob", 10)
        bob.register()
        stage.passes(bob.uri)  # out of a dialog the contact's address is captured
        outgoing, incoming = establish(stage.alice, bob)
        for kind in ("INFO", "INVITE", "INVITE", "UPDATE"):
            request = stage.alice.send(outgoing.request(kind))
            seen = bob.expect(kind)
            equal(seen.uri, bob.uri, f"Request-URI of {kind}")
            bob.answer(seen, 200)
            stage.alice.answer_of(request, 200)
            if kind == "INVITE":
                stage.alice.send(outgoing.request("ACK"))
                bob.expect("ACK")
        # Without Route too: the To tag says that it belongs to a dialog.
        request = stage.alice.request(
            "INFO", bob.uri, to=outgoing.remote, from_=outgoing.local, call_id=outgoing.call_id, cseq=90)
        stage.alice.send(request)
        bob.answer(bob.expect("INFO"), 200)
        stage.alice.answer_of(request, 200)
        hang_up(outgoing, incoming)
        stage.quiet(0.1)


@test("a Route header field that is not ours is followed; one that is ours is taken off, then the route decides")
def route_header():
    with Stage({"user": "+*", "to": [0]}, hops=1) as stage:
        elsewhere = stage.phone("elsewhere", 60)
        ours = f"<sip:{stage.proxy.address[0]}:5060;lr>"
        stage.passes(number(), routes=[ours])
        request = stage.alice.request("MESSAGE", number(), routes=[ours, f"<sip:{elsewhere.host}:{elsewhere.port};lr>"])
        stage.alice.send(request)
        seen = elsewhere.expect("MESSAGE")
        equal(seen.uri, number(), "Request-URI at the next hop of the Route")
        elsewhere.answer(seen, 200)
        stage.alice.answer_of(request, 200)
        stage.quiet()


@test("a route without method takes neither REGISTER nor what is for the proxy itself")
def unnamed():
    with Stage({"to": [0]}, hops=1) as stage:
        stage.alice.register()
        equal(stage.proxy.status()["bindings"], 1, "bindings")
        for uri in (f"sip:{DOMAIN}", f"sip:{stage.proxy.address[0]}"):
            stage.stays(uri, 200, "OPTIONS")
        stage.passes(number("alice"), method="OPTIONS")


@test("a route that names them takes REGISTER and OPTIONS; a route before it that does not is passed over")
def named():
    with Stage({"to": [0]}, {"method": ["REGISTER", "OPTIONS"], "to": [1]}) as stage:
        contact = [("Contact", f"<{stage.alice.uri}>;expires=600")]
        seen = stage.passes(f"sip:{DOMAIN}", 1, "REGISTER", to=f"<{stage.alice.aor}>", contact=False, headers=contact)
        equal(seen.values("Contact"), [contact[0][1]], "Contact at the hop")
        equal(seen.values("Record-Route"), [], "Record-Route at the hop")
        equal(stage.proxy.status()["bindings"], 0, "bindings")
        stage.passes(f"sip:{DOMAIN}", 1, "OPTIONS")
        stage.passes(number("bob"), 0, "OPTIONS")


@test("localhost is an address: 127.0.0.1 with the port that is given")
def localhost():
    with UA("local", "127.0.0.1", None) as local:
        with Stage({"user": "+*", "to": [f"sip:localhost:{local.port}"]}, hops=0) as stage:
            request = stage.alice.send(stage.alice.request("MESSAGE", number()))
            seen = local.expect("MESSAGE")
            equal(seen.uri, number(), "Request-URI at the hop")
            local.answer(seen, 200)
            stage.alice.answer_of(request, 200)


@test("a route that leads back to the proxy ends in 482, not in a storm")
def loop():
    stage = Stage({"user": "+*", "to": []}, hops=1)
    stage.settings["route"][0]["to"] = [f"sip:{stage.prefix}1:5060"]
    with stage:
        stage.stays(number(), 482)


# Who may


@test("who is not in relay-from gets 403 from a route without source, for our domain and for others")
def forbidden():
    with Stage({"user": "+*", "to": [0]}, hops=1, access={"relay-from": ["192.0.2.0/24"]}) as stage:
        bob = stage.phone("bob", 10)
        bob.register()
        for host in (DOMAIN, "elsewhere.example"):
            stage.stays(number("+1", host), 403)
            stage.stays(number("+1", host), 403, "INVITE")
        hang_up(*establish(stage.alice, bob))
        stage.quiet()


@test("a route's source lets its hosts through, the whole call; the first match decides, not a later one")
def permitted():
    routes = [{"user": "+1*", "to": [0]}, {"user": "+*", "source": "127.0.0.0/8", "to": [1]}]
    with Stage(*routes, access={"relay-from": ["192.0.2.0/24"]}) as stage:
        stage.stays(number("+1"), 403)
        stage.passes(number("+2"), 1)
        stage.passes(number("+2", "elsewhere.example"), 1)
        for first in (0, 1):
            sides = establish(stage.alice, stage.hops[1], "+2")
            hang_up(sides[first], sides[1 - first])
        stage.quiet()


@test("a route's source is for that route: other domains stay closed")
def no_relay_beside():
    routes = [{"user": "+*", "source": "127.0.0.0/8", "to": [0]}]
    with Stage(*routes, access={"relay-from": ["192.0.2.0/24"]}) as stage:
        stage.stays(f"sip:x@{stage.hops[1].host}:{stage.hops[1].port}", 403)


# What if a hop fails


@test("failover: a hop that says nothing at all is given up after 64·T1, the next one gets the INVITE")
def silent_invite():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        invite = stage.alice.invite("+1")
        found, first = stage.taken(invite)
        equal(found, 0, "the hop that is asked first")
        stage.quiet(SILENCE / 2, 1)
        second = stage.hops[1].expect("INVITE", SILENCE + 5)
        equal(second.uri, number("+1"), "Request-URI at the second hop")
        true(second.branch != first.branch, "a branch of its own")
        stage.hops[1].answer(second, 200, "OK")
        response = stage.alice.answer_of(invite, 200)
        equal(response.tag(), stage.hops[1].name, "To tag of the 200")
        stage.alice.send(Dialog.of_caller(stage.alice, invite, response).request("ACK"))
        stage.hops[1].expect("ACK")
        stage.hops[0].drain()
        # It is dead now: the next call does not wait for it.
        hang_up(*establish(stage.alice, stage.hops[1], "+2"))
        stage.quiet(0.1, 0)


@test("failover: the same for MESSAGE, and a hop whose port is closed")
def silent_message():
    with Stage({"user": "+1", "to": [0, 1]}, {"user": "+2", "to": [2, 1]}, hops=3) as stage:
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        equal(stage.taken(request)[0], 0, "the hop that is asked first")
        stage.hops[1].answer(stage.hops[1].expect("MESSAGE", SILENCE + 5), 200)
        stage.alice.answer_of(request, 200)
        stage.hops[2].socket.close()
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+2")))
        stage.hops[1].answer(stage.hops[1].expect("MESSAGE", SILENCE + 5), 200)
        stage.alice.answer_of(request, 200)


@test("failover: a hop that has said something is not silent: timer C ends the call, no other hop is asked")
def provisional_then_nothing():
    with Stage({"user": "+*", "to": [0, 1]}, timers={**FAST_TIMERS, "c": 1000}) as stage:
        invite = stage.alice.invite("+1")
        found, seen = stage.taken(invite)
        equal(found, 0, "the hop that is asked first")
        stage.hops[0].answer(seen, 180, "Ringing")
        stage.alice.answer_of(invite, 180)
        accept_cancel(stage.hops[0], seen)
        final = stage.alice.expect_final(invite)
        true(final.kind in (408, 487), f"the caller's final response: {final.start}")
        stage.alice.ack_failure(invite, final)
        stage.quiet(0.2, 1)


@test("failover: 503 moves on at once; the caller sees nothing of it")
def unavailable():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        request = stage.fails(number("+1"), 0)
        found, seen = stage.taken(request, SILENCE / 2)
        equal(found, 1, "the hop that is asked next")
        equal(seen.uri, number("+1"), "Request-URI at the second hop")
        stage.hops[1].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503, headers=[("Retry-After", "60")])
        found, seen = stage.taken(invite, SILENCE / 2)
        equal(found, 1, "the hop that is asked next")
        refuse(stage.hops[1], seen, 404)
        response = stage.alice.answer_of(invite, 404)
        equal(response.get("Retry-After"), None, "Retry-After")
        stage.alice.ack_failure(invite, response)
        stage.alice.silent(0.2)


@test("no failover: every other answer is the answer")
def answered():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        for status in (300, 404, 408, 480, 486, 500, 502, 504, 600, 603):
            invite = stage.alice.invite("+1")
            found, seen = stage.taken(invite)
            equal(found, 0, f"the hop that is asked after others got their answers ({status})")
            refuse(stage.hops[0], seen, status)
            stage.alice.ack_failure(invite, stage.alice.answer_of(invite, status))
        stage.quiet(0.2)


@test("no failover after CANCEL: the silent hop is the last")
def cancelled():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        invite = stage.alice.invite("+1")
        equal(stage.taken(invite)[0], 0, "the hop that is asked")
        stage.alice.expect(100)
        stage.alice.cancel(invite)
        final = stage.alice.expect_final(invite, SILENCE + 5, passing=True)
        true(final.kind in (408, 487), f"the caller's final response: {final.start}")
        stage.alice.ack_failure(invite, final)
        stage.proxy.idle()
        stage.quiet(0.1, 1)


@test("a CANCEL goes to the hop that rings, also where that is the second")
def cancel_second():
    with Stage({"user": "+*", "to": [0, 1]}) as stage:
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503)
        found, seen = stage.taken(invite)
        equal(found, 1, "the hop that is asked next")
        stage.hops[1].answer(seen, 180, "Ringing")
        stage.alice.answer_of(invite, 180)
        stage.alice.cancel(invite)
        stage.alice.expect(200)
        accept_cancel(stage.hops[1], seen)
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 487))
        stage.quiet(0.1, 0)


@test("hops that this version cannot reach (a name, TCP, a family without listener) are passed over")
def unreachable():
    others = ["sip:192.0.2.1;transport=tcp", "sip:gw.invalid", "sip:[::1]:5099"]
    with Stage({"user": "+1", "to": [*others, 0]}, {"user": "+2", "to": others}, hops=1) as stage:
        for _ in range(2):
            stage.passes(number("+1"))
        stage.stays(number("+2"), 500)
        stage.stays(number("+2"), 500, "INVITE")
        # They are no alternative to the one that is left: when it fails, all have failed, and it is tried again.
        stage.alice.answer_of(stage.fails(number("+1"), 0), 500)
        stage.passes(number("+1"))


@test("round-robin: hops that this version cannot reach have no turn")
def unreachable_in_turn():
    hops = ["sip:192.0.2.1;transport=tcp", 0, "sip:gw.invalid", "sip:[::1]:5099", 1]
    with Stage({"user": "+*", "to": hops, "policy": "round-robin"}) as stage:
        alternates(takers(stage, 8), [0, 1])


# Dead hops


@test("dead-time: a hop that failed is skipped meanwhile, whoever calls, and by every worker")
def skipped():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}, server={"workers": 3}) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        carol = stage.phone("carol", 3)
        for turn in range(12):  # other Call-IDs, so other workers
            stage.passes(number(f"+{turn}"), 1, ua=carol if turn % 2 else stage.alice)
        stage.quiet(0.1)


@test("dead-time: after it the hop is tried again, not before")
def tried_again():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 2}) as stage:
        failed = time.monotonic()
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        for _ in range(200):
            request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
            found, seen = stage.taken(request)
            asked = time.monotonic()
            stage.hops[found].answer(seen, 200)
            stage.alice.answer_of(request, 200)
            if found == 0:
                break
            stage.alice.silent(0.05)
        equal(found, 0, "the hop that is asked in the end")
        true(asked - failed > 1.9, f"skipped for its two seconds: {asked - failed:.2f} s")


@test("dead-time = 0: no hop is ever skipped")
def never_skipped():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        for _ in range(3):
            request = stage.fails(number("+1"), 0)
            found, seen = stage.taken(request)
            equal(found, 1, "the hop that is asked next")
            stage.hops[1].answer(seen, 200)
            stage.alice.answer_of(request, 200)


@test("dead hops are those of one route: another route to the same address asks it")
def dead_by_route():
    with Stage({"user": "+1", "to": [0, 1], "dead-time": LONG}, {"user": "+2", "to": [0, 1]}) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        stage.passes(number("+2"), 0)
        stage.passes(number("+1"), 1)


@test("all 503: the caller gets 500, since this proxy is not overloaded; then all are tried again")
def all_unavailable():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        for _ in range(2):
            request = stage.fails(number("+1"), 0, 1)
            stage.alice.answer_of(request, 500)
        invite = stage.alice.invite("+1")
        for hop in (0, 1):
            found, seen = stage.taken(invite)
            equal(found, hop, "the hop that is asked")
            refuse(stage.hops[hop], seen, 503)
        response = stage.alice.answer_of(invite, 500)
        equal(response.get("Retry-After"), None, "Retry-After")
        stage.alice.ack_failure(invite, response)
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        found, seen = stage.taken(request)
        equal(found, 0, "the hop that is asked")
        stage.hops[0].answer(seen, 200)
        stage.alice.answer_of(request, 200)


@test("all silent: 408 to INVITE, nothing to MESSAGE (RFC 4320); silence and 503: 408, the lower class")
def all_silent():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": 0}) as stage:
        stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        invite = stage.alice.invite("+1")
        for hop in stage.hops:
            seen = {getattr(hop.receive(SILENCE + 5, again=False), "kind", None) for _ in range(2)}
            equal(seen, {"INVITE", "MESSAGE"}, f"what {hop.name} got")
        response = stage.alice.answer_of(invite, 408, 2 * SILENCE + 5)
        stage.alice.ack_failure(invite, response)
        stage.proxy.idle()
        stage.alice.silent(0.2, ignore=(100,))
        for hop in stage.hops:
            hop.drain()
        invite = stage.alice.invite("+1")
        refuse(stage.hops[0], stage.taken(invite)[1], 503)
        equal(stage.taken(invite)[0], 1, "the hop that is asked next")
        stage.alice.ack_failure(invite, stage.alice.answer_of(invite, 408, SILENCE + 5))


# Round-robin


def takers(stage, count):
    """The numbers of the hops that get so many requests, one after the other."""
    found = []
    for _ in range(count):
        request = stage.alice.send(stage.alice.request("MESSAGE", number("+1")))
        hop, seen = stage.taken(request)
        stage.hops[hop].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        found.append(hop)
    return found


def alternates(found, hops):
    """Checks that these hops were asked in turn, whichever was the first."""
    start = hops.index(found[0])
    equal(found, [hops[(start + turn) % len(hops)] for turn in range(len(found))], "the hops that were asked")


@test("round-robin: two hops in exact alternation, over all workers")
def two_in_turn():
    with Stage({"user": "+*", "to": [0, 1], "policy": "round-robin"}, server={"workers": 3}) as stage:
        equal(takers(stage, 10), [0, 1] * 5, "the hops that were asked")


@test("round-robin: three hops in exact rotation; retransmissions and requests that stay take no turn")
def three_in_turn():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin"}, hops=3) as stage:
        equal(takers(stage, 7), [0, 1, 2, 0, 1, 2, 0], "the hops that were asked")
        request = stage.alice.request("MESSAGE", number("+1"))
        for _ in range(3):
            stage.alice.send(request)
        found, seen = stage.taken(request)
        equal(found, 1, "the hop that is asked next")
        stage.hops[1].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        stage.stays(number("1"))
        stage.alice.register()
        stage.alice.drain()
        equal(takers(stage, 4), [2, 0, 1, 2], "the hops that were asked")


@test("round-robin: whole calls alternate, and each stays with its hop")
def calls_in_turn():
    with Stage({"user": "+*", "to": [0, 1], "policy": "round-robin"}) as stage:
        calls = [establish(stage.alice, stage.hops[turn % 2], "+1") for turn in range(4)]
        for sides in calls:
            hang_up(*sides)
        stage.quiet()


@test("round-robin with a hop that fails: the next in the circle gets the request, the others share the turns")
def failover_in_turn():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin", "dead-time": LONG}, hops=3) as stage:
        equal(takers(stage, 2), [0, 1], "the hops that were asked")
        request = stage.fails(number("+1"), 2)
        found, seen = stage.taken(request)
        equal(found, 0, "the hop after the last is the first")
        stage.hops[0].answer(seen, 200)
        stage.alice.answer_of(request, 200)
        alternates(takers(stage, 8), [0, 1])
        stage.quiet(0.05, 2)


@test("round-robin without dead-time: the circle goes on as if nothing had failed")
def turns_go_on():
    with Stage({"user": "+*", "to": [0, 1, 2], "policy": "round-robin", "dead-time": 0}, hops=3) as stage:
        for _ in range(2):
            request = stage.fails(number("+1"), 0)
            found, seen = stage.taken(request)
            equal(found, 1, "the hop that is asked next")
            stage.hops[1].answer(seen, 200)
            stage.alice.answer_of(request, 200)
            equal(takers(stage, 2), [1, 2], "the hops that were asked")


# Death of a worker


@test("kill -9 of every worker: dead hops stay dead, turns go on")
def workers_killed():
    routes = [
        {"user": "+*", "to": [0, 1], "dead-time": LONG}, {"user": "1*", "to": [0, 1], "policy": "round-robin"}]
    with Stage(*routes) as stage:
        request = stage.fails(number("+1"), 0)
        stage.hops[1].answer(stage.taken(request)[1], 200)
        stage.alice.answer_of(request, 200)
        stage.passes(number("1"), 0)
        stage.proxy.idle()  # nothing is under way, so no turn is taken twice
        old = stage.proxy.workers()
        for index, pid in enumerate(old):
            os.kill(pid, signal.SIGKILL)
            stage.proxy.replaced(f"worker {index}", pid)
        for turn in range(6):
            stage.passes(number("+1"), 1)
            stage.passes(number("1"), (turn + 1) % 2)


@test("kill -9 of every worker while a hop is silent: the next hop is asked all the same, the call goes through")
def killed_while_silent():
    with Stage({"user": "+*", "to": [0, 1], "dead-time": LONG}) as stage:
        invite = stage.alice.invite("+1")
        equal(stage.taken(invite)[0], 0, "the hop that is asked first")
        for index, pid in enumerate(stage.proxy.workers()):
            os.kill(pid, signal.SIGKILL)
            stage.proxy.replaced(f"worker {index}", pid)
        seen = stage.hops[1].expect("INVITE", SILENCE + 5)
        stage.hops[1].answer(seen, 200, "OK")
        response = stage.alice.answer_of(invite, 200)
        equal(uri_of(response.values("Contact")[0]), stage.hops[1].uri, "Contact of the 200")
        stage.hops[0].drain()
        stage.passes(number("+2"), 1)
        stage.quiet(0.1, 0)
