"""The registrar: the rules of RFC 3261 §10.3 and RFC 3327 §5.3."""

import contextlib
import email.utils
import os
import shutil
import sqlite3
import tempfile
import time

from harness import FAST_TIMERS, Sipfork, network
from message import parameter, uri_of
from peers import establish, hang_up
from testing import contains, equal, test, true
from ua import UA
from waiting import eventually

FAST = {"timers": FAST_TIMERS}
SHORT = {"timers": FAST_TIMERS, "registrar": {"min-expires": 1}}


def bindings(response):
    """{URI: seconds} of a 200 to REGISTER."""
    return {uri_of(value): int(parameter(value, "expires")) for value in response.values("Contact")}


def stored(proxy, text):
    """Whether the database file, read by another process than the locator, has this text in some row."""
    path = os.path.join(proxy.state_directory, "location.db")
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                cells = (cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for cell in row)
                if any(text in cell for cell in cells):
                    return True
    return False


def phone(proxy, name="bob", number=10):
    return UA(name, f"{proxy.prefix}{number}", proxy.address)


@test("several contacts, a query, and the 200 lists all that are there")
def several():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        first, second, third = (f"sip:bob@{proxy.prefix}{n}:5062;transport=udp" for n in (20, 21, 22))
        equal(set(bindings(bob.register(contact=f"<{first}>"))), {first}, "bindings after one")
        both = bindings(bob.register(contact=f"<{second}>;q=0.5, \"A, B\" <{third}>;expires=120"))
        equal(set(both), {first, second, third}, "bindings after three")
        true(115 <= both[third] <= 120, f"expires of the third: {both[third]}")
        true(3590 <= both[second] <= 3600, f"expires of the second: {both[second]}")
        query = bob.register(contact="", expires=None)
        equal(set(bindings(query)), {first, second, third}, "bindings in a query")
        rows = proxy.ctl("registrations")
        equal(len(rows), 1, "addresses of record in sipforkctl registrations")
        contains(rows[0]["aor"], "bob@example.org", "aor")
        equal({contact["uri"] for contact in rows[0]["contacts"]}, {first, second, third}, "contacts")
        equal({contact["uri"]: float(contact["q"]) for contact in rows[0]["contacts"]}[second], 0.5, "q of the second")
        equal(proxy.status()["bindings"], 3, "bindings in status")


@test("expiry: the Contact's parameter before the Expires header before the default; max-expires caps")
def expiry_choice():
    with Sipfork({**FAST, "registrar": {"default-expires": 900, "max-expires": 1800}}) as proxy, phone(proxy) as bob:
        uri = bob.uri
        for header, contact, wanted in (
                (None, f"<{uri}>", 900), (600, f"<{uri}>", 600), (600, f"<{uri}>;expires=300", 300),
                (99999, f"<{uri}>", 1800), (None, f"<{uri}>;expires=4294967295", 1800)):
            granted = bindings(bob.register(expires=header, contact=contact))[uri]
            true(wanted - 2 <= granted <= wanted, f"Expires {header}, {contact}: wanted {wanted}, granted {granted}")


@test("expires=0 removes one contact, * with Expires 0 all; * with anything else is refused")
def removal():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        uris = [f"sip:bob@{proxy.prefix}{n}:5062" for n in (20, 21, 22)]
        bob.register(contact=", ".join(f"<{uri}>" for uri in uris))
        left = bindings(bob.register(contact=f"<{uris[0]}>;expires=0", expires=None))
        equal(set(left), set(uris[1:]), "bindings after the removal of one")
        bob.register(contact="*", expires=3600, want=400)
        bob.register(contact=f"*, <{uris[0]}>", expires=0, want=400)
        equal(set(bindings(bob.register(contact="", expires=None))), set(uris[1:]), "bindings after refused *")
        equal(bindings(bob.register(contact="*", expires=0)), {}, "bindings after *")
        equal(proxy.status()["bindings"], 0, "bindings in status")
        with UA("alice", proxy.prefix + "2", proxy.address) as alice:
            invite = alice.invite("bob")
            alice.ack_failure(invite, alice.answer_of(invite, 480))


