"""sipforkctl register and unregister: by the rules of REGISTER, through the locator, whatever dies meanwhile."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from harness import CONTROL, FAST_TIMERS, Sipfork, network
from peers import establish, hang_up
from registrations import bindings, phone, stored
from testing import contains, equal, test, true
from ua import UA
from waiting import eventually

FAST = {"timers": FAST_TIMERS}


def contacts(proxy, user="bob@example.org"):
    """{URI: contact} of a user in sipforkctl registrations."""
    return {contact["uri"]: contact for row in proxy.ctl("registrations", user) for contact in row["contacts"]}


def refused(proxy, *arguments, status=1):
    """Runs a command that must fail, and gives what it says."""
    done = proxy.control(*arguments, check=False)
    equal(done.returncode, status, f"exit status of {arguments}: {done.stderr}")
    equal(done.stdout, "", f"stdout of {arguments}")
    return done.stderr


@contextlib.contextmanager
def under_way(proxy, *arguments):
    """A command that is running; for one that must wait, since the locator is stopped."""
    command = [CONTROL, "--socket", proxy.socket_path, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def not_called(proxy, user="bob"):
    """A call to the user is answered 480."""
    with UA("alice", proxy.prefix + "2", proxy.address) as alice:
        invite = alice.invite(user)
        alice.ack_failure(invite, alice.answer_of(invite, 480))


def called(proxy, callee):
    """A call to the callee goes through and is hung up."""
    with UA("alice", proxy.prefix + "2", proxy.address) as alice:
        hang_up(*establish(alice, callee, callee.name))


@test("register: a call reaches the contact; unregister: 480. For people and as JSON")
def register():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        text = proxy.control("register", "bob@example.org", bob.uri).stdout
        for word in ("bob@example.org", bob.uri, "sipforkctl"):
            contains(text, word, "what register prints")
        true(stored(proxy, bob.uri), "the row is in location.db when the command ends")
        called(proxy, bob)
        equal(contacts(proxy)[bob.uri]["user_agent"], "sipforkctl", "user_agent")
        equal(proxy.control("unregister", "bob@example.org", bob.uri).stdout, "no registrations\n", "unregister prints")
        not_called(proxy)
        true(not stored(proxy, bob.uri), "the row is gone")
        rows = proxy.ctl("register", "bob@example.org", bob.uri)
        equal([contact["uri"] for contact in rows[0]["contacts"]], [bob.uri], "contacts as JSON")
        equal(proxy.ctl("unregister", "bob@example.org"), [], "contacts as JSON after unregister")
        proxy.await_log(f"sipforkctl register sip:bob@example.org {bob.uri}: 200 OK")
        proxy.await_log("sipforkctl unregister sip:bob@example.org: 200 OK")


@test("register: --expires, --q and --path; the limits of the registrar hold; a second time refreshes")
def options():
    with Sipfork({**FAST, "registrar": {"max-expires": 1800, "default-expires": 900}}) as proxy, phone(proxy) as bob:
        path = f"<sip:{proxy.prefix}30;lr>, \"Two\" <sip:{proxy.prefix}31;lr>"
        for arguments, wanted in (
                ([], (900, 1, None)), (["--expires", "300", "--q", "0.5", "--path", path], (300, 0.5, path)),
                (["--expires=99999", "--q=0"], (1800, 0, None))):
            proxy.control("register", "bob@example.org", bob.uri, *arguments)
            equal(list(contacts(proxy)), [bob.uri], "contacts")
            seen = contacts(proxy)[bob.uri]
            equal((seen["q"], seen["path"]), wanted[1:], f"q and path with {arguments}")
            true(wanted[0] - 5 <= seen["expires"] <= wanted[0], f"{seen['expires']} seconds with {arguments}")


@test("an address of record may be written as one likes; alice alone is of the first domain")
def names():
    settings = {"server": {"domains": ["example.org", "example.net"]}, **FAST}
    with Sipfork(settings) as proxy, phone(proxy) as bob:
        for name, user in (
                ("bob", "bob@example.org"), ("sip:bob@example.org", "bob@example.org"),
                ("%62ob@EXAMPLE.org", "bob@example.org"), ("bob@example.net", "bob@example.net"),
                (f"eve@{proxy.prefix}1", f"eve@{proxy.prefix}1")):
            proxy.control("register", name, bob.uri)
            equal([row["aor"] for row in proxy.ctl("registrations")], [user], f"addresses of record with {name}")
            equal(list(contacts(proxy, name)), [bob.uri], f"contacts with registrations {name}")
            proxy.control("unregister", name)
    with Sipfork({"server": {"domains": []}, **FAST}) as proxy, phone(proxy) as bob:
        proxy.control("register", "bob", bob.uri)
        equal([row["aor"] for row in proxy.ctl("registrations")], [f"bob@{proxy.prefix}1"], "without domains")


@test("a command and a phone: each may refresh, take over or remove what the other made, whatever the CSeq")
def with_phones():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        other = f"sip:bob@{proxy.prefix}20:5062"
        bob.register(call_id="phone@test", cseq=1000)
        proxy.control("register", "bob", other, "--q", "0.1")
        equal(set(contacts(proxy)), {bob.uri, other}, "contacts of both")
        equal(set(bindings(bob.register(contact="", expires=None))), {bob.uri, other}, "bindings in a query")
        proxy.control("register", "bob", bob.uri, "--expires", "100")
        true(contacts(proxy)[bob.uri]["expires"] <= 100, "the command has refreshed the phone's")
        bob.register(call_id="phone@test", cseq=2, expires=1000)
        true(contacts(proxy)[bob.uri]["expires"] > 900, "the phone has taken it over, its CSeq lower or not")
        proxy.control("unregister", "bob", bob.uri)
        equal(set(contacts(proxy)), {other}, "contacts after the removal of the phone's")
        bob.register(call_id="phone@test", cseq=1)
        for _ in range(3):  # its own, too, as often as one likes within a second
            proxy.control("register", "bob", other)
        proxy.control("unregister", "bob")
        equal(contacts(proxy), {}, "contacts after the removal of all")


@test("what is refused is told, with exit status 1 or 64, and changes nothing")
def refusals():
    settings = {"server": {"max-bindings": 64}, "registrar": {"max-contacts": 62}, **FAST}
    with Sipfork(settings) as proxy, phone(proxy) as bob:
        bob.register()
        before = proxy.ctl("registrations")
        for arguments, word in (
                (("register", "bob@example.com", bob.uri), "404 Domain is not ours"),
                (("register", "bob@example.org:9", bob.uri), "404 Domain is not ours"),
                (("unregister", "bob@example.com"), "404 Domain is not ours"),
                (("unregister", "eve@example.org"), "404 No such binding"),
                (("unregister", "bob@example.org", f"sip:bob@{proxy.prefix}99"), "404 No such binding"),
                (("register", "bob", bob.uri, "--expires", "59"), "423 Interval Too Brief"),
                (("register", "bob", bob.uri, "--path", "sip:edge;lr"), "400 Bad Path"),
                (("register", "bob", f"sip:{'b' * 2100}@h"), "400 Contact too long"),
                (("register", "bob", f"sip:{'b' * 9000}@h"), "400 Command too long"),
                (("register", "bob", bob.uri, "--path", f"<sip:{'b' * 8000}>"), "400 Command too long")):
            contains(refused(proxy, *arguments), word, f"what {arguments[:2]} says")
        for arguments in (
                ("register", "bob"), ("register", "tel:+12", bob.uri), ("register", "bob", "bob"),
                ("register", "bob", "*"), ("register", "bob", bob.uri, "--expires", "0"),
                ("register", "bob", bob.uri, "--q", "1.1"), ("register", "bob", f"{bob.uri}>\r\nX: y"),
                ("unregister", "bob", "*"), ("unregister", "sip:example.org")):
            refused(proxy, *arguments, status=64)
        equal([row["aor"] for row in proxy.ctl("registrations")], [row["aor"] for row in before], "registrations")
        true(not stored(proxy, "<"), "no bracket is in location.db")
        bob.register(user="many", contact=", ".join(f"<sip:{n}@{proxy.prefix}9>" for n in range(62)))
        contains(refused(proxy, "register", "many", bob.uri), "403 Too many contacts", "one contact more")
        proxy.control("register", "eve", bob.uri)
        contains(refused(proxy, "register", "ann", bob.uri), "503 Location table full", "one binding more")
        equal(proxy.status()["bindings"], 64, "bindings")


@test("what a stranger sends to the control socket is answered by hanging up, or told what is wrong with it")
def strange_requests():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:

        def ask(request):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(5)
                connection.connect(proxy.socket_path)
                connection.send(request)
                return connection.recv(1000)

        for request in (b"", b"vie", b"register", b"register\n" * 5, b"register\n" * 7, b"\n" * 6, b"x" * 100000):
            equal(ask(request), b"", f"answer to {request[:20]!r}")
        fields = ["register", "sip:bob@example.org", bob.uri, "", "", ""]
        for place, value, wanted in (
                (1, "bob", b"400 Bad To URI\n"), (1, "sip:bob@example.org\r", b"400 Bad To URI\n"),
                (2, "*", b"400 Bad Contact\n"), (2, "sip:a@b>,<sip:c@d", b"400 Bad Contact\n"),
                (3, "x", b"400 Bad Expires\n"), (4, "0.5;expires=0", b"400 Bad Contact\n"),
                (5, "\u00fc", b"400 Bad Path\n")):
            changed = fields[:place] + [value] + fields[place + 1:]
            equal(ask("".join(field + "\n" for field in changed).encode()), wanted, f"answer to {changed}")
        equal(proxy.status()["bindings"], 0, "bindings")
        equal(ask("".join(field + "\n" for field in fields).encode()), b"200 OK\n", "answer to what is right")
        # One that does not wait for its answer.
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(proxy.socket_path)
            connection.send("".join(field + "\n" for field in ["unregister", *fields[1:]]).encode())
        eventually(lambda: contacts(proxy) == {}, "the removal")


@test("what was registered by hand survives the locator's death and a restart")
def survives():
    prefix, directory = network(), tempfile.mkdtemp(prefix="sipfork-")
    try:
        with UA("bob", prefix + "10", (prefix + "1", 5060)) as bob:
            with Sipfork(FAST, prefix, directory) as proxy:
                proxy.control("register", "bob", bob.uri, "--expires", "600", "--q", "0.3")
                old = proxy.named("locator")
                os.kill(old, signal.SIGKILL)
                proxy.replaced("locator", old)
                called(proxy, bob)
            with Sipfork(FAST, prefix, directory) as proxy:
                seen = contacts(proxy)[bob.uri]
                equal((seen["q"], seen["user_agent"]), (0.3, "sipforkctl"), "q and user agent")
                true(550 <= seen["expires"] <= 600, f"{seen['expires']} seconds left")
                called(proxy, bob)
                proxy.control("unregister", "bob")
            with Sipfork(FAST, prefix, directory) as proxy:
                equal(contacts(proxy), {}, "contacts after unregister and a restart")
                not_called(proxy)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@test("the locator killed with a command in flight: its successor carries it out, and the tool is told")
def killed_in_flight():
    with Sipfork({**FAST, "log": {"level": "debug"}}) as proxy, phone(proxy) as bob:
        for number, arguments in enumerate(
                [("register", "bob", bob.uri), ("unregister", "bob"), ("register", "bob", bob.uri, "--q", "0.5")]):
            old = proxy.named("locator")
            os.kill(old, signal.SIGSTOP)
            with under_way(proxy, *arguments) as running:
                text = f"sipforkctl {arguments[0]} sip:bob@example.org"
                eventually(
                    lambda: sum(text in line and "passed to" in line for line in proxy.log().splitlines())
                    > number // 2, "the master's word that it has passed the command on")
                equal(running.poll(), None, "exit status while the locator stands still")
                os.kill(old, signal.SIGKILL)
                printed, complaint = running.communicate(timeout=10)
                equal(running.returncode, 0, f"exit status: {complaint}")
            wanted = [bob.uri] if arguments[0] == "register" else []
            equal([uri for uri in wanted if uri in printed], wanted, "what the tool prints")
            equal(list(contacts(proxy)), wanted, f"contacts after {arguments}")
            equal([stored(proxy, bob.uri)], [bool(wanted)], "location.db")
            proxy.replaced("locator", old)


@test("a locator that stands still: the tool is told within five seconds, and the command is not done later")
def not_done_later():
    with Sipfork(FAST) as proxy, phone(proxy) as bob:
        slots = proxy.status()["arena"]["slots"]
        pid = proxy.named("locator")
        os.kill(pid, signal.SIGSTOP)
        try:
            said = refused(proxy, "register", "bob", bob.uri)
            contains(said, "504 The locator does not answer within 5 seconds", "what it says")
            contains(said, "sipforkctl registrations", "what to do")
            equal(proxy.status()["workers"][0]["restarts"], 0, "the master goes on meanwhile")
        finally:
            os.kill(pid, signal.SIGCONT)
        bob.register(user="ann")  # behind the command in the locator's mailbox
        equal([row["aor"] for row in proxy.ctl("registrations")], ["ann@example.org"], "addresses of record")
        proxy.control("register", "bob", bob.uri)
        equal(list(contacts(proxy)), [bob.uri], "contacts after another try")
        proxy.idle()
        equal(proxy.status()["arena"]["slots"], slots, "slots in use")


@test("the master killed with a command in flight: the tool is told that nobody knows")
def master_killed():
    with Sipfork({**FAST, "log": {"level": "debug"}}) as proxy:
        os.kill(proxy.named("locator"), signal.SIGSTOP)
        with under_way(proxy, "register", "bob", "sip:bob@192.0.2.1") as running:
            proxy.await_log("passed to the locator")
            proxy.kill()
            _, complaint = running.communicate(timeout=10)
            equal(running.returncode, 1, "exit status")
            contains(complaint, "has hung up; whether it was done shows sipforkctl registrations", "what it says")
        proxy.checks_stop = False


@test("forty commands at once while the locator dies again and again: each is done or refused, and told")
def many_at_once():
    with Sipfork(FAST) as proxy, contextlib.ExitStack() as stack:
        uris = [f"sip:user{n}@{proxy.prefix}9" for n in range(40)]
        running = [
            stack.enter_context(under_way(proxy, "register", f"user{n}", uri)) for n, uri in enumerate(uris)]
        for _ in range(2):
            old = proxy.replaced("locator", None)
            os.kill(old, signal.SIGKILL)
            proxy.replaced("locator", old)
        outcomes = []
        for n, tool in enumerate(running):
            printed, complaint = tool.communicate(timeout=20)
            if tool.returncode == 0:
                contains(printed, uris[n], "what the tool prints")
            else:
                contains(complaint, "503 Too many commands", "why it was refused")
            outcomes.append(tool.returncode)
        registered = {contact["uri"] for row in proxy.ctl("registrations") for contact in row["contacts"]}
        equal(registered, {uri for uri, code in zip(uris, outcomes) if code == 0}, "contacts of those that were done")
        true(outcomes.count(0) >= 20, f"exit statuses {outcomes}")


@test("by hand also where registrar.enabled is false: that is for phones")
def registrar_disabled():
    with Sipfork({**FAST, "registrar": {"enabled": False}}) as proxy, phone(proxy) as bob:
        bob.register(want=405)
        proxy.control("register", "bob", bob.uri)
        called(proxy, bob)
