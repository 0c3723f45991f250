"""The registrar (RFC 3261 §10) and what stands behind it: SQLite, the locator's death, the restart of the service."""

import contextlib
import os
import shutil
import signal
import sqlite3
import tempfile
import time

from harness import FAST_TIMERS, Sipfork, network
from message import parameter, uri_of
from peers import establish, hang_up, one_callee
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


def calls_reach(proxy, callee):
    """A call to the callee's address of record goes through and is hung up."""
    with UA("alice", proxy.prefix + "2", proxy.address) as alice:
        hang_up(*establish(alice, callee, callee.name))


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


@test("the row is in location.db before the 200 arrives", limit=30)
def durable():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        for number in range(20):
            uri = f"sip:bob@{proxy.prefix}{20 + number}:5062"
            bob.register(contact=f"<{uri}>;expires=600", user=f"user{number}")
            true(stored(proxy, uri), f"{uri} is in location.db when its 200 is there")


@test("kill -9 of the locator: registrations are there, calls go through, a new REGISTER works")
def locator_killed():
    with Sipfork(FAST) as proxy, one_callee(proxy) as (alice, (bob,)):
        for _ in range(3):
            old = proxy.named("locator")
            os.kill(old, signal.SIGKILL)
            hang_up(*establish(alice, bob))
            proxy.replaced("locator", old)
            equal(len(proxy.ctl("registrations")), 1, "addresses of record in sipforkctl registrations")
            equal(set(bindings(bob.register(contact="", expires=None))), {bob.uri}, "bindings in a query")
            bob.register(expires=1000)
        alice.register()
        equal(proxy.status()["bindings"], 2, "bindings in status")


@test("a REGISTER that the killed locator had not read is answered by its successor")
def register_during_death():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        old = proxy.named("locator")
        os.kill(old, signal.SIGSTOP)
        request = bob.request(
            "REGISTER", "sip:example.org", to=f"<{bob.aor}>", contact=False,
            headers=[("Contact", f"<{bob.uri}>;expires=600")])
        bob.send(request)
        bob.silent(0.2, ignore=(100,))
        os.kill(old, signal.SIGKILL)
        equal(set(bindings(bob.answer_of(request, 200, 5))), {bob.uri}, "bindings")
        true(stored(proxy, bob.uri), "the row is in location.db")


@test("registrations are there after a restart of the service, with the time they had left; q and order too")
def restart():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    try:
        with UA("bob", prefix + "10", (prefix + "1", 5060)) as bob:
            with Sipfork(FAST, prefix, directory) as proxy:
                bob.register(contact=f"<{bob.uri}>;expires=600;q=0.7")
                equal(proxy.status()["bindings"], 1, "bindings before")
                first = proxy.process.pid
            with Sipfork(FAST, prefix, directory) as proxy:
                true(proxy.process.pid != first, "another process")
                rows = proxy.ctl("registrations")
                equal([contact["uri"] for contact in rows[0]["contacts"]], [bob.uri], "contacts after the restart")
                equal(float(rows[0]["contacts"][0]["q"]), 0.7, "q after the restart")
                calls_reach(proxy, bob)
                seconds = bindings(bob.register(contact="", expires=None))[bob.uri]
                true(580 <= seconds <= 600, f"seconds left: {seconds}")
                proxy.kill()
                proxy.checks_stop = False
            with Sipfork(FAST, prefix, directory) as proxy:
                equal(proxy.status()["bindings"], 1, "bindings after kill -9 of the master and a start")
                calls_reach(proxy, bob)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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


@test("store = \"memory\" works without a file")
def memory_store():
    with Sipfork({**FAST, "registrar": {"store": "memory"}}) as proxy, phone(proxy) as bob:
        bob.register()
        calls_reach(proxy, bob)
        true(not os.path.exists(os.path.join(proxy.state_directory, "location.db")), "no location.db")