@test("contacts are compared as URIs: another case of host and escapes is the same binding")
def comparison():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        bob.register(contact="<sip:bob@Host.Example.COM:5062;transport=UDP>")
        equal(len(bindings(bob.register(contact="<sip:%62ob@host.example.com:5062;Transport=udp>"))), 1, "bindings")
        equal(len(bindings(bob.register(contact="<sip:bob@host.example.com;transport=udp>"))), 2, "another port")


@test("contacts are compared as URIs: order and case of parameters, brackets or not, several lines")
def comparison_of_parameters():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        first = f"sip:bob@{proxy.prefix}20:5062"
        bob.register(contact=f"<{first};transport=udp;maddr={proxy.prefix}20>")
        again = f"{first};MADDR={proxy.prefix}20;ob;Transport=UDP"
        granted = bindings(bob.register(contact=f"\"B\" <{again}>;q=0.4;EXPIRES=300", expires=1000))
        equal(list(granted), [again], "bindings, in the last spelling")
        true(290 <= granted[again] <= 300, f"the parameter beats the header: {granted}")
        lines = [("Contact", f"{first};expires=90;q=0.1"), ("m", f"<{first};lr>;expires=80, <{first};transport=udp>")]
        granted = bindings(bob.register(contact="", headers=lines))
        # The second is equal to the first (lr counts where both have it) and later; without maddr is another.
        equal(set(granted), {again, f"{first};lr", f"{first};transport=udp"}, "bindings")
        true(70 <= granted[f"{first};lr"] <= 80, f"the last of equal ones counts: {granted}")


@test("the To of a REGISTER: foreign domains get 404, no SIP URI 400; port, escapes, sips: name the same user")
def address_of_record():
    settings = {"server": {"domains": ["example.org", "example.net"]}, **FAST}
    with Sipfork(settings) as proxy, phone(proxy) as bob:

        def register(to, want, uri="sip:example.org", cseq=1):
            request = bob.request(
                "REGISTER", uri, to=to, contact=False, cseq=cseq, headers=[("Contact", f"<{bob.uri}>")])
            return bob.answer_of(bob.send(request), want)

        here = proxy.prefix + "1"
        for to, want in (
                ("<sip:bob@example.com>", 404), ("<sip:bob@example.org.example.com>", 404),
                ("<sip:bob@example.org:9999>", 404), (f"<sip:bob@{proxy.prefix}2>", 404), ("<sips:bob@a.example>", 404),
                ("<tel:+12015550123>", 400), ("isbn:2983792873", 400), ("<http://example.org/bob>", 400)):
            answer = register(to, want)
            if want == 400:
                equal(answer.reason, "Bad To URI", f"reason for {to}")
        equal(proxy.status()["bindings"], 0, "bindings after what was refused")
        for to in (
                "sip:bob@example.org", "<sip:bob@EXAMPLE.ORG>", "<sip:%62ob@example.org;user=phone>",
                "<sip:bob@example.org:5060>", "\"Bob, B\" <sips:bob@example.org>;x=y", "<sip:bob:pw@example.org>"):
            equal(set(bindings(register(to, 200))), {bob.uri}, f"bindings of {to}")
        equal([row["aor"] for row in proxy.ctl("registrations")], ["bob@example.org"], "addresses of record")
        # Whichever of our names the Request-URI has.
        for uri in (f"sip:{here}", "sip:example.net", "sip:example.org:5060"):
            register("<sip:ann@example.net>", 200, uri)
        register(f"<sip:eve@{here}>", 200)
        equal(
            [row["aor"] for row in proxy.ctl("registrations")],
            ["ann@example.net", "bob@example.org", f"eve@{here}"], "addresses of record")
        equal({row["contacts"][0]["uri"] for row in proxy.ctl("registrations")}, {bob.uri}, "contacts")


@test("the answer to a REGISTER: Date in a 200, no Record-Route, no Path of others; a 405 says what to send")
def answer_header():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        answer = bob.register(headers=[("Record-Route", "<sip:strange.example.com;lr>")])
        equal(answer.values("Record-Route"), [], "Record-Route")
        equal(answer.values("Path"), [], "Path")
        shift = abs(email.utils.parsedate_to_datetime(answer.get("Date")).timestamp() - time.time())
        true(shift < 30, f"Date {answer.get('Date')} is now")
    with Sipfork({**FAST, "registrar": {"enabled": False}}) as proxy, phone(proxy) as bob:
        allowed = bob.register(want=405).get("Allow")
        true("INVITE" in allowed and "REGISTER" not in allowed, f"Allow: {allowed}")


