"""tel: URIs (RFC 3966) are users of our domains; schemes that nobody knows get 416 (RFC 3261 §16.3 step 2)."""

from harness import FAST_TIMERS, Sipfork
from peers import Cast, accept_cancel, establish, hang_up, one_callee
from testing import equal, test, true
from ua import UA

FAST = {"timers": FAST_TIMERS}
NUMBER = "+12015550123"


def domains(*names):
    return {**FAST, "server": {"domains": list(names)}}


def phone_of(proxy, user, domain="example.org", number=20):
    """A phone that has registered for this user of this domain."""
    phone = UA(user, f"{proxy.prefix}{number}", proxy.address, domain=domain)
    phone.register()
    return phone


def caller_of(proxy):
    return UA("alice", proxy.prefix + "2", proxy.address)


def reaches(caller, phone, uri, method="MESSAGE", **more):
    """A request for this URI must come to this phone, with its contact as the Request-URI."""
    request = caller.send(caller.request(method, uri, **more))
    seen = phone.expect(method)
    equal(seen.uri, phone.uri, f"Request-URI of what was sent to {uri}")
    equal(seen.get("To"), request.get("To"), "To: it passes as it was")
    phone.answer(seen, 200)
    caller.answer_of(request, 200)
    return seen


def fails(caller, uri, *statuses, **more):
    """Requests for this URI must get one of these statuses."""
    for method in ("MESSAGE", "INVITE"):
        request = caller.send(caller.request(method, uri, to="<sip:someone@example.org>", **more))
        response = caller.expect_final(request, passing=True)
        true(response.kind in statuses, f"{method} {uri}: wanted {statuses}, received {response.start}")
        if method == "INVITE":
            caller.ack_failure(request, response)


@test("a global number with and without visual separators is one user")
def global_number():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, NUMBER) as phone:
        for uri in (
                "tel:+12015550123", "tel:+1-201-555-0123", "tel:+1(201)555.0123", "tel:+1-.()-2015550123",
                "TEL:+1-201-555-0123", "tel:+12015550123-"):
            reaches(alice, phone, uri)


@test("parameters do not count: ext, isub, others, and phone-context beside a global number")
def parameters():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, NUMBER) as phone:
        for more in (";ext=55", ";isub=12%2034", ";ext=1-2;a=b;c", ";unknown", ";tsp=a.b;x=%41"):
            reaches(alice, phone, f"tel:+1-201-555-0123{more}")


@test("a whole call to a tel URI, To and From with tel URIs; two phones fork, one is cancelled")
def whole_call():
    with Sipfork(FAST) as proxy, Cast(proxy, [NUMBER, NUMBER]) as (alice, phones):
        number = "tel:+1-201-555-0123"
        invite = alice.request("INVITE", number, from_="<tel:+1-201-555-9999>;tag=me")
        alice.send(invite)
        seen = [phone.expect("INVITE") for phone in phones]
        for phone, message in zip(phones, seen):
            equal(message.uri, phone.uri, "Request-URI")
            phone.answer(message, 180, tag=phone.host)
            alice.answer_of(invite, 180)
        phones[0].answer(seen[0], 200, tag=phones[0].host)
        alice.answer_of(invite, 200)
        accept_cancel(phones[1], seen[1], tag=phones[1].host)
    with Sipfork(FAST) as proxy, Cast(proxy, [NUMBER]) as (alice, (phone,)):
        invite = alice.send(alice.request("INVITE", number, from_="<tel:+1-201-555-9999>;tag=me"))
        outgoing, incoming = establish(alice, phone, invite=invite)
        hang_up(outgoing, incoming)


@test("a CANCEL and the ACK to a failure have the tel URI too, and find their INVITE")
def cancelled():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, NUMBER) as phone:
        invite = alice.send(alice.request("INVITE", "tel:+1-201-555-0123"))
        seen = phone.expect("INVITE")
        phone.answer(seen, 180)
        alice.answer_of(invite, 180)
        alice.answer_of(alice.cancel(invite), 200)
        accept_cancel(phone, seen)
        alice.ack_failure(invite, alice.answer_of(invite, 487))
        alice.silent(0.5)


@test("several domains: the first, in their order, in which somebody is registered")
def order_of_domains():
    with Sipfork(domains("one.example", "two.example", "three.example")) as proxy, caller_of(proxy) as alice:
        with phone_of(proxy, NUMBER, "three.example", 23) as third:
            reaches(alice, third, "tel:+12015550123")
            with phone_of(proxy, NUMBER, "one.example", 21) as first:
                reaches(alice, first, "tel:+1-201-555-0123")
                with phone_of(proxy, NUMBER, "two.example", 22) as second:
                    reaches(alice, first, "tel:+12015550123")
                    first.register(contact="*", expires=0)
                    reaches(alice, second, "tel:+12015550123")
                    third.silent(0.1)


@test("without domains: the user at the listening address")
def without_domains():
    with Sipfork(domains()) as proxy, caller_of(proxy) as alice:
        with phone_of(proxy, NUMBER, proxy.address[0]) as phone:
            reaches(alice, phone, "tel:+1-201-555-0123")
            fails(alice, "tel:+1-201-555-9999", 480)


@test("a local number with a domain of ours as its context: the user of that domain, and of no other")
def local_number():
    with Sipfork(domains("one.example", "two.example")) as proxy, caller_of(proxy) as alice:
        with phone_of(proxy, "7042", "one.example", 21) as first, phone_of(proxy, "7042", "two.example", 22) as second:
            for uri, phone in (
                    ("tel:7042;phone-context=two.example", second), ("tel:70-42;phone-context=one.example", first),
                    ("tel:7042;phone-context=TWO.example", second), ("tel:(7042);Phone-Context=one.example", first),
                    ("tel:7042;ext=1;phone-context=two.example;z=1", second)):
                reaches(alice, phone, uri)
            second.register(contact="*", expires=0)
            fails(alice, "tel:7042;phone-context=two.example", 480)
            first.silent(0.1)


