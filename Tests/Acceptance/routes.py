"""[[route]]: requests that leave for next hops of the operator's choice: which, and who may."""

from gateways import Stage, number
from harness import DOMAIN
from peers import establish, hang_up, refuse
from testing import equal, test
from ua import UA


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