@test("all bindings of a REGISTER or none: one bad contact, one too brief, one out of order")
def all_or_none():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        first, second, third = (f"sip:bob@{proxy.prefix}{n}:5062" for n in (20, 21, 22))
        bob.register(contact=f"<{first}>, <{second}>", call_id="all@test", cseq=5)
        for contact, cseq, want in (
                (f"<{third}>, <{first}>;expires=59", 6, 423), (f"<{third}>, <{first}>;q=2", 6, 400),
                (f"<{third}>, <sip:>", 6, 400), (f"<{third}>, <{first}", 6, 400), (f"<{third}>, <{first}>", 4, 500),
                (f"<{first}>;expires=0, <{second}>;q=0.3", 5, 500), (f"<{first}>;expires=0, *", 6, 400)):
            bob.register(contact=contact, call_id="all@test", cseq=cseq, want=want)
            equal(set(bindings(bob.register(contact="", expires=None))), {first, second}, f"bindings after {contact}")
        bob.register(contact="*", expires=0, call_id="all@test", cseq=5, want=500)
        bob.register(contact=f"<{second}>", call_id="other@test", cseq=1)
        bob.register(contact="*", expires=0, call_id="all@test", cseq=5, want=500)
        equal(set(bindings(bob.register(contact="", expires=None))), {first, second}, "bindings after refused *")
        equal(bindings(bob.register(contact="*", expires=0, call_id="all@test", cseq=6)), {}, "bindings after *")


@test("too brief is refused with 423 and Min-Expires")
def too_brief():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        response = bob.register(expires=59, want=423)
        equal(response.get("Min-Expires"), "60", "Min-Expires")
        equal(bindings(bob.register(contact="", expires=None)), {}, "bindings")


@test("a binding ends when its time is over: status, query and calls agree")
def expires():
    with Sipfork(SHORT) as proxy, phone(proxy) as bob, UA("alice", proxy.prefix + "2", proxy.address) as alice:
        started = time.monotonic()
        bob.register(expires=2)
        hang_up(*establish(alice, bob))
        eventually(lambda: proxy.status()["bindings"] == 0, "no binding in status", 5)
        true(time.monotonic() - started >= 1.9, "the binding lasted its two seconds")
        equal(bindings(bob.register(contact="", expires=None)), {}, "bindings in a query")
        invite = alice.invite("bob")
        alice.ack_failure(invite, alice.answer_of(invite, 480))
        eventually(lambda: not stored(proxy, bob.uri), "the row's end in location.db", 10)


@test("a refresh extends the binding")
def refresh():
    with Sipfork(SHORT) as proxy, phone(proxy) as bob:
        call_id = "refresh@test"
        bob.register(expires=2, call_id=call_id, cseq=1)
        bob.silent(1)
        bob.register(expires=100, call_id=call_id, cseq=2)
        bob.silent(2)
        granted = bindings(bob.register(contact="", expires=None))
        equal(set(granted), {bob.uri}, "bindings")
        true(granted[bob.uri] > 90, f"seconds left: {granted}")


@test("an older CSeq of the same Call-ID is refused with 500 and changes nothing (§10.3 step 7)")
def order():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        bob.register(call_id="order@test", cseq=10)
        bob.register(call_id="order@test", cseq=9, contact=f"<{bob.uri}>;expires=0", want=500)
        equal(set(bindings(bob.register(contact="", expires=None))), {bob.uri}, "bindings")
        bob.register(call_id="order@test", cseq=11, contact=f"<{bob.uri}>;expires=0")
        equal(bindings(bob.register(contact="", expires=None)), {}, "bindings")


@test("the same REGISTER from a new transaction (a replay) gets the current bindings")
def replay():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        for _ in range(2):
            granted = bindings(bob.register(call_id="replay@test", cseq=10))
            equal(set(granted), {bob.uri}, "bindings")