@test("a local number may have star, hash and hexadecimal digits")
def odd_digits():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice:
        for number, (digits, user) in enumerate((
                ("*21", "*21"), ("*", "*"), ("AB12", "AB12"), ("0", "0"), ("#21#", "%2321%23"))):
            with phone_of(proxy, user, number=30 + number) as phone:
                reaches(alice, phone, f"tel:{digits};phone-context=example.org")


@test("a context that is not ours: 404, whoever is registered under that number with us")
def foreign_context():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, "7042") as phone:
        for context in ("other.example", "sub.example.org", "example.or", "example.orgx", "org"):
            fails(alice, f"tel:7042;phone-context={context}", 404)
        phone.silent(0.1)


@test("a context that is the beginning of a number is not ours to understand: 404 (RFC 3966 §9)")
def number_context():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, "8631234") as phone:
        for uri in ("tel:863-1234;phone-context=+1-914-555", "tel:8631234;phone-context=+1", "tel:8631234;phone-context=+"):
            fails(alice, uri, 404)
        phone.silent(0.1)


@test("nobody registered: 480, from whichever source")
def not_registered():
    for relay in (["127.0.0.0/8"], ["192.0.2.1/32"]):
        with Sipfork({**FAST, "access": {"relay-from": relay}}) as proxy, caller_of(proxy) as alice:
            fails(alice, "tel:+1-201-555-0123", 480)
            with phone_of(proxy, NUMBER) as phone:
                reaches(alice, phone, "tel:+1-201-555-0123")


@test("a local number without a context is taken for one of our own dialling plan")
def no_context():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, "7042") as phone:
        for uri in ("tel:7042", "tel:70-42;ext=1", "tel:7042;phone-contextx=example.org"):
            reaches(alice, phone, uri)
        fails(alice, "tel:7042;phone-context", 404)
        phone.silent(0.1)


@test("what is no telephone number: refused, nobody rings", limit=90)
def no_number():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)), phone_of(proxy, "7042") as phone:
        pids = sorted(proxy.descendants())
        for uri in (
                "tel:", "tel:+", "tel:;phone-context=example.org", "tel:-;phone-context=example.org",
                "tel:bob;phone-context=example.org", "tel:bob@example.org", "tel:7042;phone-context=",
                "tel:7042;phone-context=+", "tel:++1", "tel:7042;phone-context=@",
                "tel:+" + "1" * 3000, "tel:7042;phone-context=" + "a" * 3000):
            fails(alice, uri, 400, 404, 414, 416, 480, 484)
        bob.silent(0.1)
        phone.silent(0.1)
        equal(sorted(proxy.descendants()), pids, "pids of the children")


@test("a tel URI with a Route behind ours goes to the Route as it is; with our Route alone it is looked up")
def with_route():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, phone_of(proxy, NUMBER) as phone:
        ours = f"<sip:{proxy.address[0]}:5060;lr>"
        uri = "tel:+1-201-555-0123;ext=7"
        with UA("hop", proxy.prefix + "30", proxy.address) as hop:
            for method in ("MESSAGE", "INVITE"):
                routes = [ours, f"<sip:{hop.host}:{hop.port};lr>"]
                request = alice.send(alice.request(method, uri, routes=routes))
                seen = hop.expect(method)
                equal(seen.uri, uri, "Request-URI")
                equal(seen.values("Route"), routes[1:], "Route")
                hop.answer(seen, 200)
                alice.answer_of(request, 200)
        reaches(alice, phone, uri, routes=[ours])


@test("a tel URI through a strict router's Route: it stands last in Route (§16.6 step 6)")
def to_strict_router():
    with Sipfork(FAST) as proxy, caller_of(proxy) as alice, UA("hop", proxy.prefix + "30", proxy.address) as hop:
        routes = [f"<sip:{proxy.address[0]};lr>", f"<sip:{hop.host}:{hop.port}>"]
        request = alice.send(alice.request("MESSAGE", "tel:+1-201-555-0123;ext=7", routes=routes))
        seen = hop.expect("MESSAGE")
        equal(seen.uri, f"sip:{hop.host}:{hop.port}", "Request-URI")
        equal(seen.values("Route"), ["<tel:+1-201-555-0123;ext=7>"], "Route")
        hop.answer(seen, 200)
        alice.answer_of(request, 200)


@test("sips: and schemes that nobody knows get 416, with and without a Route to us")
def other_schemes():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for uri in (
                "sips:bob@example.org", "mailto:bob@example.org", "im:bob@example.org", "urn:service:sos", "telx:+1",
                "http://example.org/", "s:bob@example.org"):
            fails(alice, uri, 416)
            fails(alice, uri, 416, routes=[f"<sip:{proxy.address[0]};lr>"])
        bob.silent(0.1)


@test("a tel contact of a user is not a place to send anything to: 4xx or 5xx, no death")
def tel_contact():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        request = alice.request(
            "REGISTER", "sip:example.org", to="<sip:carol@example.org>", from_="<sip:carol@example.org>;tag=1",
            contact=False, headers=[("Contact", "<tel:+1-201-555-0123>")])
        response = alice.expect_final(alice.send(request))
        if response.kind == 200:
            fails(alice, "sip:carol@example.org", 404, 416, 480, 500)
        else:
            true(400 <= response.kind < 500, f"REGISTER with a tel contact: {response.start}")
        hang_up(*establish(alice, bob))