@test("more contacts than max-contacts are refused, and nothing of the request is kept")
def too_many():
    with Sipfork({**FAST, "registrar": {"max-contacts": 3}}) as proxy, phone(proxy) as bob:
        contacts = [f"<sip:bob@{proxy.prefix}{n}:5062>" for n in range(20, 25)]
        bob.register(contact=", ".join(contacts[:3]))
        request = bob.request(
            "REGISTER", "sip:example.org", to=f"<{bob.aor}>", contact=False,
            headers=[("Contact", ", ".join(contacts[3:]))])
        response = bob.expect_final(bob.send(request))
        true(400 <= response.kind < 700, f"refused: {response.start}")
        equal(len(bindings(bob.register(contact="", expires=None))), 3, "bindings")


@test("Path (RFC 3327): kept with the binding, shown, given back to a phone that knows it, there after a restart")
def path():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    first, second = f"<sip:{prefix}30;lr>", f"\"Edge, two\" <sip:edge@{prefix}31:5070;lr>;x=1"

    def shown(proxy):
        return {contact["uri"]: contact for contact in proxy.ctl("registrations")[0]["contacts"]}

    try:
        with UA("bob", prefix + "10", (prefix + "1", 5060)) as bob:
            other = f"sip:bob@{prefix}11"
            with Sipfork(FAST, prefix, directory) as proxy:
                lines = [("Path", first), ("User-Agent", "Phone/1.0 (test)"), ("Path", second)]
                for more, wanted in (
                        ([], []), ([("Supported", "gruu, path")], [first, second]), ([("k", "PATH")], [first, second]),
                        ([("Require", "path")], [first, second])):
                    answer = bob.register(headers=lines + more)
                    equal(answer.values("Path"), wanted, f"Path of the 200 to a REGISTER with {more}")
                    equal(answer.get("Supported"), "path", "Supported of the 200")
                bob.register(contact=f"<{other}>")
                contact = shown(proxy)[bob.uri]
                equal(contact["path"], f"{first}, {second}", "path in sipforkctl registrations")
                equal(contact["user_agent"], "Phone/1.0 (test)", "user_agent")
                equal((shown(proxy)[other]["path"], shown(proxy)[other]["user_agent"]), (None, None), "of the other")
                text = proxy.control("registrations").stdout
                for word in (first, second, "Phone/1.0 (test)"):
                    contains(text, word, "registrations for people")
                true(stored(proxy, second), "the Path is in location.db")
            with Sipfork(FAST, prefix, directory) as proxy:
                equal(shown(proxy)[bob.uri]["path"], f"{first}, {second}", "path after a restart")
                equal(shown(proxy)[bob.uri]["user_agent"], "Phone/1.0 (test)", "user_agent after a restart")
                bob.register(headers=[("Path", first)])
                equal(shown(proxy)[bob.uri]["path"], first, "path after a refresh by another way")
                bob.register()
                equal(shown(proxy)[bob.uri]["path"], None, "path after a refresh without")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@test("a bad or endless Path is refused with 400 that names it, and nothing is kept")
def bad_path():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        for value, reason in (
                ("sip:edge;lr", "Bad Path"), ("<sip:edge;lr", "Bad Path"), ("", "Bad Path"), ("<tel:+1>", "Bad Path"),
                ("<sip:one;lr>, two", "Bad Path"), (", ".join(["<sip:edge.example.com;lr>"] * 90), "Path too long")):
            equal(bob.register(headers=[("Path", value)], want=400).reason, reason, f"reason for {value[:40]!r}")
        equal(proxy.status()["bindings"], 0, "bindings")


@test("Require: what is unknown is refused with 420 and listed, what is known is not")
def require():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        headers = [("Require", "outbound, path"), ("Require", "gruu")]
        answer = bob.register(headers=headers, want=420)
        equal(answer.values("Unsupported"), ["outbound", "gruu"], "Unsupported")
        equal(proxy.status()["bindings"], 0, "bindings")
        options = bob.request("OPTIONS", "sip:example.org", headers=headers)
        bob.send(options)
        equal(bob.answer_of(options, 420).values("Unsupported"), ["outbound", "gruu"], "Unsupported to OPTIONS")
        options = bob.request("OPTIONS", "sip:example.org")
        bob.send(options)
        equal(bob.answer_of(options, 200).get("Supported"), "path", "Supported of OPTIONS")
